"""Released weights read without running code of theirs, and a module strictly filled from them."""

from __future__ import annotations

import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mooer.errors import ModelError

StrPath = str | os.PathLike[str]
Tensors = dict[str, Tensor]

_SINGLE = ("model.safetensors", "pytorch_model.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_MAX_NAMED = 8


def read_tensors(path: StrPath) -> Tensors:
    """Tensors by name, on the CPU, of a .safetensors or pickled file, or of a transformers folder.

    A pickle is read by `weights_only`: one that asks for code is refused. A folder holds
    `model.safetensors` or `pytorch_model.bin`, whole or in shards with their index. ModelError if
    nothing can be read or if something else than tensors is in it.
    """
    path = Path(path)
    if not path.is_dir():
        return _read_file(path)
    for name in _SINGLE:
        if (path / name).is_file():
            return _read_file(path / name)
    for name in _INDEXES:
        if (path / name).is_file():
            return _read_shards(path / name)
    raise ModelError(f"{path} holds none of {', '.join(_SINGLE + _INDEXES)}: fetch its weights")


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: StrPath) -> None:
    """Copy `tensors` into `module`: every name, every shape, every number finite.

    ModelError lists what is missing, unexpected, misshapen or not finite, and then nothing has
    been copied. `source` is named in it.
    """
    wanted = module.state_dict()
    shared = [name for name in wanted if name in tensors]
    faults = {
        "missing": [name for name in wanted if name not in tensors],
        "unexpected": [name for name in tensors if name not in wanted],
        "of a wrong shape": [
            f"{name} {list(tensors[name].shape)} instead of {list(wanted[name].shape)}"
            for name in shared
            if tensors[name].shape != wanted[name].shape
        ],
        "not finite": [
            name
            for name in shared
            if tensors[name].is_floating_point() and not bool(tensors[name].isfinite().all())
        ],
    }
    found = "; ".join(f"{kind}: {_listed(names)}" for kind, names in faults.items() if names)
    if found:
        raise ModelError(
            f"the weights of {source} do not fit {type(module).__name__} ({found}): "
            f"use the configuration and the prefix they were saved with"
        )
    module.load_state_dict(dict(tensors), strict=True)


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Those whose name begins with `prefix`, without it.

    >>> list(without_prefix({"encoder.a": torch.zeros(1), "b": torch.zeros(1)}, "encoder."))
    ['a']
    """
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"{len(names)}, {', '.join(names[:_MAX_NAMED])}{more}"


def _read_file(path: Path) -> Tensors:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():  # of pickle's protocol: it is read, or refused below
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content: Any = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is refused: it is damaged or asks for code to be run "
            f"({_first_line(error)}); take weights in safetensors"
        ) from None
    except Exception as error:  # each kind of damage has its own in torch and in safetensors
        raise ModelError(
            f"the weights {path} cannot be read ({_first_line(error)}): fetch them again"
        ) from None
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path} holds no named tensors but a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(f"{path} holds more than tensors: {_listed(others)}")
    return {str(name): value for name, value in content.items()}


def _read_shards(index: Path) -> Tensors:
    try:
        places = json.loads(index.read_text("utf-8"))["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"the index {index} cannot be read ({error}): fetch it again") from None
    tensors: Tensors = {}
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"the index {index} points outside its folder, to {name}: refused")
        tensors.update(_read_file(index.parent / name))
    return tensors


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
