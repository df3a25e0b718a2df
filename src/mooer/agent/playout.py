"""The ear's end of a conversation: answers are queued, played, counted to the sample, flushed.

A sound card pulls from it in a thread of its own; a virtual client pulls on the clock of the
recording. Both tell the session how far each answer was played, and both know afterwards what was
heard when.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from mooer.agent.events import AnswerEnded, AnswerSound, Event, Flush, Samples, Volume
from mooer.audio.resample import Resampler

_MAX_STRETCHES = 100_000
_FADE_S = 0.01  # in which the volume changes: at once it would click


@dataclass(slots=True)
class Stretch:
    """A part of an answer that was played without a break."""

    answer: int
    start_s: float  # since the playing began
    end_s: float


@dataclass(slots=True)
class _Piece:
    answer: int
    samples: Samples  # what is left of it, at the rate of the output
    at: float  # sample of the answer where that begins, at the answer's own rate
    step: float  # samples of the answer a sample of the output
    end: int = 0  # sample of the answer that is reached with its last one; 0: as counted


@dataclass(slots=True)
class _Incoming:
    """An answer whose sound is coming."""

    rate_hz: int
    resampler: Resampler
    begins_at: int  # sample of the answer that the resampler was shown first
    expected: int  # sample of the answer that comes next
    num_out: int = 0


class Playout:
    """Plays what a session tells at `rate_hz`; one thread may take while another pulls.

    `stretches` tell what was heard when, in the time of what was pulled.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.stretches: deque[Stretch] = deque(maxlen=_MAX_STRETCHES)
        self._lock = threading.Lock()
        self._queue: deque[_Piece] = deque()
        self._incoming: dict[int, _Incoming] = {}
        self._lengths: dict[int, int] = {}  # of answers that ended: they may go on after a flush
        self._played: dict[int, int] = {}  # samples of an answer, at its own rate
        self._told: dict[int, int] = {}
        self._num_pulled = 0
        self._volume: tuple[int, float] | None = None  # an answer, and its factor
        self._factor = 1.0  # of what was played last

    @property
    def is_playing(self) -> bool:
        """Whether there is sound left."""
        with self._lock:
            return bool(self._queue)

    @property
    def time_s(self) -> float:
        """How much was pulled, silence included."""
        return self._num_pulled / self.rate_hz

    def take(self, event: Event) -> None:
        """Queue the sound of an answer, or forget what is queued."""
        with self._lock:
            if isinstance(event, AnswerSound):
                self._add(event)
            elif isinstance(event, AnswerEnded):
                if coming := self._incoming.get(event.answer):
                    self._lengths[event.answer] = coming.expected
                self._end(event.answer)
            elif isinstance(event, Flush):
                self._queue = deque(one for one in self._queue if one.answer != event.answer)
                self._incoming.pop(event.answer, None)
            elif isinstance(event, Volume):
                self._volume = event.answer, 10 ** (event.gain_db / 20)

    def pull(self, num_samples: int) -> Samples:
        """The next samples [num_samples] at the rate of the output; silence if there are none."""
        out = np.zeros(num_samples, np.float32)
        with self._lock:
            filled = 0
            while self._queue and filled < num_samples:
                piece = self._queue[0]
                part = piece.samples[: num_samples - filled]
                out[filled : filled + len(part)] = self._at_volume(piece.answer, part)
                self._count(piece, len(part), self._num_pulled + filled)
                filled += len(part)
                if not len(piece.samples):
                    self._queue.popleft()
            self._num_pulled += num_samples
        return out

    def reports(self) -> list[tuple[int, int]]:
        """Answers of which more was played since this was last asked: number, samples so far.

        Samples count at the answer's own rate.
        """
        with self._lock:
            found = [(a, n) for a, n in self._played.items() if n != self._told.get(a)]
            self._told = dict(self._played)
        return found

    def _at_volume(self, answer: int, samples: Samples) -> Samples:
        wanted = self._volume[1] if self._volume and self._volume[0] == answer else 1.0
        if wanted == self._factor == 1.0:
            return samples
        num = min(len(samples), round(_FADE_S * self.rate_hz))
        factors = np.full(len(samples), wanted, np.float32)
        factors[:num] = np.linspace(self._factor, wanted, num)
        self._factor = wanted
        return samples * factors

    def _add(self, event: AnswerSound) -> None:
        coming = self._incoming.get(event.answer)
        if coming is None or coming.expected != event.start_sample:
            self._end(event.answer)
            start = event.start_sample
            resampler = Resampler(event.rate_hz, self.rate_hz)
            coming = _Incoming(event.rate_hz, resampler, start, start)
            self._incoming[event.answer] = coming
        coming.expected += len(event.samples)
        self._enqueue(event.answer, coming, coming.resampler.push(event.samples))
        if coming.expected == self._lengths.get(event.answer):
            self._end(event.answer)

    def _end(self, answer: int) -> None:
        """The rest of what was resampled; with it all that came of the answer is played."""
        coming = self._incoming.pop(answer, None)
        if coming is None:
            return
        self._enqueue(answer, coming, coming.resampler.flush())
        if self._queue and self._queue[-1].answer == answer:
            self._queue[-1].end = coming.expected
        elif coming.expected > coming.begins_at:
            self._played[answer] = coming.expected

    def _enqueue(self, answer: int, coming: _Incoming, samples: Samples) -> None:
        if len(samples):
            step = coming.rate_hz / self.rate_hz
            at = coming.begins_at + coming.num_out * step
            coming.num_out += len(samples)
            self._queue.append(_Piece(answer, samples, at, step))

    def _count(self, piece: _Piece, num: int, at_sample: int) -> None:
        """So many samples of a piece are played, at a sample of the output."""
        piece.samples = piece.samples[num:]
        piece.at += num * piece.step
        is_end = piece.end and not len(piece.samples)
        self._played[piece.answer] = piece.end if is_end else int(piece.at)
        start_s, end_s = at_sample / self.rate_hz, (at_sample + num) / self.rate_hz
        last = self.stretches[-1] if self.stretches else None
        if last is not None and last.answer == piece.answer and start_s - last.end_s < 1e-6:
            last.end_s = end_s
        else:
            self.stretches.append(Stretch(piece.answer, start_s, end_s))
