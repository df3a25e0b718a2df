"""Parameters and optimiser as named tensors, whole on every process, whatever shards them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from mooer.errors import ModelError
from mooer.train.parameters import named
from mooer.train.zero import is_zero, load_zero_state, zero_state


def parameters(model: nn.Module, names: Iterable[str]) -> dict[str, Tensor]:
    """Copies on the CPU of these parameters. All processes must call it."""
    wanted = set(names)
    return {name: _whole(p) for name, p in named(model) if name in wanted}


def load_parameters(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Fill parameters of a model that is not sharded. ModelError lists what does not fit."""
    own = dict(named(model))
    wrong = [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in tensors.items()
        if name not in own or own[name].shape != tensor.shape
    ]
    if wrong:
        raise ModelError(
            f"{len(wrong)} tensors of the checkpoint do not fit the model, the first: {wrong[0]}"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State tensors as `exp_avg:name`. All processes must call it."""
    if is_zero(optimizer):
        return zero_state(model, optimizer)
    found = {}
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            for key, value in optimizer.state.get(parameter, {}).items():
                found[f"{key}:{name}"] = _whole(torch.as_tensor(value))
    return found


def load_optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Put the tensors of `optimizer_state` back, sharded as their parameters are."""
    table: dict[str, dict[str, Tensor]] = {}
    for full_name, tensor in tensors.items():
        key, _, name = full_name.partition(":")
        table.setdefault(name, {})[key] = tensor
    if is_zero(optimizer):
        load_zero_state(model, optimizer, table)
        return
    for group in optimizer.param_groups:
        for name, parameter in zip(group["names"], group["params"], strict=True):
            if name not in table:
                raise ModelError(f"the checkpoint has no optimiser state of {name}")
            optimizer.state[parameter] = {
                key: tensor if key == "step" else _like(parameter, tensor)
                for key, tensor in table[name].items()
            }


def _whole(tensor: Any) -> Tensor:
    if hasattr(tensor, "ds_id"):  # a parameter that ZeRO-3 has shared out
        from deepspeed import zero

        with zero.GatheredParameters([tensor]):
            gathered: Tensor = tensor.detach().to("cpu", copy=True)
            return gathered
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    copy: Tensor = full.detach().to("cpu", copy=True)
    return copy


def _like(parameter: Tensor, tensor: Tensor) -> Tensor:
    if isinstance(parameter, DTensor):
        on_device = tensor.to(parameter.device)
        return distribute_tensor(on_device, parameter.device_mesh, parameter.placements)
    return tensor.to(parameter.device, copy=True)
