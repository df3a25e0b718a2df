"""Silence at the ends of spoken sound."""

from __future__ import annotations

import numpy as np

from mooer.speak.base import Samples

QUIET = 0.01  # below it nobody hears anything
_MARGIN_S = 0.05  # of it that is kept


def loud_part(samples: Samples) -> tuple[int, int]:
    """From which sample to before which it is not silent; (0, 0) if it is silent all through."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    return (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, 0)


def trimmed(samples: Samples, rate_hz: int) -> tuple[Samples, float]:
    """The samples with little silence at both ends, and the seconds cut off before them."""
    start, end = loud_part(samples)
    margin = int(_MARGIN_S * rate_hz)
    start = max(0, start - margin)
    return samples[start : end + margin], start / rate_hz
