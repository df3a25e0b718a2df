"""Tensors and nodes of ONNX as protocol buffers: what graphs are put together of."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.protobuf import FOUR_BYTES, Pieces, key, message, number, text

TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9}  # by numpy's name

Attribute = float | str | Sequence[int]


def tensor(name: str, array: NDArray[Any]) -> Pieces:
    """A TensorProto with its numbers, which are not copied if they lie in order."""
    return _described(name, array) + message(
        9, [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data]
    )


def tensor_outside(name: str, array: NDArray[Any], location: str, offset: int) -> Pieces:
    """A TensorProto whose numbers lie in another file of the same folder."""
    body = _described(name, array)
    place = {"location": location, "offset": str(offset), "length": str(array.nbytes)}
    for what, value in place.items():
        body += message(13, [*text(1, what), *text(2, value)])
    return body + number(14, 1)


def node(
    kind: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: Mapping[str, Attribute],
) -> Pieces:
    """A NodeProto; `kind` is its operator, behind its domain and a point if that is another's."""
    body: Pieces = []
    for name in inputs:
        body += text(1, name)
    for name in outputs:
        body += text(2, name)
    domain, _, operator = kind.rpartition(".")
    body += text(4, operator)
    if domain:
        body += text(7, domain)
    for name, value in attributes.items():
        body += message(5, [*text(1, name), *_attribute(value)])
    return body


def _described(name: str, array: NDArray[Any]) -> Pieces:
    """Shape, type and name of a tensor."""
    lengths = [piece for length in array.shape for piece in number(1, length)]
    return lengths + number(2, TYPES[array.dtype.name]) + text(8, name)


def _attribute(value: Attribute) -> Pieces:
    if isinstance(value, str):
        return [*text(4, value), *number(20, 3)]
    if isinstance(value, int):
        return [*number(3, value), *number(20, 2)]
    if isinstance(value, float):
        return [key(2, FOUR_BYTES) + struct.pack("<f", value), *number(20, 1)]
    return [piece for one in value for piece in number(8, one)] + number(20, 7)
