"""What becomes of an answer when somebody speaks over it: by policy, and by how soon it stops.

    python bench/barge_in_clips.py --out barge-in-clips
    python bench/agent_barge_in.py --shared ../shared --clips barge-in-clips
    python bench/agent_barge_in.py --shared ../shared --clips barge-in-clips --after 0.09 0.3 0.6

While an answer is being played somebody speaks: a sentence of the TIMIT sample, whose first word
has a time checked by hand; an order to stop or a back-channel, spoken by Kokoro; somebody else,
15 dB softer; or a sound that is no speech (ESC-10). VAD and Whisper are real, mind and speaker are
not; time is virtual: as many seconds as the models kept a processor busy, so that what else the
machine does counts for nothing.

`stopped` is from the onset of the speech until the server tells to stop the sound, to which a
client adds its own latency. `paused`: the sound was silent, and went on from that very sample.
`ended`: it did not go on, which is right for sentences and orders, and wrong for all else.

--after shows what is to be had by waiting: the sound stops after so many seconds of speech, and not
by words. Nothing but the VAD is asked, so it takes no time.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from agent_overhead import Fakes
from tables import table

from mooer.agent.build import PartsOptions, open_hear
from mooer.agent.duplex import replay
from mooer.agent.events import AnswerSound, Flush, Remembered, Resumed, Volume
from mooer.agent.jobs import VirtualJobs
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts
from mooer.agent.playout import Playout
from mooer.agent.session import Session
from mooer.agent.staging import speech_bounds
from mooer.audio.augment import change_gain
from mooer.audio.vad import FRAME_SAMPLES, SpeechModel
from mooer.audio.wave import read_wave
from mooer.store import fetch

RATE_HZ = 16_000
BEGIN_S = 3.0  # of the overlap, in an answer of ten seconds
IN_TIME_S = 0.2
ASIDE_DB = -15.0
KINDS = ("sentence", "order", "back-channel", "aside", "noise")
TO_STOP = ("sentence", "order")


@dataclass
class Clip:
    """A sound, and where speech begins in it."""

    samples: Any
    onset_s: float = 0.0
    language: str = "en"  # of the conversation


@dataclass
class Outcome:
    """What became of the answer."""

    stop_s: float | None  # from the onset to the first flush
    has_ended: bool
    still_s: float  # how long it was silent before it went on
    soft_s: float | None = None  # from the onset until it was softened


# --- clips ----------------------------------------------------------------------------------------


def clips_of(kind: str, args) -> Iterator[Clip]:
    if kind in ("order", "back-channel"):
        for row in rows_of(args.clips / f"{args.half}.jsonl"):
            if row["kind"] == kind:
                samples = read_wave(str(args.clips / row["audio"]))
                yield Clip(samples, speech_bounds(samples)[0], row["language"])
        return
    data = args.shared / "data"
    name, step = ("esc10", 4) if kind == "noise" else ("timit_sample", 2)
    for row in rows_of(data / f"{name}.jsonl")[kind == "aside" :: step]:
        samples = read_wave(str(data / row["audio"]))
        samples = change_gain(samples, ASIDE_DB) if kind == "aside" else samples
        yield Clip(samples, row["words"][0][1] if name == "timit_sample" else 0.0)


def rows_of(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# --- policies -------------------------------------------------------------------------------------


def overlap(parts: Parts, options: AgentOptions, clip: Clip, shift: int) -> Outcome:
    """A clip over an answer; it begins `shift` samples later."""
    session = Session(
        parts, replace(options, language=clip.language), jobs=VirtualJobs(time.process_time)
    )
    events = session.speak(" ".join(f"word{i}" + "." * (i % 8 == 7) for i in range(40)))
    playout = Playout(RATE_HZ)
    for event in events:
        playout.take(event)
    before = np.zeros(round(BEGIN_S * RATE_HZ) + shift, np.float32)
    told = [*events, *replay(session, np.concatenate([before, clip.samples]), playout).events]
    assert any(isinstance(e, AnswerSound) for e in told)
    flushes = [e.time_s for e in told if isinstance(e, Flush)]
    resumed = [e.time_s for e in told if isinstance(e, Resumed)]
    has_ended = not next(e for e in told if isinstance(e, Remembered)).is_whole
    onset_s = len(before) / RATE_HZ + clip.onset_s
    still_s = sum(b - a for a, b in zip(flushes, resumed, strict=False))
    softer = [e.time_s - onset_s for e in told if isinstance(e, Volume) and e.gain_db]
    stop_s = flushes[0] - onset_s if flushes else None
    return Outcome(stop_s, has_ended, still_s, softer[0] if softer else None)


def by_policy(args, clips) -> Iterator[list[Any]]:
    fakes = Fakes()
    hear = open_hear(PartsOptions(), 1)
    parts = Parts(hear=hear, mind=fakes, voicing=fakes, vad=open_vad(), turn=fakes)
    for policy in args.policies:
        options = AgentOptions(barge_in=policy, create_response=False)
        for kind, found in clips.items():
            outcomes = [overlap(parts, options, c, i * 37 % 512) for i, c in enumerate(found)]
            yield [policy, kind, *cells(outcomes)]


def cells(outcomes: Sequence[Outcome]) -> list[Any]:
    """Of one kind of clip."""
    stops = [one.stop_s for one in outcomes if one.stop_s is not None]
    paused = [one.still_s for one in outcomes if one.stop_s is not None and not one.has_ended]
    ended = sum(one.has_ended for one in outcomes)
    return [
        len(outcomes),
        share(len(paused), len(outcomes)),
        f"{np.median(paused):.2f}" if paused else "-",
        share(ended, len(outcomes)),
        spread(stops),
        share(sum(stop <= IN_TIME_S for stop in stops), len(outcomes)),
        spread([one.soft_s for one in outcomes if one.soft_s is not None]),
    ]


# --- how soon -------------------------------------------------------------------------------------


def by_duration(args, clips) -> Iterator[list[Any]]:
    """Stops of speech that lasts so long, for each length of `args.after`."""
    vad = open_vad()
    times = {
        kind: [speech_times(vad, clip, i * 37 % 512) for i, clip in enumerate(found)]
        for kind, found in clips.items()
    }
    for after_s in args.after:
        frames = int(np.ceil(after_s * RATE_HZ / FRAME_SAMPLES - 1e-6))
        row: list[Any] = [f"{after_s:g}"]
        for kind, found in times.items():
            stops = [one[frames - 1] for one in found if len(one) >= frames]
            row.append(share(len(stops), len(found)))
            if kind in TO_STOP:
                row += [spread(stops), share(sum(s <= IN_TIME_S for s in stops), len(found))]
        yield row


def speech_times(vad: SpeechModel, clip: Clip, shift: int) -> list[float]:
    """Seconds from the onset to the end of each frame of the first speech of a clip."""
    options = AgentOptions()
    before = np.zeros(RATE_HZ + shift, np.float32)
    samples = np.concatenate([before, clip.samples, np.zeros(RATE_HZ, np.float32)])
    num = len(samples) // FRAME_SAMPLES
    probs, _ = vad.step(samples[: num * FRAME_SAMPLES].reshape(num, -1), vad.start())
    ends: list[float] = []
    silent_s = 0.0
    for place, prob in enumerate(probs):
        if prob >= (options.vad_release if ends else options.vad_threshold):
            ends.append((place + 1) * FRAME_SAMPLES / RATE_HZ - len(before) / RATE_HZ)
            silent_s = 0.0
        elif ends and (silent_s := silent_s + FRAME_SAMPLES / RATE_HZ) >= options.hear_s:
            break
    return [end - clip.onset_s for end in ends]


# --- tables ---------------------------------------------------------------------------------------


def open_vad() -> SpeechModel:
    return SpeechModel(next(fetch("silero-vad").glob("*.onnx")))


def share(num: int, of: int) -> str:
    return f"{100 * num / of:.0f}"


def spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "-"
    return " / ".join(f"{1000 * q:.0f}" for q in np.quantile(seconds, [0.5, 0.95]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--clips", type=Path, default=Path("barge-in-clips"))
    parser.add_argument("--half", default="test", choices=["tuning", "test"], help="of the clips")
    parser.add_argument("--limit", type=int, default=None, help="clips of each kind")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--policies", nargs="+", default=["pause", "duck", "wait"])
    parser.add_argument("--after", nargs="+", type=float, help="seconds of speech")
    args = parser.parse_args()
    clips = {kind: list(clips_of(kind, args))[: args.limit] for kind in args.kinds}
    if args.after:
        header = ["stop after, s of speech"]
        for kind in args.kinds:
            header.append(f"{kind}: stopped, %")
            if kind in TO_STOP:
                header += ["ms (50 / 95 %)", f"in {IN_TIME_S:g} s, %"]
        table(header, by_duration(args, clips))
        return
    header = ["policy", "what is heard", "clips", "paused, %", "for, s (median)", "ended, %"]
    table(
        [*header, "stopped, ms (50 / 95 %)", f"in {IN_TIME_S:g} s, %", "softened, ms"],
        by_policy(args, clips),
    )


if __name__ == "__main__":
    main()
