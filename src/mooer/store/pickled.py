"""Tensors of what torch.save has written, as named arrays, in numpy alone: nothing in it can run.

A pickle is a program for a small stack machine. Python's own machine calls whatever such a program
names; the one here knows the instructions that build plain values and tensors, and refuses every
other. Both layouts of torch are read: the zip archive, with a pickle of the structure and a member
for each storage, and, from before torch 1.6, pickles one after the other (a magic number, the
version of the layout, facts on the machine, the structure, the keys of the storages) with the
storages behind them, each with the number of its elements before it.
"""

from __future__ import annotations

import io
import math
import os
import pickletools
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError, listed
from mooer.store.archive import DAMAGED

Array = NDArray[Any]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_MAX_STRUCTURE_BYTES = 1 << 26
_BFLOAT16 = "torch BFloat16Storage"
_STORAGES = {
    "torch DoubleStorage": "<f8",
    "torch FloatStorage": "<f4",
    "torch HalfStorage": "<f2",
    _BFLOAT16: "<u2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ShortStorage": "<i2",
    "torch CharStorage": "<i1",
    "torch ByteStorage": "<u1",
    "torch BoolStorage": "<?",
}
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_ORDERED = "collections OrderedDict"
_KNOWN = {*_STORAGES, _TENSOR, _PARAMETER, _ORDERED}


def read_pickled(
    path: str | os.PathLike[str], key: str | None = None, *, passed_over: Collection[str] = ()
) -> dict[str, Array]:
    """Tensors by name: all that the file holds, or those under its entry `key`.

    They come as they are stored, bfloat16 as float32, and cannot be written to. `passed_over`
    names packages (`omegaconf`) whose objects may stand elsewhere in the file: they are neither
    imported nor built. ModelError if the file is damaged, asks for anything else, or holds
    something that is no tensor where tensors are due.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _named(*_of_archive(archive, frozenset(passed_over)), key)
        return _named(*_of_stream(path, frozenset(passed_over)), key)
    except _RefusedError as error:
        raise ModelError(f"{path} is refused: {error}; take weights in safetensors") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} is no whole file of tensors ({reason}): fetch it again") from None
    except DAMAGED as error:
        raise ModelError(f"{path} is damaged ({error}): fetch it again") from None


class _RefusedError(Exception):
    """The pickle asks for what is not done here."""


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names, as "module name"; never imported."""

    name: str


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str
    num: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _PassedOver:
    """What stands for an object that is not built."""


Bytes = Callable[[_Storage], "memoryview | bytes"]


# --- the two layouts --------------------------------------------------------------------------


def _of_archive(archive: zipfile.ZipFile, passed_over: frozenset[str]) -> tuple[Any, Bytes]:
    places = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(places) != 1:
        raise ValueError(f"{len(places)} structures in it")
    folder = places[0].removesuffix("data.pkl")
    order = folder + "byteorder"
    if order in archive.namelist() and archive.read(order) != b"little":
        raise ValueError("its numbers begin with their highest byte")
    if archive.getinfo(places[0]).file_size > _MAX_STRUCTURE_BYTES:
        raise ValueError("its structure is too large")
    content = _Machine(passed_over).run(io.BytesIO(archive.read(places[0])))
    held: dict[str, bytes] = {}

    def storage(wanted: _Storage) -> bytes:
        if wanted.key not in held:
            info = archive.getinfo(f"{folder}data/{wanted.key}")
            if info.file_size != _num_bytes(wanted):
                raise ValueError(f"storage {wanted.key} has {info.file_size} bytes")
            held[wanted.key] = archive.read(info)
        return held[wanted.key]

    return content, storage


def _of_stream(path: Path, passed_over: frozenset[str]) -> tuple[Any, Bytes]:
    machine = _Machine(passed_over)
    with path.open("rb") as stream:
        if machine.run(stream) != _MAGIC or machine.run(stream) != _VERSION:
            raise ValueError("neither an archive nor torch's older layout")
        if not machine.run(stream)["little_endian"]:
            raise ValueError("its numbers begin with their highest byte")
        content = machine.run(stream)
        keys = machine.run(stream)
        begin = stream.tell()
    data = memoryview(path.read_bytes())
    places: dict[str, memoryview] = {}
    for key in keys:
        num = int.from_bytes(data[begin : begin + 8], "little")
        stored = machine.storages[key]
        if num != stored.num or num * np.dtype(_STORAGES[stored.kind]).itemsize > len(data):
            raise ValueError(f"storage {key} has {num} elements, not {stored.num}")
        begin += 8 + _num_bytes(stored)
        places[key] = data[begin - _num_bytes(stored) : begin]
    if begin != len(data):
        raise ValueError(f"{len(data)} bytes where {begin} are due")
    return content, lambda wanted: places[wanted.key]


def _num_bytes(storage: _Storage) -> int:
    return storage.num * np.dtype(_STORAGES[storage.kind]).itemsize


# --- what is taken out ------------------------------------------------------------------------


def _named(content: Any, storage: Bytes, key: str | None) -> dict[str, Array]:
    if key is not None:
        if not isinstance(content, Mapping) or key not in content:
            raise ValueError(f"it has no entry {key!r}")
        content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"no named tensors but a {type(content).__name__.lstrip('_')}")
    others = [str(name) for name, value in content.items() if not isinstance(value, _Tensor)]
    if others:
        raise ValueError(f"more than tensors: {listed(others)}")
    return {str(name): _array(tensor, storage) for name, tensor in content.items()}


def _array(tensor: _Tensor, storage: Bytes) -> Array:
    held = tensor.storage
    flat = np.frombuffer(storage(held), _STORAGES[held.kind])
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + sum((num - 1) * step for num, step in steps)
    size = math.prod(tensor.shape)
    numbers = (tensor.offset, *tensor.shape, *tensor.strides)
    if min(numbers) < 0 or size > held.num or (size and last >= held.num):
        raise ValueError(f"a tensor of shape {list(tensor.shape)} reaches beyond its storage")
    strides = [step * flat.itemsize for step in tensor.strides]
    array = np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], tensor.shape, strides, writeable=False
    )
    if held.kind == _BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


# --- the machine ------------------------------------------------------------------------------

# Instructions that push the value which stands in them.
_PUSHED = {
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE",
    "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
}  # fmt: skip
_MADE: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_SILENT = {"PROTO", "FRAME"}


class _Machine:
    """Reads pickles, one a `run`; `storages` are all that they named, by key."""

    def __init__(self, passed_over: frozenset[str]) -> None:
        self.storages: dict[str, _Storage] = {}
        self._passed_over = passed_over
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, stream: IO[bytes]) -> Any:
        """The value of the next pickle of `stream`, which is left behind its end."""
        self._stack, self._marks, self._memo = [], [], {}
        for instruction, argument, _ in pickletools.genops(stream):
            name = instruction.name
            if name == "STOP":
                break
            if name in _PUSHED:
                self._stack.append(argument)
            elif name in _MADE:
                self._stack.append(_MADE[name]())
            elif name not in _SILENT:
                step = getattr(self, "_do_" + name.lower(), None)
                if step is None:
                    raise _RefusedError(f"the pickle uses {name}, which no tensor needs")
                step(argument)
        return self._stack.pop()

    def _marked(self) -> list[Any]:
        """What was pushed since the last mark, taken off."""
        begin = self._marks.pop()
        found, self._stack[begin:] = self._stack[begin:], []
        return found

    def _do_mark(self, _: None) -> None:
        self._marks.append(len(self._stack))

    def _do_binput(self, place: int) -> None:
        self._memo[place] = self._stack[-1]

    _do_long_binput = _do_binput

    def _do_memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _do_binget(self, place: int) -> None:
        self._stack.append(self._memo[place])

    _do_long_binget = _do_binget

    def _do_tuple(self, _: None) -> None:
        self._stack.append(tuple(self._marked()))

    def _do_tuple1(self, _: None) -> None:
        self._stack[-1:] = [tuple(self._stack[-1:])]

    def _do_tuple2(self, _: None) -> None:
        self._stack[-2:] = [tuple(self._stack[-2:])]

    def _do_tuple3(self, _: None) -> None:
        self._stack[-3:] = [tuple(self._stack[-3:])]

    def _do_append(self, _: None) -> None:
        value = self._stack.pop()
        self._extend([value])

    def _do_appends(self, _: None) -> None:
        self._extend(self._marked())

    def _extend(self, values: list[Any]) -> None:
        if not isinstance(self._stack[-1], _PassedOver):
            self._stack[-1].extend(values)

    def _do_setitem(self, _: None) -> None:
        pair, self._stack[-2:] = self._stack[-2:], []
        self._set([tuple(pair)])

    def _do_setitems(self, _: None) -> None:
        flat = self._marked()
        self._set(list(zip(flat[::2], flat[1::2], strict=True)))

    def _set(self, pairs: list[tuple[Any, Any]]) -> None:
        if not isinstance(self._stack[-1], _PassedOver):
            self._stack[-1].update(pairs)

    def _do_global(self, name: str) -> None:
        package = name.partition(" ")[0].partition(".")[0]
        if name in _KNOWN:
            self._stack.append(_Name(name))
        elif package in self._passed_over:
            self._stack.append(_PassedOver())
        else:
            raise _RefusedError(f"the pickle asks for {name.replace(' ', '.')} to be run")

    def _do_stack_global(self, _: None) -> None:
        module, name = self._stack[-2:]
        del self._stack[-2:]
        self._do_global(f"{module} {name}")

    def _do_reduce(self, _: None) -> None:
        called, given = self._stack[-2:]
        self._stack[-2:] = [self._call(called, given)]

    _do_newobj = _do_reduce

    def _call(self, called: Any, given: Any) -> Any:
        if isinstance(called, _PassedOver):
            return called
        if called == _Name(_ORDERED):
            return dict(*given)
        if called == _Name(_PARAMETER) and isinstance(given[0], _Tensor):
            return given[0]
        if called == _Name(_TENSOR) and isinstance(given[0], _Storage):
            storage, offset, shape, strides = given[:4]
            if all(type(number) is int for number in (offset, *shape, *strides)):
                return _Tensor(storage, offset, tuple(shape), tuple(strides))
        what = called.name if isinstance(called, _Name) else type(called).__name__
        raise _RefusedError(f"the pickle calls {what} in a way that makes no tensor")

    def _do_build(self, _: None) -> None:
        """The state of an object: an OrderedDict of tensors carries versions, which say nothing."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict | _PassedOver):
            raise _RefusedError("the pickle gives a state to what has none")

    def _do_binpersid(self, _: None) -> None:
        what, kind, key, _place, num, *view = self._stack.pop()
        if what != "storage" or not isinstance(kind, _Name) or kind.name not in _STORAGES:
            raise _RefusedError(f"the pickle points to a {what!r}, which is no storage of numbers")
        if type(num) is not int or num < 0 or any(part is not None for part in view):
            raise _RefusedError(f"storage {key!r} is part of another")
        self._stack.append(self.storages.setdefault(str(key), _Storage(str(key), kind.name, num)))
