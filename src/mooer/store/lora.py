"""LoRA as peft writes it to a folder: what its options and the names of its tensors say.

`adapter_config.json` says alpha, which no tensor knows; what it says of rank and targets must be
what the tensors say. Options that change the arithmetic (DoRA, rsLoRA, patterns) are refused by
name rather than ignored.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mooer.errors import ModelError, first_line, listed

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_PREFIX = "base_model.model."
_NAME = re.compile(r"(.*\.([^.]+))\.lora_([AB])\.weight")

# Options of peft that must say nothing for plain LoRA, and what nothing looks like. All others
# are about training or bookkeeping.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": (None, "none"),
    "fan_in_fan_out": (None, False),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "use_rslora": (None, False),
    "use_dora": (None, False),
    "use_qalora": (None, False),
    "lora_bias": (None, False),
    "layer_replication": (None, []),
    "target_parameters": (None, []),
    "trainable_token_indices": (None, [], {}),
    "alora_invocation_tokens": (None, []),
    "exclude_modules": (None, [], ""),
}

Shapes = Mapping[str, tuple[int, ...]]


class LoraSizes(NamedTuple):
    """What makes LoRA of its tensors."""

    rank: int
    alpha: float  # an update is scaled by alpha / rank
    dropout: float
    targets: tuple[str, ...]  # sorted


def read_options(folder: Path) -> dict[str, Any]:
    """`adapter_config.json`; ModelError if it is missing or damaged."""
    path = folder / CONFIG
    try:
        options = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({first_line(error)}): fetch it again") from None
    if not isinstance(options, dict):
        raise ModelError(f"{path} holds no options but a {type(options).__name__}")
    return options


def sizes(options: Mapping[str, Any], shapes: Shapes, source: str | os.PathLike[str]) -> LoraSizes:
    """Rank and targets of the tensors, alpha and dropout of the options; they must agree.

    ModelError if they do not, or if the options are those of another kind of LoRA.
    """
    for key, neutral in _NEUTRAL.items():
        if options.get(key, neutral[0]) not in neutral:
            raise ModelError(
                f"{CONFIG} beside {source} sets {key} to {options[key]!r}: only plain LoRA is read"
            )
    rank, targets = measure(shapes, source)
    if options.get("r") != rank:
        raise ModelError(
            f"{CONFIG} beside {source} says rank {options.get('r')}, but the tensors have {rank}: "
            f"they are not of one model"
        )
    said = options.get("target_modules")
    if isinstance(said, list) and set(said) != set(targets):
        raise ModelError(
            f"{CONFIG} beside {source} says targets {', '.join(sorted(said))}, but the tensors are "
            f"of {', '.join(sorted(targets))}: they are not of one model"
        )
    alpha = options.get("lora_alpha")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool):
        raise ModelError(
            f"{CONFIG} beside {source} says no lora_alpha, by which updates are scaled"
        )
    return LoraSizes(rank, float(alpha), float(options.get("lora_dropout", 0.0)), targets)


def measure(shapes: Shapes, source: str | os.PathLike[str]) -> tuple[int, tuple[str, ...]]:
    """Rank and targets of LoRA tensors, which all have one rank. ModelError if they have not."""
    ranks: dict[int, list[str]] = {}
    targets: set[str] = set()
    strange = []
    for name, shape in shapes.items():
        match = _NAME.fullmatch(name)
        if match is None or len(shape) != 2:
            strange.append(name)
            continue
        ranks.setdefault(shape[0] if match[3] == "A" else shape[1], []).append(name)
        targets.add(match[2])
    if strange:
        raise ModelError(f"{source} holds tensors that are not of LoRA: {listed(strange)}")
    bare = [name for name in shapes if not name.startswith(_PREFIX)]
    if bare:
        begin = bare[0].split(".")[0]
        raise ModelError(
            f"the names in {source} begin with {begin + '.'!r} instead of {_PREFIX!r}: "
            f"{listed(bare)}"
        )
    if len(ranks) != 1:
        found = "; ".join(f"rank {r}: {listed(names)}" for r, names in sorted(ranks.items()))
        raise ModelError(f"the tensors in {source} are of several ranks or none ({found})")
    return next(iter(ranks)), tuple(sorted(targets))


def layer(name: str) -> tuple[str, str]:
    """The layer that a tensor is for and its side, A or B, of a name that `measure` has checked.

    >>> layer("base_model.model.lm_head.lora_A.weight")
    ('lm_head', 'A')
    """
    match = _NAME.fullmatch(name)
    assert match is not None, name
    return match[1].removeprefix(_PREFIX), match[3]
