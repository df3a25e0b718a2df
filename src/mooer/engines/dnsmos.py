"""DNSMOS P.835: how good speech sounds, guessed without a clean reference (Reddy et al. 2022).

The network hears windows of 9.01 s, a second apart; a shorter clip is played over and over until
it fills one. Its raw outputs are mapped to mean opinion scores by the polynomials of the paper's
released script.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.errors import AudioError, ModelError

_RATE_HZ = 16_000
_WINDOW_S = 9.01
_BATCH = 8
# Highest power first: signal, background, overall.
_POLYNOMIALS = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
)


@dataclass(frozen=True)
class Quality:
    """Mean opinion scores, 1 (bad) to 5 (excellent)."""

    signal: float
    background: float
    overall: float


class Dnsmos:
    """The network; one thread by default."""

    def __init__(self, folder: Path, *, num_threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        path = folder / "sig_bak_ovr.onnx"
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no base class of its own
            raise ModelError(f"{path} is not a usable DNSMOS model: {error}") from error

    def __call__(self, samples: NDArray[np.float32], max_windows: int | None = None) -> Quality:
        """Score speech [T] at 16 kHz; AudioError if it is empty.

        `max_windows`: listen to so many windows only, evenly spread; None is the whole of it.
        """
        if not len(samples):
            raise AudioError("a sound of no samples has no quality")
        found = windows(samples)
        if max_windows is not None and len(found) > max_windows:
            found = found[np.linspace(0, len(found) - 1, max_windows).round().astype(int)]
        raw = np.concatenate(
            [
                self._session.run(None, {"input_1": found[i : i + _BATCH]})[0]
                for i in range(0, len(found), _BATCH)
            ]
        )
        scores = [
            round(float(np.polyval(powers, raw[:, i]).mean()), 3)
            for i, powers in enumerate(_POLYNOMIALS)
        ]
        return Quality(*scores)


def windows(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """[T] -> [N, 144160]: a window each second, as long as there is a whole one.

    >>> windows(np.zeros(16_000, np.float32)).shape
    (7, 144160)
    """
    size = int(_WINDOW_S * _RATE_HZ)
    while len(samples) < size:
        samples = np.concatenate([samples, samples])
    num = int(len(samples) // _RATE_HZ - _WINDOW_S) + 1
    starts = [i * _RATE_HZ for i in range(num) if i * _RATE_HZ + size <= len(samples)]
    return np.stack([samples[start : start + size] for start in starts]).astype(np.float32)
