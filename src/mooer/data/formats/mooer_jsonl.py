"""MooER's raw list, as WeNet's: {"key": ..., "wav": ..., "txt": ...}, of a part start and end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mooer.data.formats.base import Format, Notes, file_of, located_path, needed, number, string
from mooer.data.jsonl import read_rows, write_rows
from mooer.data.supervision import Utterance
from mooer.errors import ManifestError

_HOLDS = frozenset({"text", "start_s"})


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    for place, row in read_rows(path):
        start_s, end_s = number(row, "start", place), number(row, "end", place)
        if start_s is not None and (end_s is None or end_s <= start_s):
            raise ManifestError(f'{place} has "start" {start_s} and "end" {end_s}: mend them')
        yield Utterance(
            needed(row, "key", place),
            located_path(path.parent, needed(row, "wav", place)),
            start_s=start_s,
            duration_s=None if start_s is None or end_s is None else round(end_s - start_s, 6),
            text=string(row, "txt", place),
            extra=row,
        )


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_rows(path, (_row(utterance, notes) for utterance in utterances))


def _row(utterance: Utterance, notes: Notes) -> dict[str, Any]:
    is_part = utterance.start_s is not None
    notes.add_lost(utterance, {*_HOLDS, "duration_s"} if is_part else _HOLDS)
    row: dict[str, Any] = {
        "key": utterance.id,
        "wav": file_of(utterance, "mooer-jsonl", parts=True),
        "txt": utterance.text or "",
    }
    if is_part:
        if utterance.end_s is None:
            raise ManifestError(f"{utterance.id} has a start but no duration: add it")
        row.update(start=utterance.start_s, end=round(utterance.end_s, 6))
    return row


FORMAT = Format(_read, _write, _HOLDS)
