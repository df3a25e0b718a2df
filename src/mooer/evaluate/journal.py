"""Finished utterances of a run, appended line by line, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mooer.errors import ConfigError, OutputError


class Journal:
    """Append-only JSON lines: a head that says what was run, then one line an utterance.

    `finished` holds what an earlier run left; a last line cut short by a crash is dropped.
    ConfigError if that run had another model, task or language.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], *, force: bool = False) -> None:
        self.path = path
        self.finished: dict[tuple[str, str], dict[str, Any]] = {}
        self._file: IO[str] | None = None
        if path is None:
            return
        if path.exists() and not force:
            self._resume(path, dict(head))
        rows = [{"head": dict(head)}, *self.finished.values()]
        try:
            # Written anew, so that nothing is ever appended to half a line.
            fresh = path.with_name(path.name + ".tmp")
            fresh.write_text("".join(_line(row) for row in rows), encoding="utf-8")
            fresh.replace(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    def _resume(self, path: Path, head: dict[str, Any]) -> None:
        rows: list[dict[str, Any]] = []
        for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                rows.append(row)
        if rows and rows[0].get("head") != json.loads(json.dumps(head)):
            raise ConfigError(
                f"{path} was begun with other settings ({json.dumps(rows[0].get('head'))}): "
                "give --force to start anew, or another --report"
            )
        for row in rows[1:]:
            if isinstance(row.get("set"), str) and isinstance(row.get("id"), str):
                self.finished[row["set"], row["id"]] = row

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a finished utterance; it needs `set` and `id`."""
        if self._file is not None:
            self._file.write(_line(row))
            self._file.flush()

    def discard(self) -> None:
        """Remove the file: the report is written."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and keep it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"
