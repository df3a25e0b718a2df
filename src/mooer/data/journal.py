"""Append-only JSON lines that survive a kill: what long work has finished, so that it goes on."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from mooer.errors import ConfigError, OutputError
from mooer.files import write_whole

logger = logging.getLogger(__name__)


def _id(row: dict[str, Any]) -> Any:
    return row["id"]


class Journal:
    """A file of one JSON object a line, each with an `id`; the last line of an id counts.

    With `key` it is what that makes of a row, KeyError or TypeError for a row that is none.

    Opening it reads what an earlier run left in `rows` and cuts off a last line that was not
    finished, so that nothing is ever appended to half a line. OutputError if it cannot be written,
    or if another process has it open (not told on Windows).
    """

    def __init__(self, path: Path, key: Callable[[dict[str, Any]], Any] = _id) -> None:
        self.path = path
        self.rows: dict[Any, dict[str, Any]] = {}
        self._key = key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._lock()
            self._file.seek(0)
            self._read(self._file.read())
        except OSError as error:
            raise self._explained(error) from error

    def _lock(self) -> None:
        """For this process alone, until the file is closed."""
        if sys.platform == "win32":
            return
        import fcntl

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise OutputError(
                f"{self.path} is being written by another process: wait for its end, or name "
                "another output"
            ) from None
        except OSError as error:  # a file system without locks
            logger.warning(
                "%s cannot be locked (%s): see that no second process writes it",
                self.path,
                error.strerror or error,
            )

    def _read(self, data: bytes) -> None:
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) != len(data):
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.split(b"\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                self.rows[self._key(row)] = row
            except (ValueError, TypeError, KeyError) as error:
                self._file.close()
                raise ConfigError(
                    f"{self.path} line {number} was not written by this command: mend or remove "
                    "the line, or name another output"
                ) from error

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a row, in the file when this returns. OutputError if it cannot be written."""
        line = json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._explained(error) from error
        self.rows[self._key(dict(row))] = dict(row)

    def close(self) -> None:
        """Close the file and keep it."""
        self._file.close()

    def _explained(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {error.strerror or error}")

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def agree_on_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Compare `settings` with those that earlier runs left in `path`, and add what is new.

    ConfigError names what differs: half a set made one way and half another is no set.
    """
    wanted = json.loads(json.dumps(settings))
    given: dict[str, Any] = {}
    try:
        if path.exists():
            given = dict(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} is damaged ({error}): name another output") from error
    differ = [
        f"{key}: {given[key]!r} then, {value!r} now"
        for key, value in wanted.items()
        if key in given and given[key] != value
    ]
    if differ:
        raise ConfigError(
            f"{path.parent} was begun with other settings ({', '.join(differ)}): "
            "use the same, or name another output"
        )
    if given.keys() < given.keys() | wanted.keys():
        merged = json.dumps({**given, **wanted}, ensure_ascii=False, indent=1)
        write_whole(path, merged + "\n")
