"""How many bits a weight keeps in GGUF: llama.cpp's types, made by its own quantiser.

Which tensor gets which type under `q4_k_m` is what llama.cpp's `llama-quantize` does: more bits for
the values of attention and for the second linear layer of the blocks at both ends, and for the
vocabulary; another type where rows are no multiple of 256.
"""

from __future__ import annotations

import ctypes
import re
from enum import IntEnum
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_library import llama_library

Precision = Literal["f32", "f16", "q8_0", "q4_k_m"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FILE_TYPES: dict[Precision, int] = {"f32": 0, "f16": 1, "q8_0": 7, "q4_k_m": 15}


class TensorType(IntEnum):
    """Numbers of ggml_type."""

    F32 = 0
    F16 = 1
    Q5_0 = 6
    Q8_0 = 8
    Q4_K = 12
    Q6_K = 14


_BLOCKS = {  # weights in a block, and its bytes
    TensorType.F32: (1, 4),
    TensorType.F16: (1, 2),
    TensorType.Q5_0: (32, 22),
    TensorType.Q8_0: (32, 34),
    TensorType.Q4_K: (256, 144),
    TensorType.Q6_K: (256, 210),
}
_NARROW = {TensorType.Q4_K: TensorType.Q5_0, TensorType.Q6_K: TensorType.Q8_0}


def num_bytes(shape: tuple[int, ...], kind: TensorType) -> int:
    """Bytes of a tensor.

    >>> num_bytes((2, 256), TensorType.Q4_K)
    288
    """
    weights, size = _BLOCKS[kind]
    return prod(shape) // weights * size


def tensor_type(
    name: str, shape: tuple[int, ...], precision: Precision, num_blocks: int, *, is_tied: bool
) -> TensorType:
    """The type of an LLM's tensor; `is_tied`: its embeddings are its vocabulary head as well.

    >>> tensor_type("blk.5.ffn_down.weight", (896, 4864), "q4_k_m", 24, is_tied=False).name
    'Q6_K'
    >>> tensor_type("blk.5.attn_q.weight", (896, 896), "q4_k_m", 24, is_tied=False).name
    'Q5_0'
    """
    if len(shape) < 2 or precision == "f32":
        return TensorType.F32
    if precision == "f16":
        return TensorType.F16
    kind = TensorType.Q8_0
    if precision == "q4_k_m":
        is_head = name == "output.weight" or (is_tied and name == "token_embd.weight")
        wants_more = re.fullmatch(r"blk\.(\d+)\.(attn_v|ffn_down)\.weight", name)
        more = is_head or (wants_more and _more_bits(int(wants_more[1]), num_blocks))
        kind = TensorType.Q6_K if more else TensorType.Q4_K
    if shape[-1] % _BLOCKS[kind][0]:
        kind = _NARROW.get(kind, kind)
    return TensorType.F16 if shape[-1] % _BLOCKS[kind][0] else kind


def pack(array: NDArray[Any], kind: TensorType) -> NDArray[Any]:
    """The bytes of rows [..., N] in a type of llama.cpp; float arrays for F32 and F16."""
    if kind == TensorType.F32:
        return np.ascontiguousarray(array, np.float32)
    if kind == TensorType.F16:
        return np.ascontiguousarray(array, np.float16)
    rows = np.ascontiguousarray(array, np.float32).reshape(-1, array.shape[-1])
    packed = np.empty(num_bytes(rows.shape, kind), np.uint8)
    quantize = ctypes.CDLL(llama_library().path).ggml_quantize_chunk
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = (
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,  # the first weight
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,  # which weights matter more: not known
    )
    done = quantize(int(kind), rows.ctypes.data, packed.ctypes.data, 0, *rows.shape, None)
    assert done == packed.nbytes, (done, packed.nbytes)
    return packed.reshape(*array.shape[:-1], -1)


def _more_bits(block: int, num_blocks: int) -> bool:
    eighth = num_blocks // 8
    return block < eighth or block >= 7 * num_blocks // 8 or (block - eighth) % 3 == 2
