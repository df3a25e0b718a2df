"""metrics.jsonl: a row for every step and every validation, and what can be drawn from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from mooer.errors import MissingExtra, OutputError

FILE = "metrics.jsonl"


class Journal:
    """Appends rows. Going on from a step, it first drops the rows after that step."""

    def __init__(self, folder: Path, *, after_step: int) -> None:
        self._path = folder / FILE
        rows = [row for row in read(folder) if row["step"] <= after_step]
        partial = self._path.with_suffix(".tmp")
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        partial.replace(self._path)
        self._file: TextIO = self._path.open("a", encoding="utf-8", buffering=1)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, row: dict[str, Any]) -> None:
        """Write one row; it has a `step`. OutputError if the disk is full."""
        try:
            self._file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {self._path}: {error.strerror}; the last checkpoint is whole: "
                "make room and go on with --resume"
            ) from error


def read(folder: Path) -> Iterator[dict[str, Any]]:
    """Rows of a run, in order. A last line that was cut off is left out."""
    path = folder / FILE
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                return


def write_tensorboard(folder: Path) -> Path:
    """TensorBoard events of all rows, in `folder`/tensorboard. MissingExtra without the package."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise MissingExtra("tensorboard", "train") from error
    target = folder / "tensorboard"
    for old in target.glob("events.*"):
        old.unlink()
    writer = EventFileWriter(str(target))
    for row in read(folder):
        for name, value in scalars(row).items():
            summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
            writer.add_event(Event(step=row["step"], wall_time=row["time"], summary=summary))
    writer.close()
    return target


def scalars(row: dict[str, Any]) -> dict[str, float]:
    """Numbers of a row by the name of their curve.

    >>> scalars({"step": 3, "time": 1.0, "validation": "dev", "wer": 0.5})
    {'dev/wer': 0.5}
    """
    place = row.get("validation", "train")
    return {
        f"{place}/{name}": float(value)
        for name, value in row.items()
        if name not in {"step", "time"} and isinstance(value, int | float)
    }
