"""From samples of any number format and any number of channels to mono float32 in [-1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import AudioError

Floats = NDArray[np.float32]
_HUGE = np.float32(1e30)  # finite, and so that a sum over channels stays finite


class Mixer:
    """Mixes down to mono (the mean of the channels), and counts what it had to mend."""

    def __init__(self) -> None:
        self.num_broken = 0
        self.peak = 0.0

    def mix(self, channels: list[NDArray[Any]]) -> Floats:
        """Mono [T] of `channels` ([T] each, all of one type), in [-1, 1].

        Integers are scaled by their range, NaN and infinity become 0, values beyond 1 are cut.
        """
        scale, offset = _range(channels[0].dtype)
        mono = self._sum(channels)
        if offset:
            mono -= np.float32(offset * len(channels))
        factor = np.float32(scale / len(channels))
        if factor != 1:
            mono *= factor
        if channels[0].dtype.kind == "f" and mono.size:
            peak = float(max(mono.max(), -mono.min()))
            self.peak = max(self.peak, peak)
            if peak > 1:
                np.clip(mono, -1.0, 1.0, out=mono)
        return mono

    def _sum(self, channels: list[NDArray[Any]]) -> Floats:
        if channels[0].dtype.kind != "f":
            total = channels[0].astype(np.float32)
            for channel in channels[1:]:
                total += channel
            return total
        with np.errstate(over="ignore", invalid="ignore"):
            total = channels[0].astype(np.float32)
            for channel in channels[1:]:
                total += channel.astype(np.float32, copy=False)
            if np.isfinite(total.sum(dtype=np.float64)):
                return total
            total[:] = 0
            for channel in channels:
                finite = np.isfinite(channel)
                self.num_broken += int(finite.size - np.count_nonzero(finite))
                total += np.clip(np.where(finite, channel, 0), -_HUGE, _HUGE).astype(np.float32)
            return total

    def notes(self) -> list[str]:
        """What to tell the user of the samples mixed so far."""
        found = []
        if self.num_broken:
            found.append(f"{self.num_broken} samples were not numbers and were set to 0")
        if self.peak > 1.5:
            found.append(
                f"samples beyond ±1 were cut (the largest is {self.peak:.4g}): "
                f"the sound is distorted unless it is scaled to ±1 first"
            )
        return found


def _range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Factor to [-1, 1], and the value that stands for silence."""
    if dtype.kind == "f":
        return 1.0, 0.0
    half = 2.0 ** (8 * dtype.itemsize - 1)
    return 1.0 / half, half if dtype.kind == "u" else 0.0


def split_channels(samples: NDArray[Any], rate_hz: int | None) -> list[NDArray[Any]]:
    """The channels of an array [T] or [T, C], after checks; `AudioError` says what is wrong."""
    if rate_hz is None:
        raise AudioError("an array does not say its sample rate: give rate_hz")
    if samples.dtype.kind not in "iuf" or samples.dtype in (np.int64, np.uint64):
        raise AudioError(
            f"samples of type {samples.dtype} have no known range: "
            f"give float32 in [-1, 1], or int16, or int32 over its whole range"
        )
    if samples.ndim not in (1, 2):
        raise AudioError(f"samples are an array [T] or [T, C], not of shape {samples.shape}")
    if samples.ndim == 1:
        return [samples]
    num_samples, num_channels = samples.shape
    if num_channels == 0 or (num_channels > 128 and num_channels > num_samples):
        raise AudioError(
            f"samples are an array [T, C], but the shape {samples.shape} would mean "
            f"{num_channels} channels: transpose it"
        )
    return [samples[:, c] for c in range(num_channels)]
