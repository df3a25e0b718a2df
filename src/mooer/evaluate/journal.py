"""Finished utterances of a run, appended line by line, so that an interrupted run goes on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mooer.data import journal
from mooer.errors import ConfigError, OutputError

_HEAD = ("", "head")


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return _HEAD if "head" in row else (row["set"], row["id"])


class Journal:
    """Append-only JSON lines: a head that says what was run, then one line an utterance.

    `finished` holds what an earlier run left; a last line cut short by a crash is dropped.
    ConfigError if that run had another model, task or language.
    """

    def __init__(self, path: Path | None, head: Mapping[str, Any], *, force: bool = False) -> None:
        self.path = path
        self.finished: dict[tuple[str, str], dict[str, Any]] = {}
        self._rows: journal.Journal | None = None
        if path is None:
            return
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {path}: its folder does not exist")
        if force:
            path.unlink(missing_ok=True)
        self._rows = journal.Journal(path, _key)
        self.finished = self._rows.rows
        given = self.finished.pop(_HEAD, {"head": None})["head"]
        if given is None and not self.finished:
            self.add({"head": dict(head)})
            self.finished.pop(_HEAD)
        elif given != json.loads(json.dumps(head)):
            self.close()
            raise ConfigError(
                f"{path} was begun with other settings ({json.dumps(given)}): "
                "give --force to start anew, or another --report"
            )

    def add(self, row: Mapping[str, Any]) -> None:
        """Keep a finished utterance; it needs `set` and `id`."""
        if self._rows is not None:
            self._rows.add(row)

    def discard(self) -> None:
        """Remove the file: the report is written."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file and keep it."""
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
