"""How far one input is: a bar with speed and time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

logger = logging.getLogger(__name__)

_LONG_S = 120.0  # a shorter recording is done before a line about it could help


class AudioProgress:
    """Call it with seconds done and seconds in all (None: not known), as a `Run` does."""

    def __init__(self, name: str, *, enabled: bool = True) -> None:
        self._name = name
        self._enabled = enabled
        self._began_s = time.monotonic()
        self._next_tenth = 1
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> AudioProgress:
        if self._enabled and sys.stderr.isatty():
            self._progress = _bar()
            self._task = self._progress.add_task(self._name, total=None, speed="")
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

    def __call__(self, done_s: float, total_s: float | None) -> None:
        """Show it."""
        elapsed_s = max(1e-6, time.monotonic() - self._began_s)
        speed = f"{done_s / elapsed_s:.0f}x"
        if self._progress and self._task is not None:
            total_s = max(total_s, done_s) if total_s else None
            self._progress.update(self._task, completed=done_s, total=total_s, speed=speed)
        elif self._enabled and total_s and total_s >= _LONG_S:
            tenth = int(10 * done_s / total_s)
            if tenth >= self._next_tenth:
                self._next_tenth = tenth + 1
                left_s = elapsed_s * max(0.0, total_s / done_s - 1)
                logger.info(
                    "%s: %d %% at %s real time, %.0f s left", self._name, 10 * tenth, speed, left_s
                )


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[speed]:>5}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=True,
    )
