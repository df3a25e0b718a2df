"""CTranslate2's model.bin as named arrays, read and written in numpy alone, every length checked.

Layout (binary versions 4 to 6), little-endian, after `ctranslate2.specs.model_spec`: version u32,
name of the specification, revision u32, number of arrays u32; for each its name, rank u8,
dimensions u32, type u8, size in bytes u32, content; then the number of aliases u32, for each its
name and the name of the array it stands for. A name is a u16 with its length, and UTF-8 that ends
in a zero byte.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

Array = NDArray[Any]

_VERSIONS = (4, 5, 6)
_BFLOAT16 = 5
_TYPES = ("<f4", "<i1", "<i2", "<i4", "<f2", "<u2")  # by type id; bfloat16 as its 16 bits
_MAX_RANK = 8


@dataclass(frozen=True)
class Ct2Model:
    """A model.bin: which specification it follows, and its arrays, aliases among them."""

    specification: str
    revision: int
    arrays: dict[str, Array]  # read from the file when they are used


def read_ct2(path: str | os.PathLike[str]) -> Ct2Model:
    """Read a model.bin; ModelError if it is none, is cut short, or says of itself what is not so.

    fp16 and integers come as they are stored, bfloat16 as float32.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise ModelError(f"{path} is empty: fetch it again")
        reader = _Reader(np.memmap(path, np.uint8, mode="r"), path)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch it again") from None
    version = reader.number("<I", "the version")
    if version not in _VERSIONS:
        reader.refuse(f"binary version {version} is none of {_VERSIONS}")
    specification = reader.name("the specification")
    revision = reader.number("<I", "the revision")
    arrays: dict[str, Array] = {}
    for _ in range(reader.number("<I", "the number of arrays")):
        name = reader.name("the name of an array")
        if name in arrays:
            reader.refuse(f"{name!r} is there twice")
        arrays[name] = reader.array(name)
    for _ in range(reader.number("<I", "the number of aliases")):
        alias, name = reader.name("an alias"), reader.name("what an alias stands for")
        if name not in arrays or alias in arrays:
            reader.refuse(f"alias {alias!r} cannot stand for {name!r}")
        arrays[alias] = arrays[name]
    if reader.place != len(reader.data):
        reader.refuse(f"{len(reader.data) - reader.place} bytes follow its end")
    return Ct2Model(specification, revision, arrays)


def pack_ct2(model: Ct2Model) -> bytes:
    """The model.bin of arrays; what is no array of its own, but an alias, is written out."""
    parts = [struct.pack("<I", _VERSIONS[-1]), _packed(model.specification)]
    parts.append(struct.pack("<II", model.revision, len(model.arrays)))
    for name, array in model.arrays.items():
        kind = _TYPES.index(array.dtype.str.replace("|", "<"))
        parts += [_packed(name), struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)]
        parts += [struct.pack("<BI", kind, array.nbytes), array.tobytes()]
    return b"".join([*parts, struct.pack("<I", 0)])


def _packed(name: str) -> bytes:
    content = name.encode() + b"\0"
    return struct.pack("<H", len(content)) + content


class _Reader:
    """A place in a file's bytes that moves on, and never beyond their end."""

    def __init__(self, data: NDArray[np.uint8], path: Path) -> None:
        self.data = data
        self.path = path
        self.place = 0

    def refuse(self, why: str) -> NoReturn:
        raise ModelError(f"{self.path} is not a whole CTranslate2 model ({why}): fetch it again")

    def take(self, size: int, what: str) -> NDArray[np.uint8]:
        if size > len(self.data) - self.place:
            self.refuse(
                f"{what} takes {size} bytes at {self.place}, but the file ends at {len(self.data)}"
            )
        self.place += size
        return self.data[self.place - size : self.place]

    def number(self, kind: str, what: str) -> int:
        (value,) = struct.unpack(kind, self.take(struct.calcsize(kind), what).tobytes())
        return int(value)

    def name(self, what: str) -> str:
        content = self.take(self.number("<H", what), what).tobytes()
        if not content.endswith(b"\0") or b"\0" in content[:-1]:
            self.refuse(f"{what} does not end in its zero byte")
        try:
            return content[:-1].decode()
        except UnicodeDecodeError:
            self.refuse(f"{what} is no text")

    def array(self, name: str) -> Array:
        rank = self.number("<B", f"the rank of {name}")
        if rank > _MAX_RANK:
            self.refuse(f"{name} has {rank} dimensions")
        shape = [self.number("<I", f"a dimension of {name}") for _ in range(rank)]
        kind = self.number("<B", f"the type of {name}")
        if kind >= len(_TYPES):
            self.refuse(f"{name} has the unknown type {kind}")
        dtype = np.dtype(_TYPES[kind])
        size, expected = self.number("<I", f"the size of {name}"), dtype.itemsize
        for dimension in shape:
            expected *= dimension
        if size != expected:
            self.refuse(f"{name} of shape {shape} takes {expected} bytes, but has {size}")
        array = np.asarray(self.take(size, name)).view(dtype).reshape(shape)
        if kind == _BFLOAT16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array
