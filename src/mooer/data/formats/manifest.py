"""Our own: one JSON object a line, docs/data.md. It holds everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from mooer.data.formats.base import Format, Notes
from mooer.data.supervision import FIELDS, Utterance, read_manifest, write_manifest


def _read(path: Path, notes: Notes) -> Iterator[Utterance]:
    yield from read_manifest(path)


def _write(path: Path, utterances: Iterable[Utterance], notes: Notes) -> int:
    return write_manifest(path, utterances)


FORMAT = Format(_read, _write, frozenset({*FIELDS, "extra"}))
