"""Work beside a session: in threads, or in virtual time for a replay that is faster than life.

A piece of work is a generator that gets `tell`, calls it with each result as soon as it has one,
and yields wherever it may be stopped. Jobs of one lane run one after the other, as the models
behind them want; lanes run beside each other.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

from mooer.errors import AgentError, MooerError

Tell = Callable[[Any], None]
Work = Callable[[Tell], Generator[None, None, None]]


class JobClosed(Exception):  # noqa: N818  it is no error, but the way out of work that nobody wants
    """Raised by `tell` within work whose job has been closed."""


@dataclass(frozen=True, slots=True)
class Done:
    """The last thing told of a job: it is finished, or failed by `error`."""

    error: MooerError | None = None


class Job(Protocol):
    """A piece of work on its way."""

    def due(self, now_s: float) -> float | None:
        """When its next result came, if that was by `now_s`; seconds of the stream."""
        ...

    def take(self) -> Any:
        """The result that is due; the last is `Done`."""
        ...

    def close(self) -> None:
        """Stop it as soon as may be; nothing more of it is told."""
        ...


class Jobs(Protocol):
    """Runs pieces of work beside a session; may be shared by many."""

    def start(self, lane: str, work: Work, *, at_s: float, deadline_s: float) -> Job:
        """Begin work at `at_s` of the stream.

        With no result for `deadline_s` it is given up: its `Done` holds an AgentError.
        """
        ...


def _too_late(lane: str, deadline_s: float) -> AgentError:
    return AgentError(f"no answer from {lane!r} for {deadline_s:g} s: it was given up")


# ---------------------------------------------------------------- threads


class ThreadJobs:
    """Jobs in threads, one a lane if not told otherwise; results come when they are looked for.

    A thread that hangs in foreign code cannot be stopped: its lane stays busy until it returns.
    """

    def __init__(
        self,
        workers: Mapping[str, int] = MappingProxyType({}),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._workers = workers
        self._clock = clock
        self._lanes: dict[str, queue.SimpleQueue[_ThreadJob | None]] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def start(self, lane: str, work: Work, *, at_s: float, deadline_s: float) -> Job:
        """As `Jobs` has it; AgentError once closed."""
        with self._lock:
            if self._is_closed:
                raise AgentError("these jobs have been closed: make new ones")
            if lane not in self._lanes:
                self._lanes[lane] = queue.SimpleQueue()
                for i in range(self._workers.get(lane, 1)):
                    threading.Thread(
                        target=_work_off,
                        args=(self._lanes[lane],),
                        name=f"mooer-{lane}-{i}",
                        daemon=True,
                    ).start()
            job = _ThreadJob(lane, work, deadline_s, self._clock)
            self._lanes[lane].put(job)
        return job

    def close(self) -> None:
        """End the threads, each after the job that it is at."""
        with self._lock:
            self._is_closed = True
            for lane, jobs in self._lanes.items():
                for _ in range(self._workers.get(lane, 1)):
                    jobs.put(None)


def _work_off(jobs: queue.SimpleQueue[_ThreadJob | None]) -> None:
    while (job := jobs.get()) is not None:
        job.run()


class _ThreadJob:
    def __init__(
        self, lane: str, work: Work, deadline_s: float, clock: Callable[[], float]
    ) -> None:
        self._lane, self._work, self._deadline_s, self._clock = lane, work, deadline_s, clock
        self._results: deque[Any] = deque()
        self._last_s = clock()
        self._is_closed = False

    def run(self) -> None:
        """In the thread of the lane."""
        if self._is_closed:
            return
        steps = self._work(self._tell)
        try:
            for _ in steps:
                if self._is_closed:
                    return
            self._tell(Done())
        except JobClosed:
            return
        except MooerError as error:
            self._results.append(Done(error))
        except BaseException as error:  # a fault of ours: raised where the session is driven
            self._results.append(error)
        finally:
            steps.close()

    def _tell(self, value: Any) -> None:
        if self._is_closed:
            raise JobClosed
        self._last_s = self._clock()
        self._results.append(value)

    def due(self, now_s: float) -> float | None:
        if self._results:
            return now_s
        if not self._is_closed and self._clock() - self._last_s > self._deadline_s:
            self._is_closed = True
            self._results.append(Done(_too_late(self._lane, self._deadline_s)))
            return now_s
        return None

    def take(self) -> Any:
        value = self._results.popleft()
        if isinstance(value, BaseException):
            raise value
        return value

    def close(self) -> None:
        self._is_closed = True
        self._results.clear()


# ---------------------------------------------------------------- virtual time


class VirtualJobs:
    """Jobs run inline, in the thread of the session, while its stream stands still.

    How long each step takes is measured by `clock`, and its results are delivered so much later in
    the stream. So a replay tells what a machine of this speed would do, if its lanes did not slow
    each other down, and with fakes that turn the clock themselves it is the same each time.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._lanes: dict[str, _Lane] = {}

    def start(self, lane: str, work: Work, *, at_s: float, deadline_s: float) -> Job:
        """As `Jobs` has it."""
        job = _VirtualJob(
            self._lanes.setdefault(lane, _Lane(lane)), work, at_s, deadline_s, self._clock
        )
        job.lane.jobs.append(job)
        return job

    def close(self) -> None:
        """Stop what runs."""
        for lane in self._lanes.values():
            for job in list(lane.jobs):
                job.close()


@dataclass
class _Lane:
    name: str
    jobs: deque[_VirtualJob] = field(default_factory=deque)  # the first one runs
    free_s: float = 0.0  # when the last one left it


class _VirtualJob:
    def __init__(
        self, lane: _Lane, work: Work, at_s: float, deadline_s: float, clock: Callable[[], float]
    ) -> None:
        self.lane = lane
        self._work, self._deadline_s, self._clock = work, deadline_s, clock
        self._at_s = self._last_s = at_s  # _at_s: how far it got; _last_s: its last result
        self._steps: Generator[None, None, None] | None = None
        self._results: deque[tuple[float, Any]] = deque()
        self._began = 0.0  # by the clock, the step that it is at
        self._is_over = False

    def due(self, now_s: float) -> float | None:
        while not self._results and not self._is_over and self._may_run(now_s):
            self._step()
        late_s = self._last_s + self._deadline_s
        next_s = self._results[0][0] if self._results else now_s
        if next_s > late_s and not (self._is_over and not self._results):
            self._results.clear()
            self._leave()
            self._results.append((late_s, Done(_too_late(self.lane.name, self._deadline_s))))
            next_s = late_s
        return next_s if self._results and next_s <= now_s else None

    def take(self) -> Any:
        self._last_s, value = self._results.popleft()
        return value

    def close(self) -> None:
        self._results.clear()
        self._leave()

    def _may_run(self, now_s: float) -> bool:
        if self.lane.jobs[0] is not self:
            return False
        if self._steps is None:
            self._at_s = max(self._at_s, self.lane.free_s)
        return self._at_s <= now_s

    def _step(self) -> None:
        if self._steps is None:
            self._steps = self._work(self._tell)
        self._began = self._clock()
        try:
            next(self._steps)
        except StopIteration:
            self._tell(Done())
        except MooerError as error:
            self._tell(Done(error))
        self._at_s = self._reached_s()
        if self._results and isinstance(self._results[-1][1], Done):
            self._leave()

    def _tell(self, value: Any) -> None:
        if self._is_over:
            raise JobClosed
        self._results.append((self._reached_s(), value))

    def _reached_s(self) -> float:
        return self._at_s + self._clock() - self._began

    def _leave(self) -> None:
        """Let the next one of the lane run, from where this one got."""
        if self._is_over:
            return
        self._is_over = True
        if self._steps is not None:
            self._steps.close()
            self.lane.free_s = max(self.lane.free_s, self._at_s)
        self.lane.jobs.remove(self)
