"""How much is taken on: a bounded, fair queue before the work, and counts of live streams.

A place that becomes free goes to the caller who holds fewest, and among those to the one who waits
longest: one who sends a thousand requests does not keep another waiting behind all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.metrics import Metrics
from mooer.serve.settings import LimitOptions

_MORE_VISITS = 16  # requests of one caller beside those that work and wait
_MAX_BUCKETS = 10_000  # callers whose rate is remembered


class Ticket:
    """A place among those who are worked on; given back once, by whoever ends the work."""

    def __init__(self, limits: Limits, caller: Caller) -> None:
        self._limits = limits
        self._caller = caller
        self._taken_at = time.monotonic()
        self._is_held = True

    def release(self) -> None:
        """Give the place back; a second time does nothing. Call it in the event loop."""
        if self._is_held:
            self._is_held = False
            self._limits._leave(self._caller, time.monotonic() - self._taken_at)


Waiting = deque[tuple[int, asyncio.Future[Ticket]]]


class Limits:
    """The places of one process; used in its event loop alone."""

    def __init__(self, options: LimitOptions, metrics: Metrics) -> None:
        self.options = options
        self._metrics = metrics
        self._running = Counter[str]()
        self._sessions = Counter[str]()
        self._visits = Counter[str]()
        self._held_bytes = Counter[str]()
        self._waiting: dict[str, Waiting] = {}
        self._num_asked = 0
        self._mean_s = 1.0  # of a piece of work, by those that ended last
        self._buckets: dict[str, tuple[float, float]] = {}  # requests left, when
        self.is_draining = False
        self.num_talks = 0  # conversations, among the live streams
        metrics.gauge("mooer_running", "Requests that are worked on.", lambda: self.num_running)
        metrics.gauge("mooer_waiting", "Requests that wait.", lambda: self.num_waiting)
        metrics.gauge("mooer_sessions", "Live streams.", lambda: self.num_sessions)
        metrics.gauge("mooer_talks", "Conversations.", lambda: self.num_talks)

    @property
    def num_running(self) -> int:
        """Requests that are worked on."""
        return self._running.total()

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def num_sessions(self) -> int:
        """Live streams."""
        return self._sessions.total()

    def check_rate(self, caller: Caller) -> None:
        """Count a request. ApiError 429 if the caller has sent too many in the last minute."""
        rate = self.options.requests_per_minute
        if not rate:
            return
        now = time.monotonic()
        if len(self._buckets) >= _MAX_BUCKETS and caller.id not in self._buckets:
            full = [i for i, (_, at) in self._buckets.items() if now - at > 60.0]
            for one in full or list(self._buckets)[: _MAX_BUCKETS // 2]:
                del self._buckets[one]
        left, at = self._buckets.get(caller.id, (float(rate), now))
        left = min(float(rate), left + (now - at) * rate / 60.0)
        if left < 1.0:
            self._buckets[caller.id] = (left, now)
            wait_s = (1.0 - left) * 60.0 / rate
            raise self._refusal("rate", f"more than {rate} requests in a minute", wait_s)
        self._buckets[caller.id] = (left - 1.0, now)

    async def enter(self, caller: Caller, deadline_s: float) -> Ticket:
        """A place to work, when it is this caller's turn.

        ApiError 429 if there is no room to wait, 504 if the turn does not come in `deadline_s`.
        """
        began = time.monotonic()
        if self._has_room(caller) and not self._is_anyone_before(caller):
            ticket = self._take(caller)
        else:
            ticket = await self._wait(caller, deadline_s)
        self._metrics.observe("mooer_wait_seconds", time.monotonic() - began)
        return ticket

    def check_room(self, caller: Caller) -> None:
        """ApiError 429 if a request would find no place to wait: to be asked before its upload."""
        options = self.options
        if self._has_room(caller):
            return
        if self.num_waiting >= options.max_waiting:
            raise self._refusal("waiting", "the server is busy, and its queue is full")
        num_mine = len(self._waiting.get(caller.id, ()))
        if num_mine >= options.max_waiting_each:
            raise self._refusal(
                "waiting_each", f"{num_mine} of your requests wait already, the most there may be"
            )

    @contextmanager
    def visit(self, caller: Caller) -> Iterator[Callable[[int], None]]:
        """One request, from its headers to its end; gives what counts bytes that it keeps.

        ApiError 429 if the caller has more requests open than may ever run and wait, or if there
        is no room for its bytes.
        """
        options = self.options
        most = options.max_running_each + options.max_waiting_each + _MORE_VISITS
        if self._visits[caller.id] >= most:
            raise self._refusal("open_each", f"{most} of your requests are open already")
        kept = 0

        def hold(num_bytes: int) -> None:
            nonlocal kept
            mine = self._held_bytes[caller.id] + num_bytes
            all_bytes = self._held_bytes.total() + num_bytes
            if mine > options.max_held_bytes // 2 or all_bytes > options.max_held_bytes:
                raise self._refusal("memory", "too many large bodies are worked on", 5)
            self._held_bytes[caller.id] += num_bytes
            kept += num_bytes

        self._visits[caller.id] += 1
        try:
            yield hold
        finally:
            _less(self._visits, caller.id)
            _less(self._held_bytes, caller.id, kept)

    @asynccontextmanager
    async def session(self, caller: Caller) -> AsyncIterator[None]:
        """A place for a live stream. ApiError 429 if there is none."""
        options = self.options
        if self.num_sessions >= options.max_sessions:
            raise self._refusal(
                "sessions", f"all {options.max_sessions} live streams are in use", 5
            )
        if self._sessions[caller.id] >= options.max_sessions_each:
            num = options.max_sessions_each
            raise self._refusal(
                "sessions_each", f"you have {num} live streams, the most there are", 5
            )
        self._sessions[caller.id] += 1
        try:
            yield
        finally:
            _less(self._sessions, caller.id)

    @contextmanager
    def talk(self) -> Iterator[None]:
        """A place for a conversation, within that of its stream. ApiError 429 if there is none."""
        if self.num_talks >= self.options.max_talks:
            raise self._refusal(
                "talks", f"all {self.options.max_talks} conversations are in use", 30
            )
        self.num_talks += 1
        try:
            yield
        finally:
            self.num_talks -= 1

    async def _wait(self, caller: Caller, deadline_s: float) -> Ticket:
        self.check_room(caller)
        mine: Waiting = self._waiting.setdefault(caller.id, deque())
        self._num_asked += 1
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        entry = (self._num_asked, turn)
        mine.append(entry)
        is_mine = False
        try:
            await asyncio.wait([turn], timeout=deadline_s)
            is_mine = turn.done()
        finally:
            if not is_mine:
                self._give_up(mine, entry)
            self._forget(caller.id)
        if is_mine:
            return turn.result()
        raise ApiError(
            504, f"no place became free in {deadline_s:.0f} s: try later", code="timeout"
        )

    @staticmethod
    def _give_up(mine: Waiting, entry: tuple[int, asyncio.Future[Ticket]]) -> None:
        turn = entry[1]
        if turn.done():  # it came in the moment of giving up
            turn.result().release()
        else:
            turn.cancel()
            mine.remove(entry)

    def _refusal(self, reason: str, sentence: str, wait_s: float | None = None) -> ApiError:
        self._metrics.add("mooer_refused_total", reason=reason)
        if wait_s is None:
            rounds = (self.num_waiting + 1) / self.options.max_running
            wait_s = min(120.0, max(1.0, self._mean_s * rounds))
        seconds = max(1, round(wait_s))
        return ApiError(
            429,
            f"{sentence}: try again in {seconds} s",
            code="rate_limit_exceeded",
            retry_after_s=seconds,
        )

    def _has_room(self, caller: Caller) -> bool:
        each = self._running[caller.id] < self.options.max_running_each
        return each and self.num_running < self.options.max_running

    def _is_anyone_before(self, caller: Caller) -> bool:
        """Whether someone waits who could work now, or this caller does."""
        return any(
            waiting and (name == caller.id or self._running[name] < self.options.max_running_each)
            for name, waiting in self._waiting.items()
        )

    def _take(self, caller: Caller) -> Ticket:
        self._running[caller.id] += 1
        return Ticket(self, caller)

    def _leave(self, caller: Caller, took_s: float) -> None:
        _less(self._running, caller.id)
        self._mean_s += 0.1 * (took_s - self._mean_s)
        while self._call_next():
            pass

    def _call_next(self) -> bool:
        """Give a free place to whoever is next, if there are both."""
        options = self.options
        if self.num_running >= options.max_running:
            return False
        able = [
            name
            for name, waiting in self._waiting.items()
            if waiting and self._running[name] < options.max_running_each
        ]
        if not able:
            return False
        name = min(able, key=lambda one: (self._running[one], self._waiting[one][0][0]))
        _, turn = self._waiting[name].popleft()
        if not turn.done():
            turn.set_result(self._take(Caller(name)))
        return True

    def _forget(self, name: str) -> None:
        if not self._waiting.get(name, True):
            del self._waiting[name]


def _less(counts: Counter[str], name: str, num: int = 1) -> None:
    counts[name] -= num
    if counts[name] <= 0:
        del counts[name]
