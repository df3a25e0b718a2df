"""Manifests of frames for leave-speakers-out tests: of each fold train.jsonl and test.jsonl.

    python recipes/rich/folds.py --frames runs/rich/label-frames/manifest.jsonl \
        --out runs/rich/folds

Besides all.jsonl, for the model that ships, and splits.json, which lists the speakers and sources
of each fold. Only recordings as they are, not their changed variants, are tested on.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

from mooer.data.supervision import read_manifest, write_manifest

VARIANT = re.compile(r"-[23456789]$")


def main() -> None:
    """Write the manifests."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=Path, required=True, help="of `mooer data encode`")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = read_manifest(args.frames)
    known = {row.id for row in rows}
    folds = sorted({row.extra["fold"] for row in rows} - {-1})
    whole = [r for r in rows if not (VARIANT.search(r.id) and VARIANT.sub("", r.id) in known)]
    splits: dict[str, dict[str, list[str]]] = {}
    for fold in folds:
        tested = [row for row in whole if row.extra["fold"] == fold]
        write_manifest(args.out / str(fold) / "test.jsonl", tested)
        learned = [row for row in rows if row.extra["fold"] != fold]
        write_manifest(args.out / str(fold) / "train.jsonl", learned)
        held: dict[str, set[str]] = defaultdict(set)
        for row in tested:
            held[row.source or ""].add(row.speaker or row.id)
        splits[str(fold)] = {name: sorted(who) for name, who in sorted(held.items())}
    write_manifest(args.out / "all.jsonl", rows)
    (args.out / "splits.json").write_text(json.dumps(splits, indent=1, ensure_ascii=False) + "\n")
    print({fold: sum(map(len, who.values())) for fold, who in splits.items()})


if __name__ == "__main__":
    main()
