"""GGUF files: written tensor by tensor, so that memory never holds more than one, and read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import MissingExtra, ModelError, OutputError
from mooer.export.precision import TensorType, num_bytes

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """A tensor to be written: what it will take is known before its numbers are."""

    name: str
    shape: tuple[int, ...]  # as in numpy: rows first, the reverse of what GGUF says
    kind: TensorType
    load: Callable[[], Array]  # its bytes as `precision.pack` gives them


@dataclass(frozen=True)
class Value:
    """A value of the metadata and its types, as `gguf` names them."""

    value: Any
    kind: Any  # gguf.GGUFValueType
    item_kind: Any = None  # of the items of an array


def gguf_package() -> Any:
    """The module `gguf`; MissingExtra if it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra("gguf", "train") from error
    return gguf


def typed(value: str | bool | int | float) -> Value:
    """A value with the type that llama.cpp reads it as."""
    kinds = gguf_package().GGUFValueType
    if isinstance(value, str):
        return Value(value, kinds.STRING)
    if isinstance(value, bool):
        return Value(value, kinds.BOOL)
    return Value(value, kinds.UINT32 if isinstance(value, int) else kinds.FLOAT32)


def open_gguf(path: Path) -> Any:
    """A `gguf.GGUFReader`, its tensors mapped and not read. ModelError if the file is damaged."""
    gguf = gguf_package()
    try:
        return gguf.GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ModelError(f"{path} cannot be read as GGUF ({error}): fetch it again") from error


def field(reader: Any, key: str) -> Any:
    """A value of the metadata, None if it has none of that name."""
    found = reader.get_field(key)
    return None if found is None else found.contents()


def metadata(reader: Any) -> dict[str, Value]:
    """All values of the metadata, the architecture among them."""
    kinds = gguf_package().GGUFValueType
    values = {}
    for key, found in reader.fields.items():
        if not key.startswith("GGUF."):  # counts and version: the writer has its own
            kind = found.types[0]
            item_kind = found.types[-1] if kind == kinds.ARRAY else None
            values[key] = Value(found.contents(), kind, item_kind)
    return values


def write_gguf(path: Path, values: dict[str, Value], entries: Iterable[Entry]) -> None:
    """Write a file whole or not at all. OutputError if there is no room.

    `values` hold `general.architecture`.
    """
    gguf = gguf_package()
    entries = list(entries)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    values = dict(values)
    writer = gguf.GGUFWriter(temporary, values.pop("general.architecture").value)
    for key, value in values.items():
        writer.add_key_value(key, value.value, value.kind, value.item_kind)
    for entry in entries:
        size = num_bytes(entry.shape, entry.kind)
        raw = gguf.quant_shape_to_byte_shape(entry.shape, entry.kind)
        plain = np.dtype({0: np.float32, 1: np.float16}.get(int(entry.kind), np.uint8))
        shape = entry.shape if plain != np.uint8 else raw
        writer.add_tensor_info(entry.name, shape, plain, size, raw_dtype=entry.kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for entry in entries:
                data = entry.load()
                assert data.nbytes == num_bytes(entry.shape, entry.kind), entry
                writer.write_tensor_data(data)
            writer.close()
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free some space or name another place"
        ) from error
