"""Our own file of an n-gram model: the arrays of `trie` in safetensors, mapped and not read.

It is there at once, whatever its size, and processes that read one file share its memory. Names:
`words`, `probs`, `afters`, `backoffs`, `firsts`, `lowers` as in `Nodes`; `ends` [N]; `units`, bytes
of UTF-8, a line feed after each unit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.tables import require_ends
from mooer.decoding.lm.trie import Nodes, TrieNGram
from mooer.errors import ModelError
from mooer.files import whole_file
from mooer.store.safetensors import read_safetensors

_ALIGNMENT = 8
_TYPES = {"words": "<i4", "probs": "<f4", "afters": "<i4", "backoffs": "<f4"}
_TYPES |= {"firsts": "<i4", "lowers": "<i4", "ends": "<i8", "units": "|u1"}
_NAMES = {"<i4": "I32", "<f4": "F32", "<i8": "I64", "|u1": "U8"}


def write_stored(model: TrieNGram, path: Path) -> None:
    """Write a model."""
    nodes = model.nodes
    arrays: dict[str, NDArray[Any]] = {
        name: getattr(nodes, name) for name in _TYPES if name not in ("ends", "units")
    }
    arrays["ends"] = np.array(nodes.ends, "<i8")
    arrays["units"] = np.frombuffer("".join(f"{unit}\n" for unit in model.units).encode(), "|u1")
    header: dict[str, Any] = {"__metadata__": {"format": "mooer-ngram-1"}}
    place = 0
    for name in sorted(arrays, key=lambda name: -arrays[name].itemsize):
        size = arrays[name].nbytes
        header[name] = {
            "dtype": _NAMES[_TYPES[name]],
            "shape": list(arrays[name].shape),
            "data_offsets": [place, place + size],
        }
        place += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with whole_file(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in header:
            if name in arrays:
                file.write(arrays[name].tobytes())


def read_stored(path: Path) -> TrieNGram:
    """A model from its file. ModelError if it is damaged: no array may point out of another."""
    arrays = read_safetensors(path, mapped=True)
    for name, dtype in _TYPES.items():
        if name not in arrays or arrays[name].dtype != dtype or arrays[name].ndim != 1:
            raise _damaged(path, f"it has no {name} of type {dtype}")
    try:
        units = tuple(arrays["units"].tobytes().decode().split("\n")[:-1])
    except UnicodeDecodeError:
        raise _damaged(path, "its units are no text") from None
    _check(path, arrays, len(units))
    require_ends(units, str(path))
    if len(set(units)) < len(units):
        raise _damaged(path, "a unit is there twice")
    kept = {name: arrays[name] for name in _TYPES if name not in ("ends", "units")}
    return TrieNGram(units, Nodes(tuple(arrays["ends"].tolist()), **kept))


def _check(path: Path, arrays: dict[str, NDArray[Any]], num_units: int) -> None:
    ends = arrays["ends"].tolist()
    if not ends or ends[0] != num_units or sorted(ends) != ends:
        raise _damaged(path, f"{num_units} units, and orders that end at {ends}")
    total, inner = ends[-1], ends[-2] if len(ends) > 1 else 0
    lengths = {"words": total, "probs": total, "afters": total}
    lengths |= {"backoffs": inner, "firsts": inner + 1, "lowers": inner}
    for name, length in lengths.items():
        if len(arrays[name]) != length:
            raise _damaged(path, f"{name} has {len(arrays[name])} items and not {length}")
    firsts = arrays["firsts"]
    rules = {
        "words": _within(arrays["words"], 0, num_units),
        "afters": _within(arrays["afters"], -1, inner),
        # No node backs off to itself or a longer one, so that every search comes to an end.
        "lowers": _within(arrays["lowers"], -1, inner)
        and bool((arrays["lowers"] < np.arange(inner)).all()),
        "firsts": firsts[0] == num_units
        and firsts[-1] == total
        and bool((np.diff(firsts) >= 0).all()),
        "probs": bool(np.isfinite(arrays["probs"]).all()),
        "backoffs": bool(np.isfinite(arrays["backoffs"]).all()),
    }
    for name, holds in rules.items():
        if not holds:
            raise _damaged(path, f"{name} holds what cannot be")


def _within(array: NDArray[Any], least: int, end: int) -> bool:
    return not len(array) or (int(array.min()) >= least and int(array.max()) < end)


def _damaged(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is no whole n-gram model of mooer ({why}): make it anew")
