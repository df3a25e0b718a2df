"""Reports: JSON for programs, a Markdown table for people, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_HEADS = ("set", "language", "utterances", "WER %", "CER %", "MER %", "BLEU", "chrF", "RTF")


def to_json(report: Mapping[str, Any]) -> str:
    """The report as JSON; its keys are described in `mooer.evaluate.benchmark`."""
    return json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def table_rows(report: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Cells of the table: one row a set, and one a language where a set has several."""
    for name, numbers in report["sets"].items():
        yield _cells(name, numbers.get("language") or "several", numbers)
        for language, part in numbers.get("by_language", {}).items():
            yield _cells(name, language, part)


def _cells(name: str, language: str, numbers: Mapping[str, Any]) -> tuple[str, ...]:
    intervals = numbers["intervals"]

    def rate(metric: str) -> str:
        return _with_interval(numbers[metric], intervals.get(metric), 100)

    return (
        name,
        language,
        str(numbers["num_utterances"]),
        rate("wer"),
        rate("cer"),
        rate("mer"),
        _with_interval(numbers["bleu"], intervals.get("bleu"), 1),
        _with_interval(numbers["chrf"], None, 1),
        "–" if numbers["rtf"] is None else f"{numbers['rtf']:.3f}",
    )


def _with_interval(value: float | None, bounds: list[float] | None, factor: int) -> str:
    """`5.3 (4.1–6.6)`; a dash for a metric that does not apply."""
    if value is None:
        return "–"
    shown = f"{value * factor:.1f}"
    return shown if not bounds else shown + f" ({bounds[0] * factor:.1f}–{bounds[1] * factor:.1f})"


def to_markdown(report: Mapping[str, Any]) -> str:
    """A table with one row a set; 95 % intervals stand in brackets."""
    lines = ["| " + " | ".join(_HEADS) + " |", "|---|---|" + "---:|" * (len(_HEADS) - 2)]
    for cells in table_rows(report):
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def heads() -> tuple[str, ...]:
    """Titles of the columns of `table_rows`."""
    return _HEADS
