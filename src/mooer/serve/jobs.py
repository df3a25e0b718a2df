"""Work in threads that the event loop waits for: it can be cancelled, has a deadline, and waits for
its reader.

A `Job` goes down into the work, which asks it now and then whether to go on. When the reader is
gone the job is cancelled, and its place is free once its thread has really ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import AudioError
from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.limits import Limits, Ticket

logger = logging.getLogger(__name__)

T = TypeVar("T")
_AHEAD = 16  # results that wait for a slow reader; then the work waits
_POLL_S = 0.2
_END: Any = object()


class StoppedError(Exception):
    """The work was told to end: nobody waits for it."""


class Job:
    """One request's work: whose it is, whether it is still wanted, how long it may take."""

    def __init__(
        self, caller: Caller, deadline_s: float, *, max_duration_s: float = float("inf")
    ) -> None:
        self.caller = caller
        self.heard_s = 0.0  # sound that was read
        self.has_begun = False  # from then on its thread gives the place back
        self._ends_at = time.monotonic() + deadline_s
        self._deadline_s = deadline_s
        self._max_duration_s = max_duration_s
        self._is_cancelled = threading.Event()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self._ends_at - time.monotonic()

    def cancel(self) -> None:
        """Nobody waits any longer."""
        self._is_cancelled.set()

    def check(self) -> None:
        """To be called now and then by the work. StoppedError; ApiError 504 past the deadline."""
        if self._is_cancelled.is_set():
            raise StoppedError
        if self.left_s <= 0:
            raise ApiError(
                504,
                f"the request was not done in {self._deadline_s:.0f} s: send less at once",
                code="timeout",
            )

    def watch(self, samples: Any) -> None:
        """For `Run.overhear`: count what is read, so that no small file becomes days of sound."""
        self.check()
        self.heard_s += len(samples) / SAMPLE_RATE_HZ
        if self.heard_s > self._max_duration_s:
            raise AudioError(
                f"the recording is longer than {self._max_duration_s:.0f} s, the most that is "
                "taken here: send it in parts"
            )


class Workers:
    """The threads of requests, as many as may run at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.options.max_running, "request")
        self._active: set[Job] = set()

    @asynccontextmanager
    async def place(self, job: Job) -> AsyncIterator[Ticket]:
        """Wait for a place, and give it back if the job does not begin. ApiError 429 or 504."""
        ticket = await self._limits.enter(job.caller, max(0.0, job.left_s))
        try:
            yield ticket
        finally:
            if not job.has_begun:
                ticket.release()

    async def stream(
        self, job: Job, ticket: Ticket, work: Callable[[Job], Iterator[T]]
    ) -> AsyncGenerator[T, None]:
        """What a generator yields in a thread; the ticket is given back when that has ended.

        Errors of the work are raised here. Closing this early cancels the job. Until the job
        `has_begun` the ticket is the caller's to give back.
        """
        loop = asyncio.get_running_loop()
        results: asyncio.Queue[Any] = asyncio.Queue()
        room = threading.Semaphore(_AHEAD)

        def tell(item: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
                loop.call_soon_threadsafe(results.put_nowait, item)

        def run() -> None:
            outcome: Any = _END
            try:
                job.check()
                with contextlib.closing(_as_generator(work(job))) as found:
                    for one in found:
                        while not room.acquire(timeout=_POLL_S):
                            job.check()
                        job.check()
                        tell(one)
            except BaseException as error:
                outcome = error
            tell(_Ended(outcome))

        thread = self._pool.submit(run)
        job.has_begun = True
        self._active.add(job)

        def ended(_: Any) -> None:
            self._active.discard(job)
            ticket.release()

        def tell_ended(future: Any) -> None:
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(ended, future)

        thread.add_done_callback(tell_ended)
        try:
            while True:
                item = await results.get()
                if isinstance(item, _Ended):
                    if item.outcome is not _END:
                        raise item.outcome
                    return
                room.release()
                yield item
        finally:
            job.cancel()

    async def run(self, job: Job, work: Callable[[Job], T]) -> T:
        """The one result of a function in a thread."""

        def once(job: Job) -> Iterator[T]:
            yield work(job)

        async with self.place(job) as ticket, aclosing(self.stream(job, ticket, once)) as found:
            return await found.__anext__()

    def close(self) -> None:
        """Cancel all that runs; threads end by themselves."""
        for job in list(self._active):
            job.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)


class _Ended:
    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome


def _as_generator(found: Iterator[T]) -> Any:
    """With a `close`, so that files are let go of in the thread that used them."""
    if hasattr(found, "close"):
        return found
    return (one for one in found)
