"""Pseudo-labels: what the filters keep, and how wrong it is, as Markdown tables.

    python bench/labels.py MANIFEST... --out labels.jsonl --limit 20

The manifests hold recordings with known texts, which the labeller does not see. Every test is
judged alone: what it keeps, and the error rate of what it keeps. The measurements stay in the
journal beside --out, so that a second run only prints.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mooer.data.manifest import Item, inputs
from mooer.data.pseudo import Candidate, FilterOptions, doubts
from mooer.infer.label import LabelOptions, LabelReport, label
from mooer.infer.labellers import load_labellers
from mooer.text import mixed_tokens
from mooer.text.edit import align

OFF = FilterOptions(max_disagreement=None, min_quality=None, guards=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifests", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, help="recordings of each manifest")
    parser.add_argument("--to", default=None, help="translate too")
    args = parser.parse_args()
    items = [item for name in args.manifests for item in inputs([name])[: args.limit]]
    labellers = load_labellers(llm="qwen2.5-0.5b" if args.to else None, to=args.to or "en")
    # Nothing is dropped at first, so that each test can be judged on everything.
    everything = FilterOptions(
        min_s=0.0,
        max_s=60.0,
        min_language_probability=0.0,
        max_disagreement=1.0,
        min_quality=1.0,
        guards=False,
    )
    report = label(items, args.out, labellers, LabelOptions(filters=everything))
    journal = args.out.with_name(args.out.name + ".journal.jsonl")
    rows = {row["id"]: row for row in map(json.loads, journal.read_text("utf-8").splitlines())}
    found = [
        (Candidate.from_dict(one), item)
        for item in items
        for one in rows.get(item.id, {"candidates": []})["candidates"]
    ]
    time_table(report)
    filter_table(found)
    reason_table(found)


def time_table(report: LabelReport) -> None:
    if report.audio_s:
        print(f"### Where the time goes: {report.audio_s / 60:.1f} min of speech\n")
        print("| step | seconds | real-time factor |\n|---|---|---|")
        for name, spent_s in [*report.spent_s.items(), ("all", report.wall_s)]:
            print(f"| {name} | {spent_s:.1f} | {spent_s / report.audio_s:.3f} |")
        print()


Found = list[tuple[Candidate, Item]]


def errors(found: Found) -> tuple[int, int]:
    """Edits and reference tokens; a recording without speech has a reference of none."""
    wrong = total = 0
    for candidate, item in found:
        language = item.fields.get("language") or candidate.language
        reference = mixed_tokens(item.fields.get("text") or "", language)
        wrong += align(reference, mixed_tokens(candidate.text, language)).distance
        total += len(reference)
    return wrong, total


def filter_table(found: Found) -> None:
    cheap = FilterOptions(max_disagreement=None, min_quality=None)
    tests: dict[str, Callable[[Candidate], bool]] = {
        "none": lambda one: True,
        "length, language, rate": lambda one: not doubts(one, OFF),
        "and the guards": lambda one: not doubts(one, cheap),
        "all, as they are by default": lambda one: not doubts(one, FilterOptions()),
    }
    for most in (0.05, 0.1, 0.2, 0.3, 0.4):
        alone = FilterOptions(max_disagreement=most, min_quality=None)
        tests[f"the above, disagreement <= {most}"] = lambda one, o=alone: not doubts(one, o)
    for least in (1.5, 2.0, 2.5, 3.0):
        alone = FilterOptions(max_disagreement=None, min_quality=least)
        tests[f"the above, DNSMOS >= {least}"] = lambda one, o=alone: not doubts(one, o)
    print("### What the filters keep\n")
    print("| filters | utterances | minutes | yield, % | errors, % (MER) | not speech |")
    print("|---|---|---|---|---|---|")
    whole_s = sum(one.duration_s for one, _ in found)
    for name, keeps in tests.items():
        kept = [(one, item) for one, item in found if keeps(one)]
        spoken = [(one, item) for one, item in kept if item.fields.get("text")]
        kept_s = sum(one.duration_s for one, _ in kept)
        wrong, total = errors(spoken)
        rate = f"{100 * wrong / total:.1f}" if total else "-"
        print(
            f"| {name} | {len(kept)} | {kept_s / 60:.1f} | {100 * kept_s / whole_s:.0f} | {rate} "
            f"| {len(kept) - len(spoken)} |"
        )
    print()


def reason_table(found: Found) -> None:
    tally: dict[str, list[Any]] = {}
    for one, item in found:
        for reason in doubts(one, FilterOptions()):
            tally.setdefault(reason, []).append((one, item))
    print("### What each test doubts\n\n| test | utterances | their errors, % |\n|---|---|---|")
    for reason, doubted in sorted(tally.items(), key=lambda pair: -len(pair[1])):
        wrong, total = errors([pair for pair in doubted if pair[1].fields.get("text")])
        rate = f"{100 * wrong / total:.1f}" if total else "-"
        print(f"| {reason} | {len(doubted)} | {rate} |")
    print()


if __name__ == "__main__":
    main()
