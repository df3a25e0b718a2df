"""Checkpoints that are whole or not there: written aside, synced, checked, then renamed.

    checkpoints/step-00000100/
        manifest.json        size and sha256 of every other file, written last
        state.json           step, stage, position in the data, best score
        trained.safetensors  parameters that any stage so far has trained
        optimizer.safetensors
        recipe.yaml          the resolved recipe

A folder whose manifest does not hold is never taken: an interrupted write leaves `.tmp-…`, which
the next run removes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mooer.errors import ModelError, OutputError

logger = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{8})")
_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Progress:
    """How far a run is. JSON holds it whole."""

    step: int = 0  # of all stages
    stage: int = 0
    stage_step: int = 0
    data: Any = None  # position in the data, as the stream gave it
    best: float | None = None
    best_step: int | None = None
    scores: dict[str, float] = field(default_factory=dict)  # step -> score of validation
    num_processes: int = 1


def write(folder: Path, progress: Progress, fill: Callable[[Path], None]) -> Path:
    """Write the checkpoint of a step; `fill` puts tensors and recipe into the folder it is given.

    OutputError if the disk is full or cannot be written: nothing of it is left, and older ones are
    as they were.
    """
    final = folder / f"step-{progress.step:08d}"
    scratch = scratch_of(folder, progress.step)
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        fill(scratch)
        (scratch / "state.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")
        entries = {str(p.relative_to(scratch)): _entry(p) for p in _files(scratch)}
        (scratch / _MANIFEST).write_text(json.dumps(entries, indent=1), encoding="utf-8")
        for path in [*_files(scratch), scratch / _MANIFEST, scratch]:
            _sync(path)
        _verify(scratch)
        if final.exists():
            shutil.rmtree(final)
        scratch.rename(final)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"cannot write the checkpoint of step {progress.step} to {folder}: {reason}; the "
            "checkpoints before it are whole: make room and go on with --resume"
        ) from error
    return final


def scratch_of(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step is written before it is renamed."""
    return folder / f".tmp-step-{step:08d}"


def newest(folder: Path) -> Path | None:
    """The last whole checkpoint, or None. Leftovers are removed, damaged ones passed over."""
    for left in folder.glob(".tmp-*"):
        shutil.rmtree(left, ignore_errors=True)
    for path in reversed(all_in(folder)):
        try:
            _verify(path)
        except (OSError, ValueError) as error:
            logger.warning("%s is damaged and is not taken: %s", path, error)
        else:
            return path
    return None


def all_in(folder: Path) -> list[Path]:
    """Checkpoints by step, checked or not."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def step_of(path: Path) -> int:
    """Step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def read_progress(path: Path) -> Progress:
    """How far the run was."""
    values = json.loads((path / "state.json").read_text(encoding="utf-8"))
    try:
        return Progress(**values)
    except TypeError as error:
        raise ModelError(f"{path} was written by another version of mooer: {error}") from error


def prune(folder: Path, keep: set[int]) -> None:
    """Remove the checkpoints of all other steps."""
    for path in all_in(folder):
        if step_of(path) not in keep:
            shutil.rmtree(path, ignore_errors=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Safetensors of tensors on the CPU; those that share memory are written apart."""
    save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. ModelError if it is none."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"cannot read {path}: {error}") from error


def average(paths: list[Path]) -> dict[str, Tensor]:
    """Mean of the trained parameters of several checkpoints, summed in float64."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in read_tensors(path / "trained.safetensors").items():
            total[name] = total[name] + tensor.double() if name in total else tensor.double()
    last = read_tensors(paths[-1] / "trained.safetensors")
    return {name: (total[name] / len(paths)).to(tensor.dtype) for name, tensor in last.items()}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "sha256": digest.hexdigest()}


def _verify(folder: Path) -> None:
    """ValueError or OSError unless every file is as the manifest says."""
    entries = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    files = {str(path.relative_to(folder)): path for path in _files(folder)}
    if set(files) != set(entries):
        raise ValueError(f"its files are {sorted(files)}, listed are {sorted(entries)}")
    for name, path in files.items():
        if _entry(path) != entries[name]:
            raise ValueError(f"{name} is not as it was written")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
