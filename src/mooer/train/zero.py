"""Moments of DeepSpeed's ZeRO by the names of their parameters, as every other strategy has them.

ZeRO keeps one flat tensor per process and group, in which each parameter has a stretch. Written by
name and whole, a checkpoint can go on with another strategy or number of processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from mooer.errors import ModelError
from mooer.train.parameters import named

_MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW


def is_zero(optimizer: object) -> bool:
    """Whether DeepSpeed has wrapped this optimiser."""
    return bool(_flat(optimizer))


def zero_state(model: nn.Module, optimizer: Any) -> dict[str, Tensor]:
    """State tensors as `exp_avg:name`, on the CPU. All processes must call it."""
    from deepspeed.utils import safe_get_full_optimizer_state

    state = optimizer.state.get(_flat(optimizer)[0])
    if not state:  # before the first step
        return {}
    found = {}
    for name, parameter in _learning(model):
        for key in _MOMENTS:
            whole: Tensor = safe_get_full_optimizer_state(parameter, key)
            found[f"{key}:{name}"] = whole.detach().to("cpu", copy=True)
        found[f"step:{name}"] = torch.as_tensor(state["step"]).detach().to("cpu", copy=True)
    return found


def load_zero_state(
    model: nn.Module, optimizer: Any, table: Mapping[str, Mapping[str, Tensor]]
) -> None:
    """Put moments of a parameter's name and key back, each process its share.

    ModelError if a parameter has none.
    """
    learning = _learning(model)
    for name, _ in learning:
        if name not in table:
            raise ModelError(f"the checkpoint has no optimiser state of {name}")
    step = table[learning[0][0]]["step"]  # all parameters of a stage take the same steps
    for flat in _flat(optimizer):
        zeros = {key: torch.zeros_like(flat) for key in _MOMENTS}
        optimizer.state[flat] = {"step": step.clone(), **zeros}
    _link(optimizer)
    for name, parameter in learning:
        for key in _MOMENTS:
            _put(parameter, key, table[name][key])


def _learning(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in named(model) if p.requires_grad]


def _flat(optimizer: object) -> list[Tensor]:
    """The flat tensors of this process: ZeRO-3's, or those of ZeRO-1 and 2."""
    for name in ("fp32_partitioned_groups_flat", "single_partition_of_fp32_groups"):
        if found := getattr(optimizer, name, None):
            return list(found)
    return []


def _link(optimizer: Any) -> None:
    """ZeRO-1 and 2 find a parameter's stretch of a moment by views, made at the first step."""
    from deepspeed.utils import lazy_init_hp_params_optimizer_state

    groups = getattr(optimizer, "bit16_groups", [])
    for parameters, flat in zip(groups, _flat(optimizer), strict=bool(groups)):
        lazy_init_hp_params_optimizer_state(parameters, flat, optimizer.state)


def _put(parameter: Any, key: str, value: Tensor) -> None:
    from deepspeed.utils import safe_set_full_optimizer_state, safe_set_local_optimizer_state

    value = value.to(parameter.device)
    if not hasattr(parameter, "ds_id"):
        safe_set_full_optimizer_state(parameter, value, key)
        return
    size = parameter.ds_tensor.ds_numel  # ceil(numel / processes): the last shares are padded
    place = distributed.get_rank() * size
    share = value.flatten()[place : place + size]
    safe_set_local_optimizer_state(parameter, functional.pad(share, (0, size - len(share))), key)
