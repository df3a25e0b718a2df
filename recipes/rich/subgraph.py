"""The part of an ONNX file that one of its inner values needs, as a file of its own.

onnxruntime computes all of a graph, whatever is asked for. A message of protobuf is a list of
fields, so that nodes can be left out without knowing what else is in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_GRAPH = 7  # of ModelProto
_NODE, _CONSTANT, _INPUT, _OUTPUT, _VALUE = 1, 5, 11, 12, 13  # of GraphProto
_CONSTANT_NAME = 8  # of TensorProto


class Field(NamedTuple):
    """A field of a message: its number, its whole bytes, and its content."""

    number: int
    whole: memoryview
    content: memoryview


def cut_out(model: bytes, value: str) -> bytes:
    """An ONNX file whose only output is `value`, with what it is computed from."""
    head, graph = b"", memoryview(b"")
    for field in fields(memoryview(model)):
        if field.number == _GRAPH:
            graph = field.content
        else:
            head += bytes(field.whole)
    parts = list(fields(graph))
    nodes = [(part, *ends(part.content)) for part in parts if part.number == _NODE]
    needed, kept = {value}, []
    for part, inputs, outputs in reversed(nodes):
        if needed & outputs:
            needed |= inputs
            kept.append(bytes(part.whole))
    body = kept[::-1]
    for part in parts:
        if part.number in (_CONSTANT, _INPUT):
            number = _CONSTANT_NAME if part.number == _CONSTANT else 1
            if name_of(part.content, number) in needed:
                body.append(bytes(part.whole))
        elif part.number not in (_NODE, _OUTPUT, _VALUE):
            body.append(bytes(part.whole))
    name = value.encode()
    output = b"\x0a" + varint(len(name)) + name
    body.append(b"\x62" + varint(len(output)) + output)
    joined = b"".join(body)
    return head + b"\x3a" + varint(len(joined)) + joined


def ends(node: memoryview) -> tuple[set[str], set[str]]:
    """Names of the inputs and outputs of a node."""
    found = [
        (field.number, str(field.content, "utf-8")) for field in fields(node) if field.number < 3
    ]
    return {n for k, n in found if k == 1}, {n for k, n in found if k == 2}


def name_of(message: memoryview, number: int) -> str:
    """The text in one field."""
    return next(str(f.content, "utf-8") for f in fields(message) if f.number == number)


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message in their order."""
    at = 0
    while at < len(message):
        begin = at
        key, at = read_varint(message, at)
        kind = key & 7
        if kind == 0:
            _, end = read_varint(message, at)
        elif kind == 2:
            size, at = read_varint(message, at)
            end = at + size
        else:
            end = at + (4 if kind == 5 else 8)
        yield Field(key >> 3, message[begin:end], message[at:end])
        at = end


def read_varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number in groups of 7 bits, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def varint(value: int) -> bytes:
    """A number in groups of 7 bits, the lowest first."""
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
