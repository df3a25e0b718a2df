"""Make tests/golden/features.npz: what other implementations say of the same sounds.

    pip install faster-whisper && python tools/golden_features.py

- Whisper's log-mel by faster-whisper's feature extractor, 80 and 128 mels.
- The filter bank by a plain float64 implementation of Kaldi's formula, written from
  Kaldi's documentation of `compute-fbank-feats`, frame by frame (not by the library that
  `mooer` calls).
- LFR and CMVN as FunASR's front end defines them, frame by frame.

The sounds are made by formula, so that nothing but numbers is stored.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
TARGET = Path(__file__).parents[1] / "tests" / "golden" / "features.npz"


def sounds() -> dict[str, NDArray[np.float32]]:
    """Chirp over faint noise, noise that swells, and a click in silence; mono, 16 kHz."""
    time_s = np.arange(16_000) / 16_000
    random = np.random.default_rng(7)
    click = np.zeros(8_000)
    chirp = 0.6 * np.sin(2 * np.pi * (100 + 3_900 * time_s) * time_s)
    click[4_000:4_010] = 0.9
    return {
        "chirp": (chirp + 1e-3 * random.standard_normal(16_000)).astype(np.float32),
        "noise": (random.standard_normal(12_345) * np.linspace(0, 0.3, 12_345)).astype(np.float32),
        "click": click.astype(np.float32),
    }


def plain_fbank(samples: Doubles, num_mels: int = 80, window: str = "hamming") -> Doubles:
    """Kaldi's filter bank, [F, M]: DC removed, pre-emphasis 0.97, 512-point power, HTK mels."""
    size, hop, fft = 400, 160, 512
    n = np.arange(size)
    cosine = np.cos(2 * np.pi * n / (size - 1))
    weights = {"hamming": 0.54 - 0.46 * cosine, "povey": (0.5 - 0.5 * cosine) ** 0.85}[window]

    def to_mel(hz: Doubles | float) -> Doubles:
        return np.asarray(1127.0 * np.log(1.0 + np.asarray(hz) / 700.0))

    edges = np.linspace(to_mel(20.0), to_mel(8_000.0), num_mels + 2)
    bins = to_mel(np.arange(fft // 2) * 16_000 / fft)
    filters = np.zeros((num_mels, fft // 2))
    for m in range(num_mels):
        low, centre, high = edges[m : m + 3]
        rising, falling = (bins - low) / (centre - low), (high - bins) / (high - centre)
        filters[m] = np.maximum(0, np.minimum(rising, falling))
    rows = []
    for start in range(0, len(samples) - size + 1, hop):
        frame = samples[start : start + size] - samples[start : start + size].mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * weights, fft)[:-1]) ** 2
        rows.append(np.log(np.maximum(filters @ power, np.finfo(np.float32).eps)))
    return np.array(rows)


def plain_lfr(frames: Doubles, stack: int = 7, stride: int = 6) -> Doubles:
    """FunASR's stacking: pad left with (stack - 1) // 2 copies, right with the last frame."""
    padded = [frames[0]] * ((stack - 1) // 2) + list(frames)
    rows = []
    for i in range(-(-len(frames) // stride)):
        row = padded[i * stride : i * stride + stack]
        row += [padded[-1]] * (stack - len(row))
        rows.append(np.concatenate(row))
    return np.array(rows)


def main() -> None:
    """Write the golden file; every 5th frame is enough."""
    from faster_whisper.feature_extractor import FeatureExtractor

    golden: dict[str, NDArray[np.float32]] = {}
    for name, samples in sounds().items():
        for num_mels in (80, 128):
            mels = FeatureExtractor(feature_size=num_mels)(samples, padding=0)
            golden[f"whisper_{num_mels}_{name}"] = mels[:, ::5].astype(np.float32)
        scaled = samples.astype(np.float64) * 32768
        fbank = plain_fbank(scaled)
        golden[f"fbank_{name}"] = fbank[::5].astype(np.float32)
        golden[f"povey_{name}"] = plain_fbank(scaled, 40, "povey")[::5].astype(np.float32)
        golden[f"lfr_{name}"] = plain_lfr(fbank)[::5].astype(np.float32)
    TARGET.parent.mkdir(exist_ok=True)
    np.savez_compressed(TARGET, allow_pickle=False, **golden)
    print(f"{TARGET.name}: {len(golden)} arrays, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
