"""The wire format of protocol buffers: messages are taken apart and put together by field numbers.

A message is a list of pieces, so that weights are never copied into one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mooer.errors import ModelError

Pieces = list[bytes | memoryview]
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # types on the wire


def fields(message: bytes | memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field: an int of a varint, otherwise the bytes.

    ModelError if the message is cut off or has a type that protocol buffers no longer use.
    """
    view = memoryview(message)
    at = 0
    while at < len(view):
        key, at = _read_varint(view, at)
        wire = key & 7
        if wire == VARINT:
            value, at = _read_varint(view, at)
            yield key >> 3, value
            continue
        if wire == BYTES:
            size, at = _read_varint(view, at)
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            size = 8 if wire == EIGHT_BYTES else 4
        else:
            raise ModelError(f"no protocol buffer: a field of type {wire} at byte {at}")
        if at + size > len(view):
            raise ModelError("the protocol buffer is cut off")
        yield key >> 3, view[at : at + size]
        at += size


def message(number: int, body: Sequence[bytes | memoryview]) -> Pieces:
    """A field that holds a message, or bytes."""
    return [key(number, BYTES) + varint(size_of(body)), *body]


def text(number: int, value: str) -> Pieces:
    """A field of text."""
    return message(number, [value.encode()])


def number(number: int, value: int) -> Pieces:
    """A field of a whole number."""
    return [key(number, VARINT) + varint(value)]


def key(number: int, wire: int) -> bytes:
    """What stands before each value."""
    return varint(number << 3 | wire)


def varint(value: int) -> bytes:
    """Groups of 7 bits, the lowest first; a negative number as its complement to 2^64.

    >>> varint(300).hex()
    'ac02'
    """
    value &= 2**64 - 1
    groups = bytearray()
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def signed(value: int) -> int:
    """What a varint means where numbers can be negative."""
    return value - 2**64 if value >= 2**63 else value


def size_of(pieces: Sequence[bytes | memoryview]) -> int:
    """Bytes of all pieces together."""
    return sum(len(piece) for piece in pieces)


def _read_varint(view: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(view):
            raise ModelError("the protocol buffer is cut off")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ModelError(f"no protocol buffer: a number of more than 10 bytes at byte {at}")
