"""To 16 kHz, piece by piece, by libsoxr in its high quality.

Pass-band to 0.91 of the lower Nyquist frequency, stop-band below -100 dB, linear phase;
`bench/resample.py` measures it.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from mooer.errors import AudioError

Floats = NDArray[np.float32]
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 1_000_000


def check_rate(rate_hz: float, name: str) -> None:
    """`AudioError` for a sample rate that no sound has."""
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{name} claims a sample rate of {rate_hz:g} Hz, but sound has "
            f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz: its header is damaged or it is not a sound"
        )


class Resampler:
    """Streaming change of rate of mono float32; at equal rates it hands the samples through.

    >>> resampler = Resampler(8_000, 16_000)
    >>> y = np.concatenate([resampler.push(np.zeros(100, np.float32)), resampler.flush()])
    >>> len(y)
    200
    """

    def __init__(self, rate_in_hz: int, rate_out_hz: int) -> None:
        self._stream = (
            None
            if rate_in_hz == rate_out_hz
            else soxr.ResampleStream(rate_in_hz, rate_out_hz, 1, dtype="float32", quality="HQ")
        )

    def push(self, samples: Floats) -> Floats:
        """[T] at the input rate -> what is ready at the output rate, within [-1, 1]."""
        return self._run(samples, last=False)

    def flush(self) -> Floats:
        """The rest, after the last `push`."""
        return self._run(np.zeros(0, np.float32), last=True)

    def _run(self, samples: Floats, *, last: bool) -> Floats:
        if self._stream is None:
            return samples
        ready: Floats = self._stream.resample_chunk(samples, last=last)
        # The filter overshoots at full scale.
        return np.clip(ready, -1.0, 1.0, out=ready)
