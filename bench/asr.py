"""Recognition beside faster-whisper: speed, errors, memory and first words, as Markdown tables.

    python bench/asr.py long short start memory translation --shared ../shared
    python bench/asr.py memory --options "--rich --words --speakers"

Same weights (whisper-base, int8), same number of threads, one machine, one run; mooer with its
default beam of 3, faster-whisper with its default of 5. They take turns; medians are printed.
faster-whisper is no dependency of mooer: install it beside it (pip install faster-whisper).
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tables import table

import mooer
from mooer.audio.wave import read_wave
from mooer.engines.llm import usable_cores
from mooer.evaluate.bootstrap import compare_systems
from mooer.evaluate.metrics import bleu, chrf
from mooer.store import fetch
from mooer.text import character_tokens, word_tokens
from mooer.text.edit import align

System = Callable[[str, str], str]  # path and language -> text
BATCH_SIZES = (8, 16)
MOOER = str(Path(sys.executable).with_name("mooer"))
WARM_CLIP = Path(__file__).parents[1] / "examples" / "zh.flac"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=[*PARTS, "all"])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, default=60, help="clips a set, where sets are large")
    parser.add_argument("--options", default="", help="of mooer transcribe, for `memory`")
    args = parser.parse_args()
    for name in PARTS if "all" in args.parts else args.parts:
        PARTS[name](args)


def rows_of(args: argparse.Namespace, name: str) -> list[dict[str, Any]]:
    manifest = args.shared / f"{name}.jsonl"
    rows = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row["audio"] = str(manifest.parent / row["audio"])
    return rows


def tokens(text: str, language: str) -> list[str]:
    return (character_tokens if language == "zh" else word_tokens)(text, language)


def ours(args: argparse.Namespace) -> System:
    model = mooer.load(num_threads=args.threads)
    return lambda path, language: model.transcribe(path, language=language).text


def whisper_model(args: argparse.Namespace) -> Any:
    from faster_whisper import WhisperModel

    folder = str(fetch("whisper-base"))
    return WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=args.threads)


def plain(model: Any) -> System:
    def run(path: str, language: str) -> str:
        segments, _ = model.transcribe(path, language=language, beam_size=5)
        return "".join(segment.text for segment in segments)

    return run


def batched(model: Any, size: int) -> System:
    from faster_whisper import BatchedInferencePipeline

    pipeline = BatchedInferencePipeline(model)

    def run(path: str, language: str) -> str:
        segments, _ = pipeline.transcribe(path, language=language, beam_size=5, batch_size=size)
        return "".join(segment.text for segment in segments)

    return run


def take_turns(
    systems: dict[str, System], rows: Sequence[dict[str, Any]], repeats: int
) -> tuple[dict[str, list[list[float]]], dict[str, list[str]]]:
    """Seconds [repeats][rows] and texts [rows] of every system; on each row they take turns."""
    seconds: dict[str, list[list[float]]] = {name: [] for name in systems}
    texts: dict[str, list[str]] = {}
    for system in systems.values():
        system(str(WARM_CLIP), "zh")
    for _ in range(repeats):
        for name in systems:
            seconds[name].append([])
            texts[name] = []
        for row in rows:
            for name, system in systems.items():
                began = time.perf_counter()
                texts[name].append(system(row["audio"], row["language"]))
                seconds[name][-1].append(time.perf_counter() - began)
    return seconds, texts


def errors_by_unit(row: dict[str, Any], text: str) -> tuple[list[int], list[int]]:
    """Edits and reference tokens of each labelled segment of a recording (or of the whole)."""
    language = row["language"]
    parts = [segment[0] for segment in row.get("segments") or []] or [row["text"]]
    units = [tokens(part, language) for part in parts]
    owner = [i for i, unit in enumerate(units) for _ in unit]
    errors = [0] * len(units)
    place = 0
    reference = [token for unit in units for token in unit]
    for op in align(reference, tokens(text, language)).ops:
        kind, at = op[0], min(place, len(owner) - 1)
        errors[owner[at]] += kind != "="
        place += kind in "=SD"
    return errors, [len(unit) for unit in units]


def compare(
    rows: Sequence[dict[str, Any]], texts: dict[str, list[str]], base: str
) -> dict[str, dict[str, tuple[float, str]]]:
    """Error rate of each system by language, and what a paired bootstrap says against `base`."""
    found: dict[str, dict[str, tuple[float, str]]] = defaultdict(dict)
    for language in sorted({row["language"] for row in rows}):
        counts = {}
        for name, said in texts.items():
            errors: list[int] = []
            lengths: list[int] = []
            for row, text in zip(rows, said, strict=True):
                if row["language"] == language:
                    more, length = errors_by_unit(row, text)
                    errors += more
                    lengths += length
            counts[name] = errors, lengths
        for name, (errors, lengths) in counts.items():
            difference = compare_systems(counts[base][0], errors, lengths)
            low, high = (100 * x for x in difference.interval)
            note = "" if name == base else f"{low:+.2f} … {high:+.2f}"
            found[name][language] = 100 * sum(errors) / sum(lengths), note
    return found


def race(
    title: str, args: argparse.Namespace, systems: dict[str, System], rows: list[dict[str, Any]]
) -> None:
    seconds, texts = take_turns(systems, rows, args.repeats)
    rates = compare(rows, texts, "mooer")
    languages = sorted({row["language"] for row in rows})
    minutes = sum(row["duration"] for row in rows) / 60
    print(f"### {title}: {len(rows)} recordings, {minutes:.1f} min, {args.threads} threads\n")
    wall = {name: [sum(run) for run in runs] for name, runs in seconds.items()}
    lines = []
    for name in systems:
        ratios = [a / b for a, b in zip(wall["mooer"], wall[name], strict=True)]
        cells = [name, f"{statistics.median(wall[name]):.1f}", f"{statistics.median(ratios):.2f}"]
        for language in languages:
            rate, note = rates[name][language]
            cells += [f"{rate:.2f}", note]
        lines.append(cells)
    header = ["system", "seconds", "mooer / it"]
    for language in languages:
        unit = "CER" if language == "zh" else "WER"
        header += [f"{language} {unit} %", "its − mooer's, 95 %"]
    table(header, lines)


def long(args: argparse.Namespace) -> None:
    model = whisper_model(args)
    systems = {"mooer": ours(args), "faster-whisper": plain(model)}
    for size in BATCH_SIZES:
        systems[f"faster-whisper batched {size}"] = batched(model, size)
    race("Long recordings", args, systems, rows_of(args, "data/longform"))


def short(args: argparse.Namespace) -> None:
    rows = rows_of(args, "data/aishell")[: args.limit]
    rows += rows_of(args, "data/timit_sample")[: args.limit]
    systems = {"mooer": ours(args), "faster-whisper": plain(whisper_model(args))}
    race("Short clips, one after the other", args, systems, rows)


# Each prints the text of the first segment as soon as it has it, like a person's first script.
FIRST_WORDS = """
import sys
from faster_whisper import WhisperModel
model = WhisperModel(sys.argv[1], device="cpu", compute_type="int8", cpu_threads=int(sys.argv[3]))
segments, info = model.transcribe(sys.argv[2], beam_size=5)
for segment in segments:
    print(segment.text, flush=True)
"""


def first_line_s(command: Sequence[str]) -> float:
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    line = process.stdout.readline()
    seconds = time.perf_counter() - began
    process.stdout.read()
    if process.wait() or not line.strip():
        raise SystemExit(f"{command[0]} said nothing")
    return seconds


def start(args: argparse.Namespace) -> None:
    row = min(rows_of(args, "data/ljspeech"), key=lambda r: abs(r["duration"] - 10))
    threads = str(args.threads)
    mine = [MOOER, "transcribe", row["audio"]]
    theirs = [sys.executable, "-c", FIRST_WORDS, str(fetch("whisper-base")), row["audio"], threads]
    seconds: dict[str, list[float]] = {"mooer transcribe": [], "faster-whisper script": []}
    for turn in range(args.repeats + 1):
        for name, command in zip(seconds, ([*mine, "--threads", threads], theirs), strict=True):
            taken = first_line_s(command)
            if turn:  # the first is to fill the file cache
                seconds[name].append(taken)
    print(f"### From the command to the first words of a clip of {row['duration']:.1f} s\n")
    ratios = [a / b for a, b in zip(*seconds.values(), strict=True)]
    lines = [(name, f"{statistics.median(values):.2f}") for name, values in seconds.items()]
    table(["command", "seconds"], [*lines, ("ratio", f"{statistics.median(ratios):.2f}")])


def memory(args: argparse.Namespace) -> None:
    source = next(r for r in rows_of(args, "data/longform") if r["language"] == "zh")
    ten = np.resize(read_wave(source["audio"]), 600 * 16_000)
    pcm = (ten * 32_767).astype("<i2").tobytes()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (10, 60):
            path = Path(folder, f"{minutes}.wav")
            # Piece by piece: a child begins with the peak of its parent.
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16_000, 0, "NONE", ""))
                for _ in range(minutes // 10):
                    file.writeframesraw(pcm)
            command = [MOOER, "transcribe", str(path), "--threads", str(args.threads)]
            command += args.options.split()
            began = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            num = len(process.communicate()[0].splitlines())
            taken = time.perf_counter() - began
            if process.returncode:
                raise SystemExit(f"mooer failed on {minutes} minutes")
            # The largest child so far: the shorter recording comes first.
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            lines.append((f"{minutes} min", f"{peak:.0f}", num, f"{taken:.0f}"))
    print(f"### Memory and length: `mooer transcribe {args.options}`\n")
    table(["recording", "peak RSS, MB", "lines", "seconds"], lines)


def translation(args: argparse.Namespace) -> None:
    sets = {
        "synth/dev (synthetic speech)": [
            r for r in rows_of(args, "synth/dev") if r["language"] == "zh"
        ][: args.limit],
        "data/aishell (real speech)": [
            r for r in rows_of(args, "data/aishell") if r.get("translation")
        ],
    }
    model = mooer.load(num_threads=args.threads)
    systems: dict[str, Callable[[str], str]] = {
        "mooer translate": lambda path: model.translate(path, language="zh").translation or "",
        "whisper-base's own translate": lambda path: (
            model.transcribe(path, language="zh", task="ast").text
        ),
    }
    lines = []
    for title, rows in sets.items():
        references = [
            [r["translation"]] if isinstance(r["translation"], str) else r["translation"]
            for r in rows
        ]
        for name, system in systems.items():
            began = time.perf_counter()
            said = [system(row["audio"]) for row in rows]
            rtf = (time.perf_counter() - began) / sum(row["duration"] for row in rows)
            scores = bleu(said, references, "en").value, chrf(said, references).value
            lines.append((title, len(rows), name, *(f"{s:.1f}" for s in scores), f"{rtf:.2f}"))
    print("### Mandarin speech to English text\n")
    table(["set", "clips", "system", "BLEU", "chrF", "real-time factor"], lines)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "long": long,
    "short": short,
    "start": start,
    "memory": memory,
    "translation": translation,
}

if __name__ == "__main__":
    main()
