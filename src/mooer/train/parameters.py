"""Which parameters a stage trains: words and patterns to names, freezing, optimiser groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from mooer.errors import ConfigError, did_you_mean
from mooer.train.recipe import Group

# Words of a recipe for what is meant most often; everything else is a pattern over names.
WORDS = {
    "encoder": "encoder.*",
    "adapter": "adapter.*",
    "llm": "llm.*",
    "lora": "llm.*lora_*",
    "ctc": "ctc.*",
    "embed": "embed.*",
    "speller": "speller.*",
    "labeller": "labeller.*",
}


def names_of(model: nn.Module) -> list[str]:
    """Names of all parameters, each once, as a checkpoint calls them."""
    return [name for name, _ in named(model)]


def named(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name; what the objective wraps is called as in the model itself."""
    return [(name.removeprefix("model."), p) for name, p in model.named_parameters()]


def select(names: Sequence[str], patterns: Iterable[str]) -> list[str]:
    """Names that any pattern matches, in their order. ConfigError for a pattern without a match.

    >>> select(["adapter.linear1.weight", "encoder.norm.bias"], ["adapter"])
    ['adapter.linear1.weight']
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if matches(name, pattern)]
        if not found:
            raise ConfigError(
                f"the pattern {pattern!r} matches no parameter: "
                + did_you_mean(pattern, {*WORDS, *(_shape_of(name) for name in names)})
            )
        chosen.update(found)
    return [name for name in names if name in chosen]


def matches(name: str, pattern: str) -> bool:
    """Whether a word or pattern of a recipe means this parameter."""
    return fnmatchcase(name, WORDS.get(pattern, pattern))


def _shape_of(name: str) -> str:
    """A name with its layer numbers as `*`: few enough to be shown."""
    return ".".join("*" if part.isdecimal() else part for part in name.split("."))


def freeze(model: nn.Module, trained: Iterable[str]) -> list[str]:
    """Let exactly these learn, in float32, and put what learns nothing into evaluation mode.

    Returns the names that learn. Frozen dropout and batch norms must not move.
    """
    wanted = set(trained)
    learning = []
    for name, parameter in named(model):
        parameter.requires_grad_(name in wanted)
        if name in wanted:
            learning.append(name)
            parameter.data = parameter.data.to(torch.float32)
    set_modes(model)
    return learning


def set_modes(model: nn.Module) -> None:
    """Training mode where something learns, evaluation mode elsewhere."""
    model.train()
    for module in model.modules():
        if not any(p.requires_grad for p in module.parameters()):
            module.eval()


def optimizer_groups(
    model: nn.Module, groups: Sequence[Group], lr: float, weight_decay: float
) -> list[dict[str, object]]:
    """Groups for AdamW: the first group of the recipe that matches decides; norms do not decay.

    Each group holds `names` beside `params`, and `base_lr`, which the schedule scales.
    """
    table: dict[tuple[float, float], dict[str, object]] = {}
    for name, parameter in named(model):
        if not parameter.requires_grad:
            continue
        found = next((g for g in groups if matches(name, g.pattern)), None)
        rate = lr * (found.lr_scale if found else 1.0)
        decay = weight_decay if found is None or found.weight_decay is None else found.weight_decay
        if parameter.ndim < 2:
            decay = 0.0
        group = table.setdefault(
            (rate, decay),
            {"params": [], "names": [], "lr": rate, "base_lr": rate, "weight_decay": decay},
        )
        group["params"].append(parameter)  # type: ignore[attr-defined]
        group["names"].append(name)  # type: ignore[attr-defined]
    return list(table.values())


def blocks(model: nn.Module) -> list[nn.Module]:
    """The repeated layers of encoder, adapter and LLM: what is sharded and recomputed as one."""
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, nn.ModuleList) and len(child) > 1:
            found.extend(child)
        else:
            found.extend(blocks(child))
    return found
