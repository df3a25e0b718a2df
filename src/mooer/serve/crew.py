"""Several processes behind one port: one that dies, or stands still, is made anew.

Each has the same socket, and the system gives a connection to whichever is free. If a process ends
before any of them has ever answered the crew gives up: what is wrong would be wrong again. Later on
it tries again and again, in growing intervals, while the others work.
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
_AGAIN_S, _MOST_AGAIN_S = 1.0, 30.0  # until one that did not start is tried again
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
        self._workers: list[_Worker] = []
        self._has_answered = False
        self._again_s = _AGAIN_S

    def run(self, drain_s: float) -> None:
        """Until told to end; then wait for what runs, or, told once more, do not.

        ConfigError if no process can start.
        """
        with _told_by_signals(self._told):
            try:
                for _ in range(self._config.workers):
                    self._workers.append(self._new())
                while not self._num_told:
                    time.sleep(_POLL_S)
                    for place, one in enumerate(self._workers):
                        self._keep(place, one)
            finally:
                self._end(drain_s)

    def _told(self) -> None:
        self._num_told += 1

    def _new(self) -> _Worker:
        return _Worker(self._config, self._place, self._work)

    def _keep(self, place: int, worker: _Worker) -> None:
        """See that there is a worker in a place. ConfigError if none has ever answered."""
        self._has_answered = self._has_answered or worker.beat.value > 0
        if self._num_told or worker.is_well():
            return
        if not self._has_answered:
            raise ConfigError("a worker ended before it could answer: the log says why")
        if not worker.ended_at:
            logger.error("worker %s died or stood still: another comes", worker.process.pid)
            worker.end()
        if worker.beat.value:
            self._again_s = _AGAIN_S
        elif time.monotonic() - worker.ended_at < self._again_s:
            return
        else:
            self._again_s = min(_MOST_AGAIN_S, 2 * self._again_s)
        try:
            self._workers[place] = self._new()
        except OSError as error:  # no memory, no processes: the others work on
            worker.ended_at = time.monotonic()
            worker.beat.value = 0
            logger.error("no worker can be started: %s", error)

    def _end(self, drain_s: float) -> None:
        for one in self._workers:
            one.process.terminate()
        ends_at = time.monotonic() + drain_s + 10.0  # they let go of models too
        while any(one.process.is_alive() for one in self._workers):
            if self._num_told > 1 or time.monotonic() > ends_at:
                for one in self._workers:
                    one.process.kill()
            time.sleep(_POLL_S / 4)


class _Worker:
    """A process, and when it last turned."""

    def __init__(self, config: uvicorn.Config, place: socket.socket, work: Work) -> None:
        self.beat = _spawn.RawValue("L", 0)
        self.process = _spawn.Process(target=_started, args=(work, config, place, self.beat))
        self.process.start()
        self.ended_at = 0.0
        self._last = (0, time.monotonic())

    def is_well(self) -> bool:
        """Whether it lives and turns; one that is still loading has as long as it needs."""
        count, at = self._last
        if self.beat.value != count or not count:
            self._last = (self.beat.value, time.monotonic())
        elif time.monotonic() - at > _STILL_S:
            return False
        return self.process.is_alive()

    def end(self) -> None:
        """End it at once, if it has not ended."""
        self.process.kill()
        self.process.join()
        self.ended_at = time.monotonic()


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
