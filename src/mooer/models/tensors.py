"""Files of tensors: read without running code of theirs, and compared before anything is copied.

Names and shapes alone are read without the weights: from the header of a safetensors file, or
from a pickle whose tensors stay on disk.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import warnings
import zipfile
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from mooer.errors import ModelError, first_line, listed

StrPath = str | os.PathLike[str]
Tensors = dict[str, Tensor]
Shapes = dict[str, tuple[int, ...]]

_SINGLE = ("model.safetensors", "pytorch_model.bin")
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def read_tensors(path: StrPath) -> Tensors:
    """Tensors by name, on the CPU, of a .safetensors or pickled file, or of a transformers folder.

    Those of a pickle stay on disk until they are used. ModelError if the file cannot be read, asks
    for code to be run, or holds something else than tensors.
    """
    tensors: Tensors = {}
    for file in weight_files(Path(path)):
        if file.suffix == ".safetensors":
            tensors.update(_safely(file, load_file))
        else:
            tensors.update(only_tensors(read_pickle(file), file))
    return tensors


def read_shapes(path: StrPath) -> Shapes:
    """Names and shapes of what `read_tensors` reads, without its weights."""
    shapes: Shapes = {}
    for file in weight_files(Path(path)):
        if file.suffix == ".safetensors":
            shapes.update(_safely(file, _header))
        else:
            shapes.update(shapes_of(only_tensors(read_pickle(file), file)))
    return shapes


def read_pickle(path: Path) -> Any:
    """What `torch.save` has written, if it is tensors and plain values; they stay on disk.

    ModelError names the code that a pickle asks for: it is refused.
    """
    try:
        with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
            # Options beside weights are plain values; a pickle's protocol is read, or refused.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            return torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path} is refused: {refusal(error)}; take weights in safetensors"
        ) from None
    except Exception as error:  # each kind of damage has its own in torch
        raise ModelError(f"{path} cannot be read ({first_line(error)}): fetch it again") from None


def refusal(error: pickle.UnpicklingError) -> str:
    """Why torch did not take a pickle, in words.

    >>> refusal(pickle.UnpicklingError("Unsupported global: GLOBAL os.system was not allowed"))
    'the pickle asks for os.system to be run'
    """
    text = str(error)
    if named := re.search(r"GLOBAL ([\w.]+)", text):
        return f"the pickle asks for {named[1]} to be run"
    lines = [line.strip() for line in text.splitlines() if "WeightsUnpickler error" in line]
    reason = lines[0].partition("error:")[2].strip() if lines else first_line(error)
    return f"the pickle is damaged or asks for code to be run ({reason[:200]})"


def weight_files(path: Path) -> list[Path]:
    """A file itself, or the files of weights in a folder of transformers, safetensors first."""
    if not path.is_dir():
        return [path]
    for name in _SINGLE:
        if (path / name).is_file():
            return [path / name]
    for name in _INDEXES:
        if (path / name).is_file():
            return _shards(path / name)
    raise ModelError(f"{path} holds none of {', '.join(_SINGLE + _INDEXES)}: fetch its weights")


def only_tensors(content: Any, source: StrPath) -> Tensors:
    """Named tensors; ModelError if there is something else."""
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{source} holds no named tensors but a {type(content).__name__}")
    others = [str(name) for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise ModelError(f"{source} holds more than tensors: {listed(others)}")
    return {str(name): value for name, value in content.items()}


def shapes_of(tensors: Mapping[str, Tensor]) -> Shapes:
    """Shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


@dataclass(frozen=True)
class Comparison:
    """The tensors of a file beside those that a module wants; all names are those of the file."""

    matched: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()  # name [got] instead of [wanted]
    not_finite: tuple[str, ...] = ()
    prefix: str = ""  # a sentence about names that would match but for their beginning

    @property
    def fits(self) -> bool:
        """Whether every name and shape is there, nothing more, and no NaN."""
        return not (self.missing or self.unexpected or self.misshapen or self.not_finite)

    def faults(self) -> str:
        """What is wrong, one sentence; empty if nothing is."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of a wrong shape": self.misshapen,
            "not finite": self.not_finite,
        }
        found = [f"{kind}: {listed(names)}" for kind, names in kinds.items() if names]
        return "; ".join([self.prefix, *found] if self.prefix else found)

    def require(self, source: StrPath, what: str) -> None:
        """ModelError with all faults, if there are any."""
        if not self.fits:
            raise ModelError(f"{source} does not fit the {what} ({self.faults()})")


def compare(wanted: Shapes, found: Mapping[str, Tensor] | Shapes) -> Comparison:
    """Names and shapes; of tensors also whether all numbers are finite."""
    shapes = {n: tuple(x.shape) if isinstance(x, Tensor) else x for n, x in found.items()}
    missing = [name for name in wanted if name not in shapes]
    unexpected = [name for name in shapes if name not in wanted]
    shared = [name for name in wanted if name in shapes]
    return Comparison(
        matched=tuple(name for name in shared if shapes[name] == wanted[name]),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        misshapen=tuple(
            f"{name} {list(shapes[name])} instead of {list(wanted[name])}"
            for name in shared
            if shapes[name] != wanted[name]
        ),
        not_finite=tuple(name for name in shared if not _is_finite(found[name])),
        prefix=_prefix_fault(missing, unexpected),
    )


def fill(module: nn.Module, tensors: Mapping[str, Tensor], source: StrPath, what: str) -> None:
    """Copy tensors under the module's own names into it, all or none; ModelError lists faults."""
    compare(shapes_of(module.state_dict()), tensors).require(source, what)
    module.load_state_dict(dict(tensors), strict=True)


def without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> Tensors:
    """Those whose name begins with `prefix`, without it.

    >>> list(without_prefix({"encoder.a": torch.zeros(1), "b": torch.zeros(1)}, "encoder."))
    ['a']
    """
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}


def _prefix_fault(missing: list[str], unexpected: list[str]) -> str:
    """Names of a file that a wrapper has put something in front of, or that lack what is wanted.

    >>> _prefix_fault(["linear.weight"], ["module.linear.weight"])
    "its names begin with 'module.', which is not wanted there"
    """
    if added := _added(missing, unexpected):
        return f"its names begin with {added!r}, which is not wanted there"
    if lacking := _added(unexpected, missing):
        return f"its names lack {lacking!r} in front"
    return ""


def _added(short: list[str], long: list[str]) -> str:
    """The beginning that turns short names into long ones, if it does so to half of them."""
    wanted = set(short)
    counts = Counter(
        name[: i + 1]
        for name in long
        for i, letter in enumerate(name)
        if letter == "." and name[i + 1 :] in wanted
    )
    prefix, count = counts.most_common(1)[0] if counts else ("", 0)
    return prefix if 2 * count >= min(len(short), len(long)) else ""


def _is_finite(value: Tensor | tuple[int, ...]) -> bool:
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.is_meta:
        return True
    # a sum is quicker, and not finite if any number is not; it may also overflow
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())


def _header(path: Path) -> Shapes:
    with safe_open(path, "pt") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _safely(path: Path, read: Any) -> Any:
    try:
        return read(path)
    except Exception as error:  # each kind of damage has its own in safetensors
        raise ModelError(f"{path} cannot be read ({first_line(error)}): fetch it again") from None


def _shards(index: Path) -> list[Path]:
    try:
        places = json.loads(index.read_text("utf-8"))["weight_map"]
        names = sorted({str(name) for name in places.values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read ({first_line(error)}): fetch it again") from None
    for name in names:
        if Path(name).name != name:
            raise ModelError(f"{index} points outside its folder, to {name}: refused")
        if not (index.parent / name).is_file():
            raise ModelError(f"{index.parent / name} is missing: fetch it again")
    return [index.parent / name for name in names]
