"""Speech to speech: quality of what is spoken, and how far it is behind the speaker, as Markdown.

    python bench/interpret.py quality lag --shared ../shared
    python bench/interpret.py quality --limit 3 --models whisper-base      # a quick try
    python bench/interpret.py live --limit 10 --models whisper-base        # at real speed

- text: BLEU and chrF of the translations as they are written
- speech: the same of what whisper-base understands of the sound that was made of them (ASR-BLEU)
- lag: from the end of a sentence, as the recogniser has it, to the begin of its translation's
  sound; below 0 where a recording's translation is begun before its sentence is over
- sped up: share of the sentences that are spoken faster than they would be alone
- RTF: seconds that it took, over the seconds of the recording

Quality is of clips one by one: the translated real ones of AISHELL and others, and synth/dev, which
is synthetic speech. Lag is of talks: --talk clips one after the other, --pause seconds between
them. `live` plays them at real speed to a stream, whose thread translates and speaks meanwhile: run
it with nothing else on the machine. What is named "mini" translates itself; behind every other
model stands the default LLM.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import sys
import time
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import mooer
from mooer.audio.pcm import Floats
from mooer.audio.wave import SAMPLE_RATE_HZ, read_wave
from mooer.engines.llm import usable_cores
from mooer.evaluate.bootstrap import bleu_interval
from mooer.evaluate.metrics import bleu, chrf
from mooer.infer import Said
from mooer.infer.interpret import Interpreted, Interpreter, InterpretOptions, translations_by
from mooer.infer.interpreting import Unsaid, Voiced, interpret_live
from mooer.infer.placing import PlaceOptions
from mooer.infer.speaking import voicing_in
from mooer.speak import Speaker, load_speaker
from mooer.text import join_text

Args = argparse.Namespace
Row = dict[str, Any]

HEARS = "whisper-base"
REAL = ("data/aishell", "data/magicdata_cs", "data/zh_misc")
SYNTHETIC = "synth/dev"
BLOCK_S = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--models", nargs="+", default=["mini", "whisper-base"])
    parser.add_argument("--speaker", default="kokoro-82m")
    parser.add_argument("--voice")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--limit", type=int, help="clips a set")
    parser.add_argument("--talk", type=int, default=10, help="clips of a talk")
    parser.add_argument("--pause", type=float, default=0.8, help="seconds between them")
    args = parser.parse_args()
    args.speaker = load_speaker(args.speaker, num_threads=args.threads)
    args.hears = mooer.load(HEARS, num_threads=args.threads)
    for part in PARTS if "all" in args.parts else args.parts:
        PARTS[part](args)


def rows_of(args: Args, language: str, *names: str) -> list[Row]:
    """Clips in a language that have a translation."""
    rows = []
    for manifest in (args.shared / f"{name}.jsonl" for name in names):
        for row in map(json.loads, manifest.read_text(encoding="utf-8").splitlines()):
            if row["language"] == language and row.get("translation"):
                rows.append({**row, "audio": str(manifest.parent / row["audio"])})
    return rows


def sets_of(args: Args) -> dict[tuple[str, str, str], list[Row]]:
    """(title, spoken, wanted) -> clips."""
    synthetic = f"`{SYNTHETIC}` (synthetic speech)"
    return {
        ("real clips", "zh", "en"): rows_of(args, "zh", *REAL),
        (synthetic, "zh", "en"): rows_of(args, "zh", SYNTHETIC),
        (synthetic, "en", "zh"): rows_of(args, "en", SYNTHETIC),
    }


def watch(things: Sequence[Any], what: str) -> Iterator[Any]:
    """The things one by one; how many are done goes to standard error."""
    began = time.monotonic()
    for done, thing in enumerate(things, 1):
        yield thing
        taken = f"{time.monotonic() - began:.0f} s"
        print(f"{what}: {done} of {len(things)}, {taken}", file=sys.stderr, flush=True)


@dataclass
class Heard:
    """What came of recordings."""

    sentences: list[Interpreted] = field(default_factory=list)
    sound: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    spoken_s: float = 0.0  # of the recordings
    wall_s: float = 0.0

    @property
    def text(self) -> str:
        """The translations, joined."""
        return join_text(one.segment.translation or "" for one in self.sentences)


def interpreted(interpreter: Interpreter, source: Any, options: mooer.RecognizeOptions) -> Heard:
    written: list[Floats] = []
    began = time.perf_counter()
    run = interpreter.run(source, written.append, options)
    sentences = list(run)
    wall_s = time.perf_counter() - began
    sound = np.concatenate(written) if written else np.zeros(0, np.float32)
    return Heard(sentences, sound, run.run.wave.num_samples / SAMPLE_RATE_HZ, wall_s)


def interpreter_for(args: Args, name: str, to: str, place: PlaceOptions) -> Interpreter:
    model = mooer.load(name, num_threads=args.threads)
    voicing = voicing_in(speaker_of(args), to, args.voice)
    return Interpreter(translations_by(model), voicing, InterpretOptions(place=place))


def speaker_of(args: Args) -> Speaker:
    found: Speaker = args.speaker
    return found


def system(name: str) -> str:
    return name if name == "mini" else f"{name} → Qwen"


def quality(args: Args) -> None:
    print(f"### Quality of speech, understood by {HEARS}\n")
    header = ["set", "to", "clips", "system", "text BLEU", "chrF", "speech BLEU", "BLEU, 95 %"]
    table([*header, "chrF", "unsaid", "RTF"], quality_lines(args))


def quality_lines(args: Args) -> Iterator[list[Any]]:
    for (title, spoken, to), every in sets_of(args).items():
        rows = every[: args.limit]
        if not rows:
            continue
        given = [row["translation"] for row in rows]
        references = [[one] if isinstance(one, str) else one for one in given]
        for name in args.models:
            interpreter = interpreter_for(args, name, to, PlaceOptions())
            options = mooer.RecognizeOptions(language=spoken, to=to)
            found, understood = [], []
            for row in watch(rows, f"quality, {title} to {to}, {name}"):
                heard = interpreted(interpreter, row["audio"], options)
                found.append(heard)
                rate_hz = interpreter.rate_hz
                transcript = args.hears.transcribe(heard.sound, rate_hz=rate_hz, language=to)
                understood.append(transcript.text)
            texts = [one.text for one in found]
            low, high = bleu_interval(understood, references, to) or (0.0, 100.0)
            unsaid = sum(s.outcome == "unsaid" for one in found for s in one.sentences)
            yield [
                *(title, to, len(rows), system(name)),
                f"{bleu(texts, references, to).value:.1f}",
                f"{chrf(texts, references).value:.1f}",
                f"{bleu(understood, references, to).value:.1f}",
                f"{low:.1f} … {high:.1f}",
                f"{chrf(understood, references).value:.1f}",
                unsaid,
                f"{sum(one.wall_s for one in found) / sum(one.spoken_s for one in found):.2f}",
            ]


def talks_of(args: Args, rows: Sequence[Row]) -> Iterator[Floats]:
    """Recordings [T] at 16 kHz of several clips each."""
    pause = np.zeros(round(args.pause * SAMPLE_RATE_HZ), np.float32)
    for start in range(0, len(rows), args.talk):
        clips = [read_wave(row["audio"]) for row in rows[start : start + args.talk]]
        yield np.concatenate([part for clip in clips for part in (clip, pause)])


LAG = ["set", "to", "talks", "system", "mode", "sentences", "lag, s (50 %)", "95 %", "sped up, %"]
LAG += ["left out, %", "RTF"]


def lag(args: Args) -> None:
    print(f"### Lag of recordings, {args.talk} clips a talk, {args.pause:g} s between them\n")
    table(LAG, lag_lines(args))


def lag_lines(args: Args) -> Iterator[list[Any]]:
    for (title, spoken, to), every in sets_of(args).items():
        talks = list(talks_of(args, every[: args.limit]))
        for name in args.models if talks else ():
            for align in ("begin", "end"):
                place = PlaceOptions(align=align)  # type: ignore[arg-type]
                interpreter = interpreter_for(args, name, to, place)
                options = mooer.RecognizeOptions(language=spoken, to=to)
                sentences: list[Interpreted] = []
                spoken_s = wall_s = 0.0
                for talk in watch(talks, f"lag, {title} to {to}, {name}, {align}"):
                    heard = interpreted(interpreter, as_wav(talk), options)
                    sentences += heard.sentences
                    spoken_s, wall_s = spoken_s + heard.spoken_s, wall_s + heard.wall_s
                said = [one for one in sentences if one.outcome == "spoken"]
                yield [
                    *(title, to, len(talks), system(name), f"recording, {align}", len(sentences)),
                    *lags([one.lag_s for one in said], [one.speed for one in said]),
                    f"{100 * (1 - len(said) / max(1, len(sentences))):.0f}",
                    f"{wall_s / spoken_s:.2f}",
                ]


def as_wav(samples: Floats) -> bytes:
    """The bytes of a file."""
    data = io.BytesIO()
    with wave.open(data, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE_HZ)
        out.writeframes(np.round(samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return data.getvalue()


def lags(found: Sequence[float], speeds: Sequence[float]) -> list[str]:
    """Median, 95 %, and the share of speeds above 1."""
    if not found:
        return ["", "", ""]
    most = float(np.percentile(found, 95))
    fast = 100 * sum(speed > 1 for speed in speeds) / len(speeds)
    return [f"{statistics.median(found):.2f}", f"{most:.2f}", f"{fast:.0f}"]


def live(args: Args) -> None:
    print(f"### Lag of live streams, {args.talk} clips a talk, {args.pause:g} s between them\n")
    table(LAG, live_lines(args))


def live_lines(args: Args) -> Iterator[list[Any]]:
    for (title, spoken, to), every in sets_of(args).items():
        talks = list(talks_of(args, every[: args.limit]))
        for name in args.models if talks else ():
            model = mooer.load(name, num_threads=args.threads)
            voicing = voicing_in(speaker_of(args), to, args.voice, live=True)
            options = mooer.RecognizeOptions(language=spoken, to=to)
            firsts: list[Voiced] = []
            num_said = num_unsaid = 0
            for talk in watch(talks, f"live, {title} to {to}, {name}"):
                with interpret_live(model, voicing, options) as stream:
                    stream.warm()
                    for event in stream.follow(at_real_speed(talk)):
                        num_said += isinstance(event, Said)
                        num_unsaid += isinstance(event, Unsaid)
                        if isinstance(event, Voiced) and event.is_first:
                            firsts.append(event)
            yield [
                *(title, to, len(talks), system(name), "live", num_said),
                *lags([one.lag_s for one in firsts], [one.speed for one in firsts]),
                f"{100 * num_unsaid / max(1, num_said):.0f}",
                "",
            ]


def at_real_speed(samples: Floats) -> Iterator[Floats]:
    """Blocks of 0.1 s, each when its last sample would be spoken."""
    size = round(BLOCK_S * SAMPLE_RATE_HZ)
    began = time.monotonic()
    for start in range(0, len(samples), size):
        block = samples[start : start + size]
        ahead_s = (start + len(block)) / SAMPLE_RATE_HZ - (time.monotonic() - began)
        if ahead_s > 0:
            time.sleep(ahead_s)
        yield block


PARTS = {"quality": quality, "lag": lag, "live": live}

if __name__ == "__main__":
    main()
