"""How far a long transfer is: a bar on a terminal, a line every tenth of the way elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Lines are written by the room, not by this module: `mooer.store` is what a user switches on.
logger = logging.getLogger("mooer.store")

QUIET_BELOW_BYTES = 4_000_000
"""Smaller transfers are over before anybody could read about them."""

LINE_EVERY_S = 1.0
"""At most one line in this time, so that a fast network does not fill a log."""


def megabytes(num_bytes: int) -> str:
    """Size for people, in units of 10^6 bytes.

    >>> megabytes(145_217_532), megabytes(2_309)
    ('145 MB', '2.3 kB')
    """
    if num_bytes < 1_000_000:
        return f"{num_bytes / 1e3:.1f} kB"
    return f"{num_bytes / 1e6:.0f} MB" if num_bytes >= 10_000_000 else f"{num_bytes / 1e6:.1f} MB"


class Meter:
    """Shows one transfer of `total_bytes` while it runs; call `at` with what has arrived."""

    def __init__(self, label: str, total_bytes: int | None) -> None:
        self._label = label
        self._total_bytes = total_bytes
        self._stack = ExitStack()
        self._bar: tuple[Progress, TaskID] | None = None
        self._next_tenth = 1
        self._said_s = time.monotonic()

    def __enter__(self) -> Meter:
        is_small = self._total_bytes is not None and self._total_bytes < QUIET_BELOW_BYTES
        # Python may have been started without a standard error at all: then it is None.
        if sys.stderr is not None and sys.stderr.isatty() and not is_small:
            self._bar = self._open_bar()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def at(self, done_bytes: int) -> None:
        """Tell that `done_bytes` of the whole have arrived, those of earlier tries included."""
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, completed=done_bytes)
            return
        total = self._total_bytes
        if total is None or total < QUIET_BELOW_BYTES:
            return
        tenth = 10 * done_bytes // total
        now_s = time.monotonic()
        if tenth >= self._next_tenth and now_s - self._said_s >= LINE_EVERY_S:
            self._next_tenth = tenth + 1
            self._said_s = now_s
            logger.info("%s: %d %% of %s", self._label, 10 * tenth, megabytes(total))

    def _open_bar(self) -> tuple[Progress, TaskID]:
        from rich import progress
        from rich.console import Console

        bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._stack.enter_context(bar)
        return bar, bar.add_task(self._label, total=self._total_bytes)
