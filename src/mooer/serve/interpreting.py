"""The translations of a live stream as sound, sent beside its captions while it goes on."""

from __future__ import annotations

import asyncio
import base64
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial

from mooer.audio.encoders import to_pcm
from mooer.errors import DecodeError
from mooer.infer.interpret import TOO_LATE
from mooer.infer.placing import PlaceOptions, Placer
from mooer.serve.jobs import Job, StoppedError
from mooer.serve.metrics import Metrics
from mooer.serve.sockets import Socket
from mooer.serve.speakers import SpeakerEngine
from mooer.speak.base import Voice
from mooer.speak.spoken import Spoken
from mooer.transcript import Segment

MOST_WAITING = 8  # sentences; the oldest of more is left out
_PIECE_S = 1.0  # of sound in one message


class Speaking:
    """Speaks sentences one after the other: `add` and `finish` are for the one who hears.

    What falls behind is spoken faster, and at last left out. Each clause is sent as `sound` when it
    is made; times are seconds of the stream, on this server's clock.
    """

    def __init__(
        self,
        socket: Socket,
        engine: SpeakerEngine,
        job: Job,
        voice: Voice,
        metrics: Metrics,
    ) -> None:
        self._socket = socket
        self._voicing = engine.voicing(job)
        self._job = job
        self._voice = voice
        self._metrics = metrics
        self._placer = Placer(PlaceOptions(align="end"))
        self._waiting: deque[tuple[int, Segment]] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._began_at: float | None = None
        self._heard_s = 0.0  # of the stream
        self._free_s = 0.0  # where the last sound ends

    def hear(self, time_s: float) -> None:
        """The stream was heard up to here."""
        if self._began_at is None:
            self._began_at = time.monotonic() - time_s
        self._heard_s = time_s

    def add(self, number: int, segment: Segment, to: str) -> None:
        """A sentence that was said, as the captions number it."""
        if not (segment.translation or "").strip() or segment.language == to:
            return
        self._waiting.append((number, segment))
        if len(self._waiting) > MOST_WAITING:
            self._leave_out(*self._waiting.popleft())
        self._news.set()

    def finish(self, *, at_once: bool = False) -> None:
        """No more will be said: `run` ends behind what waits, or `at_once` behind one clause."""
        self._is_over = True
        if at_once:
            self._waiting.clear()
            self._job.cancel()
        self._news.set()

    async def run(self) -> None:
        """Speak until the end."""
        try:
            while True:
                while self._waiting:
                    await self._speak(*self._waiting.popleft())
                if self._is_over:
                    return
                self._news.clear()
                await self._news.wait()
        finally:
            self._job.cancel()

    @property
    def _now_s(self) -> float:
        began_at = time.monotonic() if self._began_at is None else self._began_at
        return max(self._heard_s, time.monotonic() - began_at)

    async def _speak(self, number: int, segment: Segment) -> None:
        lag_s = max(self._now_s, self._free_s) - segment.end_s
        if lag_s > self._placer.options.max_lag_s:
            self._leave_out(number, segment)
            return
        playing_s = max(0.0, self._free_s - self._now_s)
        speed = round(self._placer.catching_up(playing_s + len(self._waiting)), 3)
        loop = asyncio.get_running_loop()
        text = (segment.translation or "").strip()
        with closing(self._voicing.voice([text], voice=self._voice, speed=speed)) as clauses:
            while True:
                call = loop.run_in_executor(None, partial(_next, clauses))
                try:
                    spoken = await asyncio.shield(call)
                except asyncio.CancelledError:
                    self._job.cancel()
                    await asyncio.wait([call])  # the generator is in use until then
                    raise
                if spoken is None:
                    return
                self._send(number, spoken, speed)

    def _send(self, number: int, spoken: Spoken, speed: float) -> None:
        start_s = max(self._now_s, self._free_s)
        seconds = len(spoken.samples) / spoken.rate_hz
        self._free_s = start_s + seconds
        self._metrics.add("mooer_spoken_seconds_total", seconds)
        for at_s, piece in _pieces(spoken):
            self._socket.send(
                {
                    "type": "sound",
                    "id": number,
                    "text": "" if at_s else spoken.text,
                    "start_s": round(start_s + at_s, 3),
                    "speed": speed,
                    "rate_hz": spoken.rate_hz,
                    "audio": piece,
                }
            )

    def _leave_out(self, number: int, _segment: Segment) -> None:
        self._socket.send({"type": "unsaid", "id": number, "reason": TOO_LATE})


def _next(clauses: Generator[Spoken, None, None]) -> Spoken | None:
    """In a thread: the next clause; None behind the last, and where no more is wanted."""
    try:
        return next(clauses, None)
    except (DecodeError, StoppedError):
        return None


def _pieces(spoken: Spoken) -> Iterator[tuple[float, str]]:
    """A second each, where it begins and its 16-bit samples in base64."""
    size = round(_PIECE_S * spoken.rate_hz)
    for start in range(0, len(spoken.samples), size):
        data = to_pcm(spoken.samples[start : start + size])
        yield start / spoken.rate_hz, base64.b64encode(data).decode("ascii")
