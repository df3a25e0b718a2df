"""Speech made harder: speed, noise, rooms, gain, masks. Pure functions of sound and random numbers.

rng = np.random.default_rng(0)
noisy = add_noise(samples, coloured_noise(len(samples), 1.0, rng), snr_db=10.0)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from mooer.errors import ConfigError

Floats = NDArray[np.float32]
Rng = np.random.Generator

SAMPLE_RATE_HZ = 16_000
_SOUND_M_S = 343.0


# --- samples ------------------------------------------------------------------------------------


def change_speed(samples: Floats, factor: float) -> Floats:
    """Samples [T] -> [round(T / factor)], faster and higher above 1 (Ko et al. 2015).

    >>> len(change_speed(np.zeros(1100, np.float32), 1.1))
    1000
    """
    if factor == 1.0 or not len(samples):
        return samples
    num_out = round(len(samples) / factor)
    played: Floats = soxr.resample(samples, SAMPLE_RATE_HZ * factor, SAMPLE_RATE_HZ, quality="HQ")
    out = np.zeros(num_out, np.float32)
    out[: len(played)] = np.clip(played[:num_out], -1.0, 1.0)
    return out


def change_gain(samples: Floats, gain_db: float) -> Floats:
    """Louder or softer; as loud as full scale allows if it would go beyond."""
    factor = 10.0 ** (gain_db / 20.0)
    peak = float(np.abs(samples).max(initial=0.0)) * factor
    louder: Floats = samples * np.float32(factor / max(1.0, peak))
    return louder


def coloured_noise(num_samples: int, exponent: float, rng: Rng) -> Floats:
    """Gaussian noise [T] of RMS 1 whose power falls as 1 / f ** exponent: 0 white, 1 pink, 2 brown.

    Below 20 Hz the spectrum is flat, so that brown noise does not drift away.
    """
    if num_samples < 1:
        return np.zeros(0, np.float32)
    size = _fft_size(num_samples)  # a part of a longer, periodic noise: the quick sizes are few
    hz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ).astype(np.float32)
    spectrum = rng.standard_normal(2 * len(hz), np.float32).view(np.complex64)
    spectrum *= np.maximum(hz, np.float32(20)) ** np.float32(-exponent / 2)
    noise: Floats = np.fft.irfft(spectrum, size)[:num_samples].astype(np.float32)
    noise /= np.float32(max(_rms(noise), 1e-12))
    return noise


def fit_noise(noise: Floats, num_samples: int, rng: Rng) -> Floats:
    """A part [num_samples] of a noise from a random place on, repeated if it is shorter."""
    if not len(noise):
        raise ConfigError("a noise has no samples: leave it out")
    start = int(rng.integers(len(noise)))
    return np.resize(np.roll(noise, -start), num_samples).astype(np.float32)


def add_noise(samples: Floats, noise: Floats, snr_db: float) -> Floats:
    """Both [T], the noise scaled to `snr_db` below the sound; silence stays as it is."""
    speech_rms, noise_rms = _rms(samples), _rms(noise)
    if speech_rms == 0.0 or noise_rms == 0.0:
        return samples
    factor = speech_rms / noise_rms * 10.0 ** (-snr_db / 20.0)
    return _limit(samples + noise * np.float32(factor))


def decaying_response(rt60_s: float, direct_db: float, rng: Rng) -> Floats:
    """A room as exponentially decaying noise after the direct sound [R], -60 dB after `rt60_s`.

    `direct_db` is the level of the direct sound above the whole of the reverberation.
    """
    num = max(2, round(rt60_s * SAMPLE_RATE_HZ))
    tail = rng.standard_normal(num) * 10.0 ** (-3.0 * np.arange(num) / num)
    tail[0] = 0.0
    tail *= 10.0 ** (-direct_db / 20.0) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def image_response(
    room_m: tuple[float, float, float],
    source_m: tuple[float, float, float],
    microphone_m: tuple[float, float, float],
    absorption: float,
    *,
    max_order: int = 12,
) -> Floats:
    """A shoe-box room by image sources (Allen & Berkley 1979) [R]; it begins at the direct sound.

    `absorption` is the share of energy that a wall takes. Arrivals are rounded to samples.
    """
    axes = [
        _images(room_m[i], source_m[i], microphone_m[i], max_order) for i in range(3)
    ]  # offsets and reflections along each axis
    (dx, nx), (dy, ny), (dz, nz) = axes
    distance = np.sqrt(
        dx[:, None, None] ** 2 + dy[None, :, None] ** 2 + dz[None, None, :] ** 2
    ).ravel()
    order = (nx[:, None, None] + ny[None, :, None] + nz[None, None, :]).ravel()
    near = order <= max_order
    distance, order = np.maximum(distance[near], 0.05), order[near]
    gain = (1.0 - absorption) ** (order / 2.0) / distance
    arrival = np.round((distance - distance.min()) / _SOUND_M_S * SAMPLE_RATE_HZ).astype(np.int64)
    response: Floats = (np.bincount(arrival, gain) / gain[distance.argmin()]).astype(np.float32)
    return response


def _images(
    length_m: float, source_m: float, microphone_m: float, max_order: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Along one axis: offsets of the images from the microphone, and their reflections."""
    n = np.arange(-max_order, max_order + 1, dtype=np.int64)
    position = n * length_m + np.where(n % 2 == 0, source_m, length_m - source_m)
    return np.asarray(position - microphone_m, np.float64), np.abs(n)


def reverberate(samples: Floats, response: Floats) -> Floats:
    """Samples [T] in a room, as long and as loud as before; the direct sound is not delayed."""
    size = _fft_size(len(samples) + len(response) - 1)
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(response, size)
    wet: Floats = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
    rms = _rms(wet)
    return samples if rms == 0.0 else _limit(wet * np.float32(_rms(samples) / rms))


def _fft_size(num: int) -> int:
    """The least 2^n, 3 * 2^n or 5 * 2^n that is no less than `num`."""
    power = 1 << max(num - 1, 1).bit_length()
    return min(size for size in (power, power // 4 * 3, power // 8 * 5, 8) if size >= num)


def _rms(samples: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _limit(samples: Floats) -> Floats:
    """As it is, or scaled down to full scale."""
    peak = float(np.abs(samples).max(initial=0.0))
    return samples if peak <= 1.0 else samples / np.float32(peak)


@dataclass(frozen=True)
class WaveAugment:
    """What happens to the samples of an utterance, each with its probability: room, noise, gain.

    `noises` are sounds at 16 kHz; without them noise is made, its exponent drawn from `colours`.
    """

    noise_prob: float = 0.0
    noise_snr_db: tuple[float, float] = (5.0, 20.0)
    noises: tuple[Floats, ...] = ()
    colours: tuple[float, float] = (0.0, 2.0)
    room_prob: float = 0.0
    room_rt60_s: tuple[float, float] = (0.15, 0.6)
    room_direct_db: tuple[float, float] = (0.0, 12.0)
    gain_db: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        for name in ("noise_prob", "room_prob"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} is a probability, 0 to 1, got {getattr(self, name)}")

    def __call__(self, samples: Floats, rng: Rng) -> Floats:
        """Samples [T] -> [T]."""
        if rng.random() < self.room_prob:
            rt60_s, direct_db = rng.uniform(*self.room_rt60_s), rng.uniform(*self.room_direct_db)
            samples = reverberate(samples, decaying_response(rt60_s, direct_db, rng))
        if rng.random() < self.noise_prob:
            if self.noises:
                noise = self.noises[rng.integers(len(self.noises))]
                noise = fit_noise(noise, len(samples), rng)
            else:
                noise = coloured_noise(len(samples), rng.uniform(*self.colours), rng)
            samples = add_noise(samples, noise, rng.uniform(*self.noise_snr_db))
        return change_gain(samples, rng.uniform(*self.gain_db)) if any(self.gain_db) else samples


# --- features -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class SpecAugment:
    """Masks over time and frequency, and a warp of time (Park et al. 2019).

    Masked values become the mean of the utterance. `num_mels` is given where frames are stacked
    (LFR: 80), so that a mask takes the same mels of each of them.
    """

    num_time_masks: int = 0
    max_time_mask_frames: int = 0
    max_time_mask_share: float = 0.2  # of the utterance, for one mask
    num_mel_masks: int = 0
    max_mel_mask: int = 0
    max_warp_frames: int = 0
    num_mels: int | None = None

    def __call__(self, features: Floats, rng: Rng) -> Floats:
        """Features [F, M] -> [F, M]; the given ones are not changed."""
        out = warp_time(features, self.max_warp_frames, rng) if self.max_warp_frames else features
        out = np.array(out, np.float32)
        num_frames, width = out.shape
        mean = out.mean()
        mels = self.num_mels or width
        if width % mels:
            raise ConfigError(f"{width} features are not frames of {mels} mels stacked")
        stacked = out.reshape(num_frames, width // mels, mels)  # a view
        longest = min(self.max_time_mask_frames, int(num_frames * self.max_time_mask_share))
        for _ in range(self.num_time_masks):
            start, end = _span(num_frames, longest, rng)
            out[start:end] = mean
        for _ in range(self.num_mel_masks):
            start, end = _span(mels, min(self.max_mel_mask, mels), rng)
            stacked[:, :, start:end] = mean
        return out


def _span(size: int, longest: int, rng: Rng) -> tuple[int, int]:
    length = int(rng.integers(longest + 1))
    start = int(rng.integers(size - length + 1))
    return start, start + length


def warp_time(features: Floats, max_frames: int, rng: Rng) -> Floats:
    """Move one inner frame of [F, M] by up to `max_frames`, and the rest along with it."""
    num_frames = len(features)
    if num_frames <= 2 * max_frames + 1:
        return features
    centre = int(rng.integers(max_frames, num_frames - max_frames))
    moved = centre + int(rng.integers(-max_frames, max_frames + 1))
    moved = min(max(moved, 1), num_frames - 2)
    at = np.interp(np.arange(num_frames), [0, moved, num_frames - 1], [0, centre, num_frames - 1])
    left = np.floor(at).astype(np.int64)
    right = np.minimum(left + 1, num_frames - 1)
    share = (at - left).astype(np.float32)[:, None]
    return features[left] * (1 - share) + features[right] * share
