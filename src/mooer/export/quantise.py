"""Weights in 8 bits, in the two forms that onnxruntime multiplies by.

- `in_columns`: one scale and zero point for each output, for `DynamicQuantizeMatMul`, which
  gives all activations of a call one scale between them.
- `in_blocks`: a scale for each output and each few inputs, for `MatMulNBits`, which gives each
  block of each row of the activations its own: a row does not change with those beside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_MIDDLE = 128  # the byte that stands for zero in `in_blocks`


def in_columns(weight: Floats) -> tuple[Bytes, Floats, Bytes]:
    """Weights [K, N] as bytes [K, N], scales [N] and zero points [N].

    >>> q, scale, zero = in_columns(np.float32([[-1.0, 0.0], [1.0, 5.0]]))
    >>> ((q.astype(np.float32) - zero) * scale).round(1).tolist()
    [[-1.0, 0.0], [1.0, 5.0]]
    """
    low, high = np.minimum(weight.min(axis=0), 0.0), np.maximum(weight.max(axis=0), 0.0)
    scale = np.maximum((high - low) / 255, np.finfo(np.float32).tiny).astype(np.float32)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    packed = np.clip(np.rint(weight / scale) + zero, 0, 255)
    return packed.astype(np.uint8), scale, zero.astype(np.uint8)


def in_blocks(weight: Floats, size: int) -> tuple[Bytes, Floats]:
    """Weights [K, N] as bytes [N, K / size, size] about 128, and scales [N, K / size].

    The last block is filled up with zeros.
    """
    num_in, num_out = weight.shape
    num_blocks = -(-num_in // size)
    padded = np.zeros((num_out, num_blocks * size), np.float32)
    padded[:, :num_in] = weight.T
    blocks = padded.reshape(num_out, num_blocks, size)
    scale = np.abs(blocks).max(axis=2) / 127
    divisor = np.where(scale == 0, 1.0, scale)[..., None]
    packed = np.clip(np.rint(blocks / divisor), -127, 127) + _MIDDLE
    return packed.astype(np.uint8), scale.astype(np.float32)
