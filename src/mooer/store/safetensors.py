"""Read safetensors as named arrays, in numpy alone, every length checked; nothing in it can run.

Layout, little-endian: size of the header u64; the header, JSON: of each tensor its "dtype",
"shape" and "data_offsets" from the end of the header; then the data.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ModelError

Array = NDArray[Any]

_MAX_HEADER_BYTES = 100_000_000  # as the format has it
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_TYPES["U8"] = "|u1"


def read_safetensors(path: str | os.PathLike[str], *, mapped: bool = False) -> dict[str, Array]:
    """Arrays by name; bfloat16 comes as float32. ModelError if the file is none or is cut short.

    `mapped`: the file is read where and when it is used, and must stay as it is until then.
    """
    path = Path(path)
    try:
        content = _mapped(path) if mapped else memoryview(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch it again") from None
    size = int.from_bytes(content[:8], "little")
    try:
        if len(content) < 8 or not 0 < size <= min(_MAX_HEADER_BYTES, len(content) - 8):
            raise ValueError(f"a header of {size} bytes in {len(content)}")
        header = dict(json.loads(bytes(content[8 : 8 + size])))
        header.pop("__metadata__", None)
        data = content[8 + size :]
        return {str(name): _array(data, **entry) for name, entry in header.items()}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ModelError(f"{path} is no whole safetensors file ({error}): fetch it again") from None


def _mapped(path: Path) -> memoryview:
    if not path.stat().st_size:
        return memoryview(b"")
    return np.memmap(path, np.uint8, mode="r").data


def _array(data: memoryview, *, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    begin, end = data_offsets
    kind = np.dtype(_TYPES[dtype])
    if not 0 <= begin <= end <= len(data) or end - begin != kind.itemsize * math.prod(shape):
        raise ValueError(f"{shape} of {dtype} from {begin} to {end} of {len(data)}")
    array = np.frombuffer(data[begin:end], kind).reshape(shape)
    return (array.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else array
