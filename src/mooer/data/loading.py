"""Batches made ahead by threads or processes, in the stream's order and with its positions."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ThreadPoolExecutor,
)
from types import TracebackType
from typing import Generic, Literal, Protocol, TypeVar

from mooer.data.collate import Failure, FeatureReader, Heard
from mooer.data.processes import process_pool
from mooer.data.stages import Example, State
from mooer.errors import AudioError, ConfigError

Results = list[Heard | Failure]
_Slot = tuple[Sequence[Example], "Future[Results]", State]
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class Joins(Protocol[B_co]):
    """A collator: it reads examples anywhere, and joins what was read to a batch."""

    @property
    def read(self) -> FeatureReader:
        """Runs in the workers."""
        ...

    def join(self, examples: Sequence[Example], results: Results) -> B_co | None:
        """The batch; None if nothing could be read."""
        ...


class Loader(Generic[B]):
    """Iterates over (batch, state). Sound and features are made by workers; closing ends them.

    The stream is drawn from by one thread, reading of sound is spread over `num_workers`, and
    results come in the order of the stream: with any number of workers the same batches. Nothing
    runs beside the caller if `num_workers` is 0. A state belongs to the batch it comes with,
    however far the workers are ahead.
    """

    def __init__(
        self,
        stream: Iterator[tuple[Sequence[Example], State]],
        collate: Joins[B],
        *,
        num_workers: int = 2,
        kind: Literal["thread", "process"] = "thread",
        ahead: int = 2,  # batches a worker
    ) -> None:
        if num_workers < 0 or ahead < 1:
            raise ConfigError("a loader needs num_workers >= 0 and ahead >= 1")
        self._stream = stream
        self._collate = collate
        self._pool = _pool(kind, num_workers, collate.read) if num_workers else None
        self._kind = kind
        self._slots: queue.Queue[_Slot | BaseException | None] = queue.Queue(num_workers * ahead)
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        if self._pool is not None:
            self._thread = threading.Thread(target=self._draw, name="draw", daemon=True)
            self._thread.start()

    def __iter__(self) -> Iterator[tuple[B, State]]:
        return self

    def __next__(self) -> tuple[B, State]:
        while True:
            examples, results, state = self._next()
            batch = self._collate.join(examples, results)
            if batch is not None:
                return batch, state

    def _next(self) -> tuple[Sequence[Example], Results, State]:
        if self._pool is None:
            examples, state = next(self._stream)
            return examples, self._collate.read(examples), state
        if self._closed.is_set():
            raise StopIteration
        slot = self._slots.get()
        if slot is None or isinstance(slot, BaseException):
            self.close()
            raise StopIteration if slot is None else slot
        examples, future, state = slot
        try:
            return examples, future.result(), state
        except BrokenExecutor as error:
            self.close()
            raise AudioError(
                "a process that reads sound has died: memory may be short; use fewer workers, or "
                "threads"
            ) from error

    def _draw(self) -> None:
        """Hand batches to the workers until the stream ends or the loader is closed."""
        end: BaseException | None = None
        try:
            for examples, state in self._stream:
                if not self._put((examples, self._submit(examples), state)):
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _submit(self, examples: Sequence[Example]) -> Future[Results]:
        assert self._pool is not None
        if self._kind == "process":
            return self._pool.submit(_read, examples)
        return self._pool.submit(self._collate.read, examples)

    def _put(self, slot: _Slot | BaseException | None) -> bool:
        while not self._closed.is_set():
            try:
                self._slots.put(slot, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def close(self) -> None:
        """Forget what was made ahead and end the workers."""
        self._closed.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Loader[B]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _pool(kind: str, num_workers: int, read: FeatureReader) -> Executor:
    if kind == "thread":
        return ThreadPoolExecutor(num_workers, "sound")
    return process_pool(num_workers, keep_on_signals=True, begin=_begin, arguments=(read,))


_reader: list[FeatureReader] = []  # of this process, if it is a worker


def _begin(read: FeatureReader) -> None:
    _reader[:] = [read]


def _read(examples: Sequence[Example]) -> Results:
    return _reader[0](examples)
