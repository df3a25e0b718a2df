"""A live stream between a socket and a recogniser; sound waits between them, so much and no more.

Who sends faster than is heard is not read from until there is room, so a file may be sent as fast
as the wire takes it. Who speaks live while the server is busy is heard in larger steps.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import AudioError
from mooer.infer.stream import EndPoint, StreamEvent
from mooer.serve.engines import LiveSession
from mooer.serve.errors import ApiError
from mooer.serve.sound import Decoder

M = TypeVar("M")  # a mark
MAX_BEHIND_BYTES = 1 << 20  # half a minute of samples at 16 kHz
MAX_BEHIND_FRAMES = 1000
TAKEN_BYTES = 1 << 15  # of sound that is heard at once: 1 s of samples
_TAKEN_FRAMES = 50  # 1 s of Opus packets
_POLL_S = 0.25
_STALL_S = 10.0  # without sound, after which no utterance is open any more


class Mark(Enum):
    """What may stand between the sound in the queue."""

    FLUSH = "the utterance ends here"
    CLEAR = "and what was said in it is of no interest"
    END = "so does the stream"


@dataclass(frozen=True)
class News:
    """What came of a piece of sound."""

    events: list[StreamEvent]
    time_s: float  # of the stream, up to where it is heard
    speaking_since_s: float | None
    after: Mark | None = None  # what stood behind the sound

    @property
    def begun_s(self) -> float | None:
        """Where the utterance began that the first of the events are of, if it is not over."""
        is_over = any(isinstance(event, EndPoint) for event in self.events)
        return None if is_over else self.speaking_since_s


Tell = Callable[[News], None]


class Queue(Generic[M]):
    """Frames of sound, and marks between them; bounded by waiting."""

    def __init__(self) -> None:
        self._items: deque[bytes | M] = deque()
        self._num_bytes = 0
        self._changed = asyncio.Condition()

    def close(self, mark: M) -> None:
        """The stream ends behind what is there, whether there is room or not."""
        self._items.append(mark)

    @property
    def num_bytes(self) -> int:
        """Sound that waits."""
        return self._num_bytes

    async def put(self, item: bytes | M) -> None:
        """Behind the others, once there is room."""
        async with self._changed:
            while self._num_bytes > MAX_BEHIND_BYTES or len(self._items) > MAX_BEHIND_FRAMES:
                await self._changed.wait()
            self._items.append(item)
            self._num_bytes += _size(item)
            self._changed.notify_all()

    async def take(self, within_s: float) -> list[bytes | M]:
        """The next frames, up to a mark; none if none come in time."""
        async with self._changed:
            if not self._items:
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), within_s)
            found: list[bytes | M] = []
            num_bytes = 0
            while self._items and num_bytes < TAKEN_BYTES and len(found) < _TAKEN_FRAMES:
                found.append(self._items.popleft())
                num_bytes += _size(found[-1])
                if not isinstance(found[-1], bytes):
                    break
            self._num_bytes -= num_bytes
            self._changed.notify_all()
            return found


class Hearing:
    """One session: `put` and `mark` are for the one who reads the socket, `run` for another task.

    It ends, as if it were told to, once `is_ending` says that the server does.
    """

    def __init__(
        self,
        live: LiveSession,
        decoder: Decoder,
        *,
        max_s: float,
        is_ending: Callable[[], bool] = lambda: False,
        bytes_per_s: float = 2.0 * SAMPLE_RATE_HZ,
    ) -> None:
        self.session = live.session
        self.is_cut = False  # whether the server, not the caller, ended it
        self._live = live
        self._decoder = decoder
        self._max_s = max_s
        self._is_ending = is_ending
        self._bytes_per_s = bytes_per_s
        self._queue = Queue[Mark]()
        self._last_at = time.monotonic()

    async def put(self, data: bytes) -> None:
        """Sound, once there is room for it."""
        size = TAKEN_BYTES if self._decoder.is_cut_anywhere else max(1, len(data))
        for start in range(0, len(data), size):
            await self._queue.put(data[start : start + size])

    async def mark(self, mark: Mark) -> None:
        """What is to be done behind the sound so far."""
        await self._queue.put(mark)

    async def run(self, tell: Tell) -> None:
        """Hear until the end. AudioError for what is no sound, ApiError 413 past the longest."""
        while True:
            if self._is_ending() and not self.is_cut:
                self.is_cut = True
                self._queue.close(Mark.END)
            taken = await self._queue.take(_POLL_S)
            if not taken and not self._is_waiting:
                continue
            mark = taken[-1] if taken and isinstance(taken[-1], Mark) else None
            frames = [one for one in taken if isinstance(one, bytes)]
            behind_s = self._queue.num_bytes / self._bytes_per_s
            tell(await self._live.call(functools.partial(self._heard, frames, mark, behind_s)))
            if mark is Mark.END:
                return
            if self.session.time_s > self._max_s:
                raise ApiError(
                    413,
                    f"the stream is longer than {self._max_s:.0f} s, the most there may be: open "
                    "another",
                    code="session_too_long",
                )

    @property
    def _is_waiting(self) -> bool:
        """Whether sound has failed to come, and it is not long since."""
        waited_s = time.monotonic() - self._last_at
        return waited_s < _STALL_S and self.session.is_open

    def _heard(self, frames: list[bytes], mark: Mark | None, behind_s: float) -> News:
        """In the thread: what came of frames, and of the mark behind them."""
        session = self.session
        session.fall_behind(behind_s)
        events: list[StreamEvent] = []
        pieces = [piece for piece in map(self._decoded, frames) if len(piece)]
        if pieces:
            self._last_at = time.monotonic()
            events += session.push(np.concatenate(pieces))
        elif not frames and mark is None:
            events += session.poll()
        if mark is not None:
            events += session.flush()
        return News(events, session.time_s, session.speaking_since_s, mark)

    def _decoded(self, frame: bytes) -> NDArray[np.float32]:
        try:
            return self._decoder.push(frame)
        except AudioError:
            raise
        except Exception as error:  # FFmpeg has many ways to dislike bytes
            raise AudioError("a frame could not be decoded: send what start says") from error


def _size(item: object) -> int:
    return len(item) if isinstance(item, bytes) else 0
