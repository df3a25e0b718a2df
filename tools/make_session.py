"""Hold the conversation of docs/session/ again, and write what came of it there.

    python tools/make_session.py          # waits are those of this machine: run nothing beside it
    python tools/make_session.py --cpu    # on a busy one: seconds of one core

The user is spoken by Kokoro, in another voice than the agent's, and waits until an answer is over.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

from mooer.agent import waterfall
from mooer.agent.duplex import RATE_HZ, converse
from mooer.agent.jobs import VirtualJobs
from mooer.agent.playout import Playout
from mooer.agent.recorder import SOUND, Recorder
from mooer.audio.resample import Resampler
from mooer.cli.agent_parts import Wanted, open_agent
from mooer.speak import Voice, load_speaker, voicing_of

VOICE = "jm_kumo"  # the user's
QUESTIONS = (
    "你好，你叫什么名字？",
    "请给我讲一个笑话。",
    "What is the capital of France?",
    "How do I make tea?",
)
THINKS_S = 0.8  # the user, before he speaks again
OUT = Path("docs/session")
KEPT = ("transcript.json", "waterfall.json", "waterfall.png")


class Patient:
    """Speaks one question after the other, each when the answer to the last was heard out."""

    def __init__(self, questions: Iterable[np.ndarray], session: Any) -> None:
        self._questions = iter(questions)
        self._session = session
        self._rest = np.zeros(RATE_HZ // 2, np.float32)
        self._quiet = self._silent = 0

    def speak(self, num_samples: int, playout: Playout) -> np.ndarray | None:
        """The next samples, silence while the agent has its turn; None after the last answer."""
        is_over = not playout.is_playing and self._session.is_quiet
        self._quiet = self._quiet + num_samples if is_over else 0
        if self._quiet >= THINKS_S * RATE_HZ and not len(self._rest):
            self._rest = next(self._questions, np.zeros(0, np.float32))
            if not len(self._rest):
                return None
        said, self._rest = self._rest[:num_samples], self._rest[num_samples:]
        return np.pad(said, (0, num_samples - len(said)))


def spoken() -> Iterator[np.ndarray]:
    """The questions at 16 kHz."""
    speaker = load_speaker("kokoro-82m")
    for text in QUESTIONS:
        clauses = list(voicing_of(speaker, Voice.parse(VOICE)).voice([text]))
        resampler = Resampler(speaker.rate_hz, RATE_HZ)
        samples = np.concatenate([clause.samples for clause in clauses])
        yield np.concatenate([resampler.push(samples), resampler.flush()])


def write_mp3(folder: Path, path: Path) -> None:
    """Both sides, left and right."""
    with av.open(str(folder / SOUND)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("mp3", rate=RATE_HZ, layout="stereo")
        stream.bit_rate = 64_000
        for frame in source.decode(audio=0):
            frame.pts = None
            target.mux(stream.encode(frame))
        target.mux(stream.encode(None))


def as_markdown(folder: Path, how: str) -> str:
    """The transcript, and behind each answer what was waited for."""
    segments = json.loads((folder / "transcript.json").read_text("utf-8"))["segments"]
    lines = [
        "# A conversation",
        "",
        __doc__.splitlines()[-1],
        f"Sound and times are kept by `tools/make_session.py`; waits are {how}.",
        "",
    ]
    lines += ["| from, s | who | said |", "|---|---|---|"]
    lines += [f"| {one['start_s']:.1f} | {one['speaker']} | {one['text']} |" for one in segments]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Hold it, and keep what a reader of the docs wants."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cpu", action="store_true", help="count seconds of one core")
    args = parser.parse_args()
    agent = open_agent(
        Wanted(threads=1 if args.cpu else args.threads, changes=(("max_tokens", 60),))
    )
    jobs = VirtualJobs(time.process_time if args.cpu else time.perf_counter)
    session = agent.session(jobs)
    user = Patient(list(spoken()), session)
    events = []
    with Recorder(args.out, source="tools/make_session.py", model=agent.name) as recorder:
        for frame in converse(session, user):
            recorder.push(frame.user, frame.agent)
            recorder.note(frame.events)
            events += frame.events
    session.close()
    write_mp3(args.out, args.out / "conversation.mp3")
    how = "seconds of one core" if args.cpu else "those of this machine"
    (args.out / "transcript.md").write_text(as_markdown(args.out, how), "utf-8")
    for fall in waterfall.falls_of(events):
        print(fall)
    for path in args.out.iterdir():
        if path.name not in (*KEPT, "conversation.mp3", "transcript.md"):
            path.unlink()


if __name__ == "__main__":
    main()
