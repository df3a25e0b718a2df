"""When the tokens of Paraformer are said, from the weights that its CIF gives each frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FULL = 1.0 - 1e-4  # what is gathered when a token is whole
_EARLY = 1.5  # frames by which a token begins before it is whole
_LONGEST = 12.0  # frames; what is longer ends in silence
_SILENT = 5.0  # frames at the end that are silence, and not the last token


def token_times(
    weights: NDArray[np.float32], num_tokens: int, frame_s: float
) -> list[tuple[float, float]]:
    """Start and end in seconds of each token of the text, from the weights [F] of its frames.

    Weights are gathered over the frames; whenever they come to one, a token is whole. It is said
    from then until the next is, so that there is one whole more than tokens: the end of the
    sentence. If the weights come to another number, they are scaled to it (Shi et al. 2023,
    "Achieving Timestamp Prediction While Recognizing with Non-Autoregressive End-to-End ASR
    Model").

    >>> token_times(np.float32([0.5, 0.5, 1, 0, 0, 1, 0]), 2, 0.06)
    [(0.0, 0.03), (0.03, 0.42)]
    """
    if not num_tokens or not len(weights):
        return []
    total = np.cumsum(weights, dtype=np.float64)
    if int(np.floor(total[-1] / _FULL)) != num_tokens + 1 and total[-1] > 0:
        total = total * ((num_tokens + 1) / total[-1])
    wholes = np.arange(1, num_tokens + 2) * _FULL
    edges = np.searchsorted(total, wholes).clip(max=len(weights) - 1) - _EARLY
    starts, ends = edges[:-1], np.minimum(edges[1:], edges[:-1] + _LONGEST)
    if ends[-1] == edges[-1]:
        rest = len(weights) - edges[-1]
        ends[-1] = (len(weights) + edges[-1]) / 2 if rest > _SILENT else len(weights)
    return [
        (max(0.0, float(start) * frame_s), max(0.0, float(end) * frame_s))
        for start, end in zip(starts, ends, strict=True)
    ]
