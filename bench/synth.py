"""Synthetic speech: how fast it is made, and how well a recogniser hears it, as Markdown tables.

    python bench/synth.py speed hearing --texts ../shared/text/tatoeba_dev.jsonl --out bench.synth

Sentences of one text file, in both languages, spoken by Kokoro-82M (int8) with one process and
with two, then recognised by whisper-base. All numbers are of synthetic speech: they say whether
the speech fits its text, not how well a model hears people.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import mooer
from mooer.data.texts import Line, read_texts
from mooer.infer.synthesise import SynthOptions, synthesise
from mooer.text import character_tokens, word_tokens
from mooer.text.edit import align

UNITS = {"zh": ("CER", character_tokens), "en": ("WER", word_tokens)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=["speed", "hearing"])
    parser.add_argument("--out", type=Path, required=True, help="what is spoken stays here")
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=20, help="of each language")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recognizer", default="whisper-base")
    args = parser.parse_args()
    lines = chosen(args.texts, args.sentences)
    if "speed" in args.parts:
        speed(lines, args.workers, args.out)
    if "hearing" in args.parts:
        hearing(lines, args.recognizer, args.out)


def chosen(path: Path, num: int) -> list[Line]:
    """So many sentences of each language, evenly over the file."""
    found = []
    for language in UNITS:
        lines = read_texts([path], [language])
        found += lines[:: max(1, len(lines) // num)][:num]
    return found


def speed(lines: list[Line], workers: list[int], folder: Path) -> None:
    print(f"### Speaking {len(lines)} sentences\n")
    print("| workers | speech, s | seconds, with loading | real-time factor |\n|---|---|---|---|")
    for num in workers:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory() as fresh:  # so that nothing is there already
            report = synthesise(lines, Path(fresh), SynthOptions(), workers=num)
        wall_s = time.perf_counter() - began
        print(f"| {num} | {report.seconds:.1f} | {wall_s:.1f} | {report.rtf:.3f} |", flush=True)
    print()


def hearing(lines: list[Line], name: str, folder: Path) -> None:
    model = mooer.load(name)
    dirty = SynthOptions(noise=True, rooms=True)
    sets = {"clean": SynthOptions(), "noise 5 to 30 dB and rooms, each on half": dirty}
    print(f"### Heard by {name} (synthetic speech)\n")
    print("| surroundings | language | sentences | unit | errors, % |\n|---|---|---|---|---|")
    for title, options in sets.items():
        out = folder / title.split()[0]
        synthesise(lines, out, options)
        manifest = (out / "manifest.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in manifest]
        for language, (unit, _) in UNITS.items():
            told = [row for row in rows if row["language"] == language]
            rate = 100 * error_rate(model, told, out)
            print(f"| {title} | {language} | {len(told)} | {unit} | {rate:.1f} |", flush=True)
    print()


def error_rate(model: Any, rows: list[dict[str, Any]], folder: Path) -> float:
    errors = total = 0
    for row in rows:
        language = row["language"]
        tokens = UNITS[language][1]
        heard = model.transcribe(str(folder / row["audio"]), language=language).text
        reference = tokens(row["text"], language)
        errors += align(reference, tokens(heard, language)).distance
        total += len(reference)
    return errors / total


if __name__ == "__main__":
    main()
