"""LoRA as peft writes it to a folder: read strictly, its rank and targets taken from the tensors.

`adapter_config.json` says alpha, which no tensor knows; what it says of rank and targets must be
what the tensors say. Options that change the arithmetic (DoRA, rsLoRA, patterns) are refused by
name rather than ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.errors import ModelError
from mooer.models.llm import LoraConfig
from mooer.models.tensors import (
    Shapes,
    StrPath,
    Tensors,
    compare,
    first_line,
    listed,
    read_tensors,
    shapes_of,
)

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_NAME = re.compile(r"(.*)\.([^.]+)\.lora_([AB])\.weight")
_PREFIX = "base_model.model."

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


@dataclass(frozen=True)
class Lora:
    """LoRA of one LLM: its sizes and its tensors, under the names that peft gives them."""

    source: Path
    config: LoraConfig
    tensors: Tensors


def read_lora(folder: StrPath) -> Lora:
    """ModelError if a file is missing or damaged, or if config and tensors disagree."""
    place = Path(folder)
    options = _options(place / CONFIG)
    file = next((place / name for name in WEIGHTS if (place / name).is_file()), None)
    if file is None:
        raise ModelError(f"{place} holds neither {' nor '.join(WEIGHTS)}: fetch it again")
    tensors = read_tensors(file)
    return Lora(file, lora_config(options, shapes_of(tensors), file), tensors)


def lora_config(options: Mapping[str, Any], shapes: Shapes, source: StrPath) -> LoraConfig:
    """Rank and targets of the tensors, alpha and dropout of the options; they must agree."""
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
    dropout = options.get("lora_dropout", 0.0)
    return LoraConfig(rank, float(alpha), float(dropout), targets)


def measure(shapes: Shapes, source: StrPath) -> tuple[int, tuple[str, ...]]:
    """Rank and targets of LoRA tensors, which all have one rank."""
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


def same_lora(one: LoraConfig, other: LoraConfig) -> bool:
    """Whether two give the same network; dropout, and the order of targets, do not matter."""
    return (one.rank, one.alpha, set(one.targets)) == (other.rank, other.alpha, set(other.targets))


def fill_lora(model: Any, lora: Lora) -> None:
    """Copy the tensors into an LLM with LoRA of the same config, all or none."""
    import peft

    wanted = shapes_of(peft.get_peft_model_state_dict(model))
    compare(wanted, lora.tensors).require(lora.source, "LLM's LoRA")
    peft.set_peft_model_state_dict(model, lora.tensors)


def _options(path: Path) -> dict[str, Any]:
    try:
        options = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({first_line(error)}): fetch it again") from None
    if not isinstance(options, dict):
        raise ModelError(f"{path} holds no options but a {type(options).__name__}")
    return options
