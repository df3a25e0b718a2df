"""Logistic regressions on means of frames: a labeller that is fitted in seconds.

    config = RegressionConfig(classes={"gender": ("female", "male")}, events=("music", "rain"))
    save(fit(means, {"gender": ["female", None, …]}, [("rain",), None, …], config), config, folder)

Classes are told by softmax, events each by itself; both by L-BFGS on standardised means, with the
square of the weights as penalty. Standardising is made part of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mooer.config import write_yaml
from mooer.errors import ConfigError
from mooer.models.load import write_tensors
from mooer.tasks.rich import RegressionConfig, RichConfig

Floats = NDArray[np.float32]
Loss = Callable[[Tensor], Tensor]  # of scores [N, C]

DECAY = 1e-2
_MAX_STEPS = 150


def fit(
    means: Floats,
    classes: Mapping[str, Sequence[str | None]],
    events: Sequence[Sequence[str] | None],
    config: RegressionConfig,
    *,
    decay: float = DECAY,
) -> dict[str, Tensor]:
    """Weights and biases for means [N, D]; None is what is not known of a recording.

    ConfigError for a label that `config` does not have, or a head without any recording.
    """
    tensors: dict[str, Tensor] = {}
    for name, known in config.classes.items():
        rows = [i for i, label in enumerate(classes[name]) if label is not None]
        _check(name, {str(classes[name][i]) for i in rows}, known)
        wanted = torch.tensor([known.index(str(classes[name][i])) for i in rows])
        loss: Loss = lambda scores, wanted=wanted: functional.cross_entropy(scores, wanted)  # type: ignore[misc]  # noqa: E731
        tensors |= _solved(f"heads.{name}", means[rows], len(known), loss, decay)
    rows = [i for i, heard in enumerate(events) if heard is not None]
    _check("events", {name for i in rows for name in events[i] or ()}, config.events)
    there = torch.tensor([[name in (events[i] or ()) for name in config.events] for i in rows])

    def binary(scores: Tensor) -> Tensor:
        each = functional.binary_cross_entropy_with_logits(
            scores, there.to(scores.dtype), reduction="none"
        )
        return each.mean(0).sum()

    return tensors | _solved("events", means[rows], len(config.events), binary, decay)


def save(tensors: Mapping[str, Tensor], config: RegressionConfig, folder: Path) -> None:
    """A folder that `mooer.engines.rich.Rich` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    write_yaml(RichConfig(layers=max(config.layers), regression=config), folder / "rich.yaml")
    write_tensors(dict(tensors), folder / "labeller.safetensors")


def _solved(name: str, x: Floats, num: int, loss: Loss, decay: float) -> dict[str, Tensor]:
    mean, scale = x.mean(0), x.std(0) + 1e-6
    inputs = torch.from_numpy((x - mean) / scale).double()
    layer = nn.Linear(x.shape[1], num).double()
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    optimizer = torch.optim.LBFGS(
        layer.parameters(), max_iter=_MAX_STEPS, line_search_fn="strong_wolfe"
    )

    def value() -> Tensor:
        optimizer.zero_grad()
        total = loss(layer(inputs)) + decay * layer.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(value)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        weight = layer.weight / torch.from_numpy(scale).double()
        bias = layer.bias - weight @ torch.from_numpy(mean).double()
    return {f"{name}.weight": weight.float(), f"{name}.bias": bias.float()}


def _check(name: str, found: set[str], known: Sequence[str]) -> None:
    if not found:
        raise ConfigError(f"no recording has a label of {name}: leave it out")
    if strange := sorted(found - set(known)):
        raise ConfigError(f"{name} has no class {', '.join(strange)}: it has {', '.join(known)}")
