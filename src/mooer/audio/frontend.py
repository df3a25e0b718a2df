"""From samples to the features that an encoder declares it reads."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Frontend(Protocol):
    """Samples [T] at 16 kHz in, features [F, M] out."""

    num_mels: int  # M, after stacking

    def num_features(self, num_samples: int) -> int:
        """Feature frames F of so many samples."""
        ...

    def __call__(self, samples: Samples) -> Samples:
        """Features [F, M]. AudioError if the samples are too few for one frame."""
        ...
