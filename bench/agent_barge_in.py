"""What stops an answer, and how soon: real interruptions, spoken back-channels, noises; a table.

    python bench/agent_barge_in.py --shared ../shared --limit 20

While an answer is being played somebody speaks: a sentence of the TIMIT sample, whose first word
has a time checked by hand, a back-channel spoken by Kokoro, or a sound that is no speech (ESC-10).
VAD and Whisper are real, mind and speaker are not; time is virtual, as the models took it. `stop`
is from the onset of the speech until the server tells to stop the sound, to which a client adds
its own latency. An interruption is missed if the answer goes on; a back-channel or a noise is a
false stop if it does not. `silent` is how long a sound that went on had been stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from agent_overhead import Fakes
from tables import table

from mooer.agent.build import PartsOptions, open_hear, open_voicing
from mooer.agent.events import AnswerSound, Flush, Remembered, Resumed
from mooer.agent.jobs import VirtualJobs
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts
from mooer.agent.replay import Player, replay
from mooer.agent.session import Session
from mooer.audio.resample import Resampler
from mooer.audio.vad import SpeechModel
from mooer.audio.wave import read_wave
from mooer.engines.llm import usable_cores
from mooer.speak.base import Voice
from mooer.store import fetch

RATE_HZ = 16_000
BEGIN_S = 3.0  # of the overlap, in an answer of ten seconds
BACK_CHANNELS = (
    "Mm-hm.",
    "Uh-huh.",
    "Yeah.",
    "Right.",
    "Okay.",
    "嗯。",
    "对。",
    "好的。",
    "是的。",
)


@dataclass
class Clip:
    """A sound, and where speech begins in it."""

    samples: Any
    onset_s: float = 0.0
    language: str = "en"  # of the conversation


def interruptions(args) -> Iterator[Clip]:
    """Sentences."""
    with (args.shared / "data/timit_sample.jsonl").open(encoding="utf-8") as rows:
        for row in map(json.loads, rows):
            samples = read_wave(str(args.shared / "data" / row["audio"]))
            yield Clip(samples, row["words"][0][1])


def back_channels(args) -> Iterator[Clip]:
    """Each in several voices."""
    voicing = open_voicing(PartsOptions(), args.threads)
    resample = voicing.rate_hz, RATE_HZ
    for voice in ("jf_alpha", "jf_nezumi", "jm_kumo"):
        for text in BACK_CHANNELS:
            [spoken] = voicing.voice([text], voice=Voice.parse(voice))
            resampler = Resampler(*resample)
            samples = np.concatenate([resampler.push(spoken.samples), resampler.flush()])
            yield Clip(samples, language="en" if text.isascii() else "zh")


def noises(args) -> Iterator[Clip]:
    """Of all kinds."""
    with (args.shared / "data/esc10.jsonl").open(encoding="utf-8") as rows:
        for i, row in enumerate(map(json.loads, rows)):
            if i % 4 == 0:
                yield Clip(read_wave(str(args.shared / "data" / row["audio"])))


KINDS = {"interruption": interruptions, "back-channel": back_channels, "noise": noises}


def overlap(parts: Parts, options: AgentOptions, clip: Clip, shift: int):
    """(seconds to the first flush, whether the answer ended there, seconds it stood still)."""
    options = replace(options, language=clip.language)
    session = Session(parts, options, jobs=VirtualJobs())
    events = session.speak(" ".join(f"word{i}" + "." * (i % 8 == 7) for i in range(40)))
    player = Player()
    player.take(events)
    before = np.zeros(round(BEGIN_S * RATE_HZ) + shift, np.float32)
    told = [*events, *replay(session, np.concatenate([before, clip.samples]), player=player).events]
    assert any(isinstance(e, AnswerSound) for e in told)
    flushes = [e.time_s for e in told if isinstance(e, Flush)]
    resumed = [e.time_s for e in told if isinstance(e, Resumed)]
    cut = not next(e for e in told if isinstance(e, Remembered)).is_whole
    onset_s = len(before) / RATE_HZ + clip.onset_s
    still_s = sum(b - a for a, b in zip(flushes, resumed, strict=False))
    return (flushes[0] - onset_s if flushes else None), cut, still_s


def lines(args):
    """The rows."""
    fakes = Fakes()
    vad = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
    hear = open_hear(PartsOptions(), args.threads)
    parts = Parts(hear=hear, mind=fakes, voicing=fakes, vad=vad, turn=fakes)
    clips = {name: list(make(args))[: args.limit] for name, make in KINDS.items()}
    for policy in args.policies:
        options = AgentOptions(barge_in=policy, create_response=False)
        for name, found in clips.items():
            rows = [overlap(parts, options, c, i * 37 % 512) for i, c in enumerate(found)]
            stops = [1000 * stop for stop, _, _ in rows if stop is not None]
            silent = [still for stop, cut, still in rows if stop is not None and not cut]
            yield [
                policy,
                name,
                len(rows),
                f"{100 * len(stops) / len(rows):.0f}",
                " / ".join(f"{q:.0f}" for q in np.quantile(stops, [0.5, 0.95])) if stops else "-",
                f"{100 * np.mean([cut for _, cut, _ in rows]):.0f}",
                f"{np.median(silent):.2f}" if silent else "-",
            ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--limit", type=int, default=None, help="clips of each kind")
    parser.add_argument("--policies", nargs="+", default=["pause", "wait"])
    parser.add_argument("--threads", type=int, default=usable_cores())
    args = parser.parse_args()
    header = ["policy", "what is heard", "clips", "sound stopped, %", "stop, ms (50 / 95 %)"]
    table([*header, "answer ended, %", "silent, s (median)"], lines(args))


if __name__ == "__main__":
    main()
