"""How good and how fast is the way to 16 kHz: libsoxr, as used, against FFmpeg's swresample.

    python bench/resample.py

Pass-band ripple (up to 7 kHz), the loudest alias of tones from 8.8 kHz to the source's Nyquist
frequency, and seconds of sound resampled in a second by one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import av
import numpy as np
from numpy.typing import NDArray

from mooer.audio.resample import Resampler

Resample = Callable[[NDArray[np.float32], int], NDArray[np.float32]]


def by_soxr(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """As `Wave.blocks` does it, in pieces of a second."""
    resampler = Resampler(rate_hz, 16_000)
    pieces = [resampler.push(samples[i : i + rate_hz]) for i in range(0, len(samples), rate_hz)]
    return np.concatenate([*pieces, resampler.flush()])


def by_swresample(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """PyAV's resampler with its defaults."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=16_000)
    pieces = []
    for start in range(0, len(samples), rate_hz):
        part = samples[None, start : start + rate_hz]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "flt", "mono")
        frame.sample_rate, frame.pts = rate_hz, start
        pieces += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    pieces += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(pieces)


def gain_db(resample: Resample, rate_hz: int, hz: float) -> float:
    """Level that a tone of `hz` at -6 dB leaves, against its own, in dB."""
    time_s = np.arange(2 * rate_hz) / rate_hz
    out = resample((0.5 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32), rate_hz)
    middle = out[len(out) // 4 : -len(out) // 4].astype(np.float64)
    return float(20 * np.log10(np.sqrt(2 * np.mean(middle**2)) / 0.5 + 1e-12))


def main() -> None:
    """Print the table."""
    print(f"{'source':>10} {'resampler':>12} {'ripple dB':>10} {'alias dB':>9} {'x real time':>12}")
    for rate_hz in (8_000, 22_050, 44_100, 48_000, 96_000):
        for name, resample in (("soxr HQ", by_soxr), ("swresample", by_swresample)):
            top_hz = min(7_000, 0.85 * rate_hz / 2)
            passed = [gain_db(resample, rate_hz, hz) for hz in np.linspace(50, top_hz, 25)]
            stop_hz = np.linspace(8_800, 0.98 * rate_hz / 2, 25) if rate_hz > 17_600 else []
            alias = max((gain_db(resample, rate_hz, hz) for hz in stop_hz), default=float("nan"))
            noise = np.random.default_rng(0).uniform(-0.5, 0.5, 60 * rate_hz).astype(np.float32)
            seconds = []
            for _ in range(5):
                start = time.perf_counter()
                resample(noise, rate_hz)
                seconds.append(time.perf_counter() - start)
            ripple = max(passed) - min(passed)
            speed = 60 / min(seconds)
            print(f"{rate_hz:>10} {name:>12} {ripple:>10.4f} {alias:>9.1f} {speed:>12.0f}")


if __name__ == "__main__":
    main()
