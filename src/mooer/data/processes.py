"""Pools of processes that end with the process that began them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any


def process_pool(
    num_workers: int,
    *,
    keep_on_signals: bool = False,
    begin: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> ProcessPoolExecutor:
    """A pool whose workers first call `begin(*arguments)`.

    Signals from a terminal or a batch system reach workers too. With `keep_on_signals` they leave
    them to the process that began them, which may want to finish first; otherwise they end.
    """
    # A fork would copy the locks of the caller's threads, some of them held.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(
        num_workers, context, initializer=_begin, initargs=(keep_on_signals, begin, arguments)
    )


def _begin(
    keep_on_signals: bool, begin: Callable[..., None] | None, arguments: tuple[Any, ...]
) -> None:
    action = signal.SIG_IGN if keep_on_signals else signal.SIG_DFL
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, action)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if begin is not None:
        begin(*arguments)


def _end_with_parent() -> None:
    """A worker holds both ends of its queue, so that it would wait for ever if the other died."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
