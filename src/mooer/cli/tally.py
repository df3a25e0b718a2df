"""How far a list of things is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

logger = logging.getLogger(__name__)


class Tally:
    """Call it with things done and in all, and a word to show beside them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._began_s = time.monotonic()
        self._first: float | None = None  # what was there at the first call, by earlier runs
        self._next_tenth = 1
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Tally:
        if sys.stderr.isatty():
            self._progress = _bar()
            self._task = self._progress.add_task(self._name, total=None, note="")
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._progress:
            self._progress.stop()

    def __call__(self, done: float, total: float, note: str) -> None:
        """Show it."""
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)
            return
        self._first = done if self._first is None else self._first
        tenth = int(10 * done / total) if total else 10
        if tenth < self._next_tenth:
            return
        self._next_tenth = tenth + 1
        elapsed_s = time.monotonic() - self._began_s
        left_s = elapsed_s * max(0.0, total - done) / max(done - self._first, 1e-6)
        left = f", {left_s:.0f} s left" if done < total and done > self._first else ""
        logger.info("%s: %d %%, %s%s", self._name, 10 * tenth, note, left)


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[note]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
