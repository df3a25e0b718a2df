"""Spoken sentences on their way into one sound, in order of time, with the original under them.

Nothing is held but what may still be spoken over: hours take no more memory than minutes.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

Samples = NDArray[np.float32]

_FRAMES_A_SECOND = 100  # in which the loudness of the original moves
_BLOCK_S = 5.0  # most that is mixed at once
_SPOOL_BYTES = 32 << 20  # a quarter of an hour in memory; what is longer goes to the disk
_MARGIN_S = 1.0  # of the original that is not used yet: a resampler gives less than it was given
_FADE_S = 0.01  # at both ends of a sentence, so that none clicks
_FULL = 32767.0


@dataclass(frozen=True)
class UnderOptions:
    """How loud the original is, in decibels of what it was."""

    under_db: float = -18.0  # while a translation is heard
    rest_db: float = -6.0  # where none is
    hold_s: float = 0.4  # of silence in which it does not rise
    move_s: float = 0.25  # from one loudness to the other

    def __post_init__(self) -> None:
        if not -80.0 <= self.under_db <= 0.0:
            raise ConfigError(
                f"the original is under the translation by 0 to -80 dB, not {self.under_db:g}: "
                "-18 is faint"
            )


class Spool:
    """Samples at 16 kHz as they are read, to be had again from any place; a context manager.

    OutputError if the disk is full.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_SPOOL_BYTES)  # noqa: SIM115
        self.num_samples = 0

    def push(self, samples: Samples) -> None:
        """The next samples [T]."""
        try:
            self._file.seek(0, 2)
            self._file.write(np.round(np.clip(samples, -1, 1) * _FULL).astype("<i2").tobytes())
        except OSError as error:
            raise OutputError(
                f"the original cannot be put aside in {tempfile.gettempdir()}: "
                f"{error.strerror or error}; free some space, or set TMPDIR to another folder"
            ) from error
        self.num_samples += len(samples)

    def read(self, start: int, num: int) -> Samples:
        """Samples from `start` on; fewer than `num` where there are no more."""
        self._file.seek(2 * max(0, start))
        data = self._file.read(2 * max(0, num))
        samples: Samples = np.frombuffer(data, "<i2").astype(np.float32) / np.float32(_FULL)
        return samples

    def cut(self, start_s: float, end_s: float, rate_hz: int) -> Samples:
        """A stretch at another rate."""
        start, end = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
        samples = self.read(start, end - max(0, start))
        resampler = Resampler(SAMPLE_RATE_HZ, rate_hz)
        return np.concatenate([resampler.push(samples), resampler.flush()])

    def close(self) -> None:
        """Forget all."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_reason: object) -> None:
        self.close()


class Mix:
    """Takes sentences in order of time and writes what can no longer change.

    `settle` says up to where no sentence will come any more; with `under` no more is written than
    the original was read to.
    """

    def __init__(
        self,
        write: Callable[[Samples], None],
        rate_hz: int,
        original: Spool,
        under: UnderOptions | None = None,
    ) -> None:
        self.rate_hz = rate_hz
        self._write = write
        self._original = original
        self._bed = _Bed(original, rate_hz, under) if under is not None else None
        self._sounds: deque[tuple[int, Samples]] = deque()
        self._settled = 0  # sample
        self._written = 0

    @property
    def written_s(self) -> float:
        """How long what was written is."""
        return self._written / self.rate_hz

    def say(self, start_s: float, samples: Samples) -> None:
        """A sentence [T] at `rate_hz`, behind all that came before it."""
        self._sounds.append((round(start_s * self.rate_hz), faded(samples, self.rate_hz)))

    def settle(self, time_s: float) -> None:
        """No sentence comes before this time any more."""
        self._settled = max(self._settled, round(time_s * self.rate_hz))
        ready = self._settled
        if self._bed is not None:
            read_s = self._original.num_samples / SAMPLE_RATE_HZ - _MARGIN_S
            ready = min(ready, int(read_s * self.rate_hz))
        self._write_to(ready)

    def finish(self) -> None:
        """The original was read to its end, and the last sentence has come."""
        end = round(self._original.num_samples / SAMPLE_RATE_HZ * self.rate_hz)
        for start, samples in self._sounds:
            end = max(end, start + len(samples))
        self._write_to(max(end, self._written))

    def _write_to(self, end: int) -> None:
        while self._written < end:
            num = min(end - self._written, round(_BLOCK_S * self.rate_hz))
            self._write(self._block(num))
            self._written += num

    def _block(self, num: int) -> Samples:
        begin, end = self._written, self._written + num
        block = np.zeros(num, np.float32)
        is_heard = np.zeros(num, bool)
        for start, samples in self._sounds:
            first, last = max(start, begin), min(start + len(samples), end)
            if first < last:
                block[first - begin : last - begin] += samples[first - start : last - start]
                is_heard[first - begin : last - begin] = True
        while self._sounds and self._sounds[0][0] + len(self._sounds[0][1]) <= end:
            self._sounds.popleft()
        if self._bed is not None:
            block += self._bed.under(is_heard)
        return np.clip(block, -1.0, 1.0)


class _Bed:
    """The original at the rate of the translation, as loud as it may be at each time."""

    def __init__(self, original: Spool, rate_hz: int, options: UnderOptions) -> None:
        self._original = original
        self._resampler = Resampler(SAMPLE_RATE_HZ, rate_hz)
        self._step = max(1, rate_hz // _FRAMES_A_SECOND)
        self._under, self._rest = (10 ** (db / 20) for db in (options.under_db, options.rest_db))
        self._under = min(self._under, self._rest)
        self._hold = round(options.hold_s * _FRAMES_A_SECOND)
        self._move = (self._rest - self._under) / max(1.0, options.move_s * _FRAMES_A_SECOND)
        self._place = 0  # in the original
        self._ready = np.zeros(0, np.float32)
        self._is_over = False
        self._gain = self._rest
        self._silent = self._hold  # frames since a translation was heard

    def under(self, is_heard: NDArray[np.bool_]) -> Samples:
        """The next samples of the original, where a translation is heard lower than elsewhere."""
        gains = [self._gain]
        starts = np.arange(0, len(is_heard), self._step)
        for any_heard in np.logical_or.reduceat(is_heard, starts).tolist():
            self._silent = 0 if any_heard else self._silent + 1
            target = self._under if self._silent < self._hold else self._rest
            self._gain += min(max(target - self._gain, -self._move), self._move)
            gains.append(self._gain)
        places = np.minimum(np.arange(len(gains)) * self._step, len(is_heard))
        gain = np.interp(np.arange(len(is_heard)), places, gains).astype(np.float32)
        return gain * self._take(len(is_heard))

    def _take(self, num: int) -> Samples:
        while len(self._ready) < num and not self._is_over:
            samples = self._original.read(self._place, SAMPLE_RATE_HZ)
            self._place += len(samples)
            self._is_over = not len(samples)
            more = self._resampler.push(samples) if len(samples) else self._resampler.flush()
            self._ready = np.concatenate([self._ready, more])
        taken, self._ready = self._ready[:num], self._ready[num:]
        return np.pad(taken, (0, num - len(taken)))


def faded(samples: Samples, rate_hz: int) -> Samples:
    """Samples [T] that begin and end in silence."""
    num = min(len(samples) // 2, round(_FADE_S * rate_hz))
    if not num:
        return samples
    ramp = np.linspace(0.0, 1.0, num, endpoint=False, dtype=np.float32)
    found = np.array(samples, np.float32)
    found[:num] *= ramp
    found[-num:] *= ramp[::-1]
    return found
