"""Several processes behind one port: one that dies, or stands still, is made anew.

Each has the same socket, and the system gives a connection to whichever is free. A process that
ends before it has ever answered is not made anew: what is wrong with it would be wrong again.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from mooer.errors import ConfigError

logger = logging.getLogger(__name__)

_STILL_S = 30.0  # without a turn of its event loop
_POLL_S = 0.2
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_spawn = multiprocessing.get_context("spawn")  # threads of models do not survive a fork

Work = Callable[[uvicorn.Config, socket.socket, Any], None]


class Crew:
    """`work(config, socket, beat)` in `config.workers` processes; it counts `beat.value` up."""

    def __init__(self, config: uvicorn.Config, place: socket.socket, work: Work) -> None:
        self._config = config
        self._place = place
        self._work = work
        self._num_told = 0  # to end

    def run(self, drain_s: float) -> None:
        """Until told to end; then wait for what runs, or, told once more, do not.

        ConfigError if a process cannot start.
        """
        with _told_by_signals(self._told):
            workers = [self._new() for _ in range(self._config.workers)]
            try:
                while not self._num_told:
                    time.sleep(_POLL_S)
                    workers = [self._kept(one) for one in workers]
            finally:
                self._end(workers, drain_s)

    def _told(self) -> None:
        self._num_told += 1

    def _new(self) -> _Worker:
        return _Worker(self._config, self._place, self._work)

    def _kept(self, worker: _Worker) -> _Worker:
        """The worker, or another in its place."""
        if self._num_told or worker.is_well():
            return worker
        if not worker.beat.value:
            raise ConfigError("a worker ended before it could answer: the log says why")
        logger.error("worker %s died or stood still: another takes its place", worker.process.pid)
        worker.process.kill()
        worker.process.join()
        return self._new()

    def _end(self, workers: list[_Worker], drain_s: float) -> None:
        for one in workers:
            one.process.terminate()
        ends_at = time.monotonic() + drain_s + 10.0  # they let go of models too
        while any(one.process.is_alive() for one in workers):
            if self._num_told > 1 or time.monotonic() > ends_at:
                for one in workers:
                    one.process.kill()
            time.sleep(_POLL_S / 4)


class _Worker:
    """A process, and when it last turned."""

    def __init__(self, config: uvicorn.Config, place: socket.socket, work: Work) -> None:
        self.beat = _spawn.RawValue("L", 0)
        self.process = _spawn.Process(target=_started, args=(work, config, place, self.beat))
        self.process.start()
        self._last = (0, time.monotonic())

    def is_well(self) -> bool:
        """Whether it lives and turns; one that is still loading has as long as it needs."""
        count, at = self._last
        if self.beat.value != count or not count:
            self._last = (self.beat.value, time.monotonic())
        elif time.monotonic() - at > _STILL_S:
            return False
        return self.process.is_alive()


def has_parent() -> bool:
    """Whether the process that made this one is there: without it nobody tells this one to end."""
    parent = multiprocessing.parent_process()
    return parent is None or parent.is_alive()


def _started(work: Work, config: uvicorn.Config, place: socket.socket, beat: Any) -> None:
    config.configure_logging()  # which does not come along
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn's way to say what ended it
        work(config, place, beat)


@contextlib.contextmanager
def _told_by_signals(tell: Callable[[], None]) -> Iterator[None]:
    before = {one: signal.signal(one, lambda *_: tell()) for one in _SIGNALS}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
