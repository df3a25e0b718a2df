"""The weights of a GGUF file in float32, unpacked by llama.cpp's own library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_library import GgufParams, llama_library
from mooer.errors import ModelError

Floats = NDArray[np.float32]

_UINT32, _FLOAT32 = 4, 6  # types of values
_PLAIN = {"f32": np.float32, "f16": np.float16}


class GgufWeights:
    """A file whose tensors are mapped, and read one by one. ModelError if it is damaged."""

    def __init__(self, path: Path) -> None:
        self._library = llama_library()
        self._path = path
        self._file = self._library.gguf_init_from_file(str(path).encode(), GgufParams(True, None))
        if not self._file:
            raise ModelError(f"{path} cannot be read as GGUF: fetch it again")
        self._bytes = np.memmap(path, np.uint8, "r")

    def close(self) -> None:
        """Let go of the file."""
        self._library.gguf_free(self._file)
        del self._bytes

    def number(self, key: str, default: float | None = None) -> float:
        """A value of the metadata; ModelError if there is none, nor a default."""
        library = self._library
        place = library.gguf_find_key(self._file, key.encode())
        kind = None if place < 0 else library.gguf_get_kv_type(self._file, place)
        if kind == _UINT32:
            return int(library.gguf_get_val_u32(self._file, place))
        if kind == _FLOAT32:
            return float(library.gguf_get_val_f32(self._file, place))
        if default is None:
            raise ModelError(f"{self._path} does not say its {key}")
        return default

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return bool(self._library.gguf_find_tensor(self._file, name.encode()) >= 0)

    def tensor(self, name: str, *shape: int) -> Floats:
        """A tensor [*shape], rows first; ModelError if it is missing or of another size."""
        packed, kind = self._packed(name)
        size = int(np.prod(shape))
        if len(packed) != self._library.ggml_row_size(kind, size):
            raise ModelError(f"{name} of {self._path} is not of shape {list(shape)}")
        return self._unpacked(packed, kind, size).reshape(shape)

    def rows(self, name: str, places: Sequence[int], width: int) -> Floats:
        """Rows [N, W] of a tensor of which nothing else is read."""
        packed, kind = self._packed(name)
        rows = packed.reshape(-1, self._library.ggml_row_size(kind, width))[list(places)]
        return self._unpacked(rows.ravel(), kind, len(rows) * width).reshape(-1, width)

    def _packed(self, name: str) -> tuple[NDArray[np.uint8], int]:
        """The bytes of a tensor, and how they are packed."""
        library = self._library
        place = library.gguf_find_tensor(self._file, name.encode())
        if place < 0:
            raise ModelError(f"{self._path} has no {name}")
        begin = library.gguf_get_data_offset(self._file)
        begin += library.gguf_get_tensor_offset(self._file, place)
        num_bytes = library.gguf_get_tensor_size(self._file, place)
        packed = self._bytes[begin : begin + num_bytes]
        if len(packed) != num_bytes:
            raise ModelError(f"{self._path} is cut off in {name}: fetch it again")
        return packed, library.gguf_get_tensor_type(self._file, place)

    def _unpacked(self, packed: NDArray[np.uint8], kind: int, size: int) -> Floats:
        label = self._library.ggml_type_name(kind).decode()
        if label in _PLAIN:
            return packed.view(_PLAIN[label]).astype(np.float32)
        unpack = self._library.unpacker(label)
        if unpack is None:
            raise ModelError(f"{self._path} is packed as {label}, which is not known")
        found = np.empty(size, np.float32)
        unpack(packed.ctypes.data, found.ctypes.data, size)
        return found
