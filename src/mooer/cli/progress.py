"""How far long work is: a bar with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from typing_extensions import Self

logger = logging.getLogger(__name__)

_LONG_S = 120.0  # a shorter recording is done before a line about it could help


class _Bar:
    """A bar on the terminal; where there is none, a line each tenth."""

    def __init__(self, name: str, *, enabled: bool = True) -> None:
        self._name = name
        self._enabled = enabled
        self._began_s = time.monotonic()
        self._next_tenth = 1
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._enabled and sys.stderr.isatty():
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

    @property
    def _elapsed_s(self) -> float:
        return max(1e-6, time.monotonic() - self._began_s)

    def _shows(self, done: float, total: float | None, note: str) -> bool:
        """Whether a bar shows it, so that no line is needed."""
        if self._progress is None or self._task is None:
            return False
        self._progress.update(self._task, completed=done, total=total, note=note)
        return True

    def _new_tenth(self, done: float, total: float) -> int | None:
        """The tenth that was reached, if none was told since."""
        tenth = int(10 * done / total) if total else 10
        if tenth < self._next_tenth:
            return None
        self._next_tenth = tenth + 1
        return tenth


class Tally(_Bar):
    """Call it with things done and in all, and a word to show beside them."""

    _first: float | None = None  # what was there at the first call, by earlier runs

    def __call__(self, done: float, total: float, note: str) -> None:
        """Show it."""
        if self._shows(done, total, note):
            return
        self._first = done if self._first is None else self._first
        tenth = self._new_tenth(done, total)
        if tenth is None:
            return
        left_s = self._elapsed_s * max(0.0, total - done) / max(done - self._first, 1e-6)
        left = f", {left_s:.0f} s left" if done < total and done > self._first else ""
        logger.info("%s: %d %%, %s%s", self._name, 10 * tenth, note, left)


class AudioProgress(_Bar):
    """Call it with seconds done and seconds in all (None: not known), as a `Run` does."""

    def __call__(self, done_s: float, total_s: float | None) -> None:
        """Show it."""
        speed = f"{done_s / self._elapsed_s:.0f}x"
        if self._shows(done_s, max(total_s, done_s) if total_s else None, f"{speed:>5}"):
            return
        if not self._enabled or not total_s or total_s < _LONG_S:
            return
        tenth = self._new_tenth(done_s, total_s)
        if tenth is not None:
            left_s = self._elapsed_s * max(0.0, total_s / done_s - 1)
            logger.info(
                "%s: %d %% at %s real time, %.0f s left", self._name, 10 * tenth, speed, left_s
            )


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
