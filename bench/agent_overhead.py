"""What a conversation costs beside its models: many sessions over fakes, 20 ms at a time; a table.

    python bench/agent_overhead.py --sessions 1 10 50

Each session hears a question and plays a long answer, again and again, a little after the others;
the models are fakes that take no time. Beside it the same with the real Silero VAD, one call for
each frame of each session.
"""

from __future__ import annotations

import argparse
import gc
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import table

from mooer.agent.jobs import VirtualJobs
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Heard, Parts
from mooer.agent.session import Session
from mooer.audio.vad import SpeechModel
from mooer.audio.wave import read_wave
from mooer.speak.spoken import Spoken, SpokenWord

RATE_HZ = 16_000
FRAME = 320  # 20 ms


class Loudness:
    """Speech is what is loud."""

    def start(self):
        """No state."""

    def step(self, frames, state):
        """1 or 0 for each frame."""
        return (np.abs(frames).max(axis=1) > 0.02).astype(np.float32), None


class Fakes:
    """Hears, knows that a turn is over, and answers, at once."""

    hears = False
    rate_hz = 24_000

    def hear(self, samples, *, language=None, is_final=True):
        """Always the same."""
        return Heard("what is it", "en")

    def complete(self, samples):
        """It is."""
        return 0.9

    def answer(self, turns, *, system, tools=(), max_tokens=200):
        """Forty words."""
        for i in range(40):
            yield f"word{i}" + (". " if i % 8 == 7 else " ")

    def voice(self, pieces, *, voice=None, speed=1.0):
        """A quarter of a second for each word."""
        words: list[str] = []
        for word in (word for piece in pieces for word in piece.split()):
            words.append(word)
            if word.endswith("."):
                times = tuple(
                    SpokenWord(word, i * 0.25, (i + 1) * 0.25) for i, word in enumerate(words)
                )
                samples = np.zeros(len(words) * 6000, np.float32)
                yield Spoken(" ".join(words), samples, self.rate_hz, times)
                words = []


@dataclass
class Frames:
    """Milliseconds that all sessions together took, frame by frame."""

    took_ms: list[float]

    def row(self, name, num):
        """Of the table."""
        found = [np.median(self.took_ms), *np.quantile(self.took_ms, [0.95, 0.99])]
        return [name, num, *(f"{value:.2f}" for value in found)]


def run(num, seconds, vad):
    """So many sessions side by side."""
    fakes = Fakes()
    parts = Parts(hear=fakes, mind=fakes, voicing=fakes, vad=vad, turn=fakes)
    options = AgentOptions(assume_played=True)
    sessions = [Session(parts, options, jobs=VirtualJobs(lambda: 0.0)) for _ in range(num)]
    question = read_wave(str(Path(__file__).parents[1] / "examples/en.flac"))[: 3 * RATE_HZ]
    sound = np.concatenate([question, np.zeros(12 * RATE_HZ, np.float32)])  # … and its answer
    took = []
    gc.collect()
    for i in range(round(seconds * RATE_HZ / FRAME)):
        began = time.perf_counter()
        for k, session in enumerate(sessions):
            at = (i * FRAME + k * 3 * FRAME) % len(sound)
            session.push(sound[at : at + FRAME])
        took.append(1000 * (time.perf_counter() - began))
    for session in sessions:
        assert len(session.turns) >= 2, "nothing was answered"
    return Frames(took[50:])  # the first second warms up


def lines(args):
    """The rows."""
    for num in args.sessions:
        yield run(num, args.seconds, Loudness()).row("fake", num)
    if args.silero:
        from mooer.store import fetch

        model = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
        for num in args.sessions:
            yield run(num, args.seconds, model).row("silero", num)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--silero", action="store_true", help="the real VAD too")
    args = parser.parse_args()
    header = ["VAD", "sessions", "20 ms frame of all, ms (median)", "95 %", "99 %"]
    table(header, lines(args))


if __name__ == "__main__":
    main()
