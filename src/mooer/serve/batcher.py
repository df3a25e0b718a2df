"""Pieces of several requests in one batch, in a fair order.

Nothing waits for a batch to fill: while one is decoded others come in, and those of one kind make
the next. The order is by sound that was decoded: the caller who had least goes first, and of one
caller the request that had least, so that a short clip does not wait behind an hour of talk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mooer.serve.jobs import Job

I = TypeVar("I")  # noqa: E741 - an item
R = TypeVar("R")

_POLL_S = 0.2
_MAX_KNOWN = 1000  # callers and jobs whose share is remembered

Decode = Callable[[Any, Sequence[I]], Sequence[R]]


@dataclass(eq=False)
class _Waiting(Generic[I, R]):
    job: Job
    key: Hashable
    item: I
    cost: float
    future: Future[R] = field(default_factory=Future)


class Batcher(Generic[I, R]):
    """Threads that decode what is waiting; `decode(key, items)` gives a result for each item.

    Items share a batch if their keys are equal. `on_batch` is told the size of each.
    """

    def __init__(
        self,
        decode: Decode[I, R],
        *,
        workers: int = 1,
        max_batch: int = 8,
        on_batch: Callable[[int], None] = lambda size: None,
        name: str = "model",
    ) -> None:
        self._decode = decode
        self._max_batch = max_batch
        self._on_batch = on_batch
        self._waiting: list[_Waiting[I, R]] = []
        self._shares: dict[Any, float] = {}  # callers' ids and jobs -> cost so far
        self._clocks: dict[Any, float] = {}  # the share of who is served: of callers (None), …
        self._changed = threading.Condition()
        self._num_busy = 0
        self._is_closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def num_waiting(self) -> int:
        """Items that no thread has begun."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is done, and nothing waits."""
        return not self._num_busy and not self._waiting

    @property
    def is_alone(self) -> bool:
        """Whether one thread is at work at most, and nothing waits for another."""
        return self._num_busy <= 1 and not self._waiting

    def map(
        self, job: Job, key: Hashable, items: Sequence[I], costs: Sequence[float] | None = None
    ) -> list[R]:
        """A result for each item, in order; waits for them. Errors of the decoding are raised.

        If the job is cancelled or late what no thread has begun is taken out again.
        """
        futures = self.submit(job, key, items, costs)
        try:
            left = set(futures)
            while left:
                job.check()
                left = wait(left, timeout=_POLL_S).not_done
            return [future.result() for future in futures]
        finally:
            self.withdraw(futures)

    def submit(
        self, job: Job, key: Hashable, items: Sequence[I], costs: Sequence[float] | None = None
    ) -> list[Future[R]]:
        """The same for one who waits elsewhere; what is not wanted any more, `withdraw`."""
        asked = [
            _Waiting[I, R](job, key, item, cost)
            for item, cost in zip(items, costs or [1.0] * len(items), strict=True)
        ]
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the model is being unloaded")
            self._join(job)
            self._waiting += asked
            self._changed.notify(len(asked))
        return [one.future for one in asked]

    def withdraw(self, futures: Sequence[Future[R]]) -> None:
        """Take out again what no thread has begun."""
        with self._changed:
            self._waiting = [one for one in self._waiting if one.future not in futures]

    def close(self) -> None:
        """End the threads after what they are at; what waits is cancelled."""
        with self._changed:
            self._is_closed = True
            for one in self._waiting:
                one.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()

    def _join(self, job: Job) -> None:
        """A newcomer begins where those are who are served: the past earns nobody a lead."""
        if len(self._shares) > _MAX_KNOWN:
            self._shares.clear()
            self._clocks.clear()
        for key, among in ((job.caller.id, None), (job, job.caller.id)):
            least = self._clocks.get(among, 0.0)
            self._shares[key] = max(self._shares.get(key, 0.0), least)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
                batch = self._next()
                self._num_busy += 1
            try:
                self._on_batch(len(batch))
                self._settle(batch)
            finally:
                with self._changed:
                    self._num_busy -= 1

    def _next(self) -> list[_Waiting[I, R]]:
        """Whose turn it is, and who may come along."""
        shares = self._shares

        def rank(one: _Waiting[I, R]) -> tuple[float, float]:
            return shares.get(one.job.caller.id, 0.0), shares.get(one.job, 0.0)

        batch: list[_Waiting[I, R]] = []
        while self._waiting and len(batch) < self._max_batch:
            able = [one for one in self._waiting if not batch or one.key == batch[0].key]
            if not able:
                break
            first = min(able, key=rank)  # of equals the one that came first
            self._waiting.remove(first)
            if not batch:
                self._clocks[None] = shares.get(first.job.caller.id, 0.0)
                self._clocks[first.job.caller.id] = shares.get(first.job, 0.0)
            batch.append(first)
            for key in (first.job.caller.id, first.job):
                shares[key] = shares.get(key, 0.0) + first.cost
        return batch

    def _settle(self, batch: list[_Waiting[I, R]]) -> None:
        """Decode a batch; if that fails, each by itself, so that one does not spoil the others."""
        try:
            found = self._decode(batch[0].key, [one.item for one in batch])
            if len(found) != len(batch):  # raised further down it would end this thread
                raise AssertionError(f"{len(found)} results of {len(batch)} items")
        except BaseException as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for one in batch:
                self._settle([one])
            return
        for one, result in zip(batch, found, strict=True):
            one.future.set_result(result)
