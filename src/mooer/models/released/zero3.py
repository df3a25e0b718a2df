"""Shards of DeepSpeed's ZeRO-3 put together, to what its `zero_to_fp32.py` gives.

Each of N processes wrote two files. In `zero_pp_rank_R_mp_rank_00_model_states.pt` are the shapes
of what learns (`param_shapes`, in groups), shares of what is frozen, and whole buffers. In
`…zero_pp_rank_R_mp_rank_00_optim_states.pt` is what learns, in float32: a flat tensor per group in
which each parameter has ceil(numel / N) numbers, in the order of `param_shapes`; the shares of all
processes one after another are the parameter and some padding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mooer.errors import ModelError
from mooer.models.tensors import Tensors, read_pickle

_RANK = re.compile(r".*zero_pp_rank_(\d+)_mp_rank_(\d+)_(model|optim)_states\.pt")
_Shapes = dict[str, tuple[int, ...]]


class _Stage(int):
    """In place of DeepSpeed's enumeration of stages."""


class _Scaler:
    """In place of DeepSpeed's loss scaler: its numbers, which are not used."""


class _DynamicScaler(_Scaler):
    """The same for float16."""


# The classes that DeepSpeed's pickles name; none of its own code is run.
for _own, _module, _name in (
    (_Stage, "deepspeed.runtime.zero.config", "ZeroStageEnum"),
    (_Scaler, "deepspeed.runtime.fp16.loss_scaler", "LossScaler"),
    (_DynamicScaler, "deepspeed.runtime.fp16.loss_scaler", "DynamicLossScaler"),
):
    _own.__module__, _own.__name__, _own.__qualname__ = _module, _name, _name


def is_zero3(step: Path) -> bool:
    """Whether model states of ZeRO-3 lie in this folder of a step."""
    return any(step.glob("*zero_pp_rank_*_model_states.pt"))


def num_processes(step: Path) -> int:
    """How many processes' shards lie there."""
    return len(list(step.glob("*zero_pp_rank_*_model_states.pt")))


def read_zero3(step: Path, unread: Callable[[str], bool] = lambda name: False) -> Tensors:
    """All parameters and buffers. Frozen ones that `unread` names are on `meta`: shapes alone.

    ModelError if a file is missing, asks for code, or the shards do not add up.
    """
    states = [_part(path, "param_shapes") for path in _files(step, "model")]
    flat = [_flat(path, len(states)) for path in _files(step, "optim")]
    if len(flat) != len(states):
        raise ModelError(
            f"{step} holds {len(states)} files of model states and {len(flat)} of optimiser "
            "states: each process wrote one of both, fetch them all"
        )
    first = states[0]
    tensors: Tensors = {}
    for name in first.get("buffer_names") or []:
        if name in first["module"]:
            buffer = first["module"][name]
            tensors[name] = buffer.float() if buffer.is_floating_point() else buffer
    for name, shape in _frozen(states, step).items():
        shares = [state["frozen_param_fragments"][name] for state in states]
        tensors[name] = (
            torch.empty(shape, dtype=shares[0].dtype, device="meta")
            if unread(name)
            else _joined(shares, shape, name, step)
        )
    tensors.update(_learned(_all_shapes(first["param_shapes"]), flat, step))
    for name, other in dict(first.get("shared_params") or {}).items():
        if other in tensors:
            tensors[name] = tensors[other]
    return tensors


def _files(step: Path, kind: str) -> list[Path]:
    """Files of all processes, by rank. ModelError if one is missing."""
    found: dict[int, Path] = {}
    for path in step.glob(f"*zero_pp_rank_*_{kind}_states.pt"):
        match = _RANK.fullmatch(path.name)
        if match is None or int(match[2]) != 0:
            raise ModelError(f"{path} is of a model cut into tensor-parallel ranks: not read")
        found[int(match[1])] = path
    missing = sorted(set(range(max(found, default=0) + 1)) - set(found))
    if missing:
        raise ModelError(
            f"{step} lacks the {kind} states of process {missing[0]} "
            f"(zero_pp_rank_{missing[0]}_mp_rank_00_{kind}_states.pt): fetch it"
        )
    return [found[rank] for rank in sorted(found)]


def _part(path: Path, key: str) -> dict[str, Any]:
    """What a file holds, if `key` is in it."""
    with torch.serialization.safe_globals([_Stage, _Scaler, _DynamicScaler]):
        content = read_pickle(path)
    if not isinstance(content, dict) or content.get(key) is None:
        raise ModelError(f"{path} has no `{key}`: take another step")
    return content


def _flat(path: Path, num: int) -> Tensor:
    """The share of a process in everything that learns, in float32."""
    state = _part(path, "optimizer_state_dict")["optimizer_state_dict"]
    groups, count = state.get("fp32_flat_groups"), state.get("partition_count")
    if not groups:
        raise ModelError(f"{path} has no `fp32_flat_groups`: it was not written under ZeRO-3")
    if count != num:
        raise ModelError(f"{path} was written by {count} processes, but {num} files are there")
    return torch.cat(list(groups))


def _all_shapes(groups: list[Mapping[str, Any]]) -> _Shapes:
    return {name: tuple(shape) for group in groups for name, shape in group.items()}


def _frozen(states: list[dict[str, Any]], step: Path) -> _Shapes:
    """Shapes of what is frozen and was saved, of which each process must hold a share."""
    wanted = states[0].get("frozen_param_shapes") or {}
    for state in states:
        lacking = set(wanted) - set(state.get("frozen_param_fragments") or {})
        if lacking:
            raise ModelError(f"{step} lacks shares of the frozen {min(lacking)}: take another step")
    return {name: tuple(shape) for name, shape in wanted.items()}


def _learned(shapes: _Shapes, flat: list[Tensor], step: Path) -> Tensors:
    sizes = {name: -(-prod(shape) // len(flat)) for name, shape in shapes.items()}
    for rank, share in enumerate(flat):
        if share.numel() != sum(sizes.values()):
            raise ModelError(
                f"process {rank} of {step} holds {share.numel()} numbers where the shapes take "
                f"{sum(sizes.values())}: the files are of different steps or damaged"
            )
    tensors, place = {}, 0
    for name, shape in shapes.items():
        shares = [share[place : place + sizes[name]] for share in flat]
        tensors[name] = _joined(shares, shape, name, step)
        place += sizes[name]
    return tensors


def _joined(shares: list[Tensor], shape: tuple[int, ...], name: str, step: Path) -> Tensor:
    numbers = torch.cat([share.flatten() for share in shares])
    size = prod(shape)
    if not size <= numbers.numel() < size + len(shares):
        raise ModelError(
            f"the shares of {name} in {step} hold {numbers.numel()} numbers instead of {size}"
        )
    return numbers[:size].clone().view(shape)
