"""Weights in signed bytes, as onnxruntime multiplies them fastest (`DynamicQuantizeMatMul`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LARGEST = 63  # of 127: see `in_columns`


def in_columns(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Weights [K, N] as bytes [K, N] and a scale for each output [N].

    Seven bits of the eight are used. Processors without an instruction for it (x86 before VNNI)
    add two products of a byte of activations and a byte of weights in 16 bits, which cuts what is
    larger than 32767: 2 x 255 x 63 is not, and every processor gets the same sum. Unsigned bytes
    would be exact as well, but are four times slower on those that have the instruction.

    >>> packed, scale = in_columns(np.float32([[-1.0, 0.0], [1.0, 6.3]]))
    >>> packed.tolist(), (scale * 63).tolist()
    ([[-63, 0], [63, 63]], [1.0, 6.300000190734863])
    """
    scale = np.abs(weight).max(axis=0) / _LARGEST
    packed = np.rint(weight / np.where(scale == 0, 1, scale)).astype(np.int8)
    return packed, scale.astype(np.float32)
