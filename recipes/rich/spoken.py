"""Frames of synthetic speech with the times of its words: what the speller learns from.

    python recipes/rich/spoken.py --frames runs/mini/frames/manifest.jsonl \
        --times runs/rich/times.jsonl --out runs/rich/spoken.jsonl

A variant that was played faster or slower has its times scaled. Texts with digits are left out.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from mooer.data.labelled import WORDS
from mooer.data.supervision import Utterance, read_manifest, write_manifest

DIGIT = re.compile(r"\d")


def main() -> None:
    """Write the manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="of `mooer data encode`")
    parser.add_argument("--times", type=Path, nargs="*", default=[], help="of times.py")
    parser.add_argument("--spoken", type=Path, nargs="*", default=[], help="what was encoded")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    lines = [line for path in args.times for line in path.read_text("utf-8").splitlines()]
    times = {row["id"]: row["words"] for row in map(json.loads, lines)}
    clean: dict[str, float] = {}
    rows: list[Utterance] = []
    counts: Counter[str] = Counter()
    frames = read_manifest(args.frames)
    for utterance in frames:
        if re.sub(r"-\d$", "", utterance.id) == utterance.id or utterance.id in times:
            clean[utterance.id] = utterance.duration_s or 0.0
    for utterance in frames:
        if DIGIT.search(utterance.text or ""):
            counts["with digits"] += 1
            continue
        base = utterance.id if utterance.id in times else re.sub(r"-\d$", "", utterance.id)
        words = times.get(base)
        counts["with times" if words else "without times"] += 1
        if words and base in clean:
            factor = (utterance.duration_s or 0.0) / clean[base]
            moved = [[w, round(a * factor, 3), round(b * factor, 3)] for w, a, b in words]
            utterance = replace(utterance, extra={**utterance.extra, WORDS: moved})  # noqa: PLW2901
        rows.append(utterance)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(args.out, rows)
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
