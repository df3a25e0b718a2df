"""Rooms and noise for clean speech, drawn at random."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ

Samples = NDArray[np.float32]

_DIRECT_TO_REVERB_DB = (0.0, 12.0)


def add_noise(samples: Samples, snr_db: float, random: np.random.Generator) -> Samples:
    """[T] with noise, `snr_db` under the mean power of the speech; between white and brown.

    >>> add_noise(np.ones(100, np.float32), 20.0, np.random.default_rng(0)).shape
    (100,)
    """
    spectrum = np.fft.rfft(random.standard_normal(len(samples)))
    slope = random.uniform(0.0, 1.0)  # amplitude falls as 1 / f^slope: 0 is white, 1 brown
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** slope
    noise = np.fft.irfft(spectrum, len(samples))
    loud = np.abs(samples) > 0.01 * np.abs(samples).max(initial=0.0)  # silence is no speech
    power = float(np.mean(np.square(samples[loud]))) if loud.any() else 0.0
    scale = np.sqrt(power / (10 ** (snr_db / 10) * np.mean(np.square(noise)) + 1e-12))
    return (samples + scale * noise).astype(np.float32)


def add_room(samples: Samples, reverb_s: float, random: np.random.Generator) -> Samples:
    """[T] as in a room whose echo falls by 60 dB in `reverb_s`: the sound and a tail of noise.

    Polack's model (1988): after the direct sound, white noise that decays exponentially.
    """
    time_s = np.arange(round(reverb_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tail = random.standard_normal(len(time_s)) * 10 ** (-3 * time_s / reverb_s)
    tail[: round(0.002 * SAMPLE_RATE_HZ)] = 0.0  # nothing is nearer than a wall
    ratio_db = random.uniform(*_DIRECT_TO_REVERB_DB)
    tail *= np.sqrt(10 ** (-ratio_db / 10) / np.sum(np.square(tail)))
    tail[0] = 1.0
    size = 1 << (len(samples) + len(tail)).bit_length()
    wet = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(tail, size), size)
    return wet[: len(samples)].astype(np.float32)
