"""Markdown tables, for the benchmarks beside this file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def table(header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Print one, each line as soon as it is there."""
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header), flush=True)
    for line in lines:
        print("| " + " | ".join(map(str, line)) + " |", flush=True)
    print(flush=True)
