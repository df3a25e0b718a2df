"""LoRA as peft writes it to a folder, in torch; `mooer.store.lora` says what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.errors import ModelError
from mooer.models.llm import LoraConfig
from mooer.models.tensors import Shapes, StrPath, Tensors, compare, read_tensors, shapes_of
from mooer.store.lora import WEIGHTS, read_options, sizes


@dataclass(frozen=True)
class Lora:
    """LoRA of one LLM: its sizes and its tensors, under the names that peft gives them."""

    source: Path
    config: LoraConfig
    tensors: Tensors


def read_lora(folder: StrPath) -> Lora:
    """ModelError if a file is missing or damaged, or if config and tensors disagree."""
    place = Path(folder)
    options = read_options(place)
    file = next((place / name for name in WEIGHTS if (place / name).is_file()), None)
    if file is None:
        raise ModelError(f"{place} holds neither {' nor '.join(WEIGHTS)}: fetch it again")
    tensors = read_tensors(file)
    return Lora(file, lora_config(options, shapes_of(tensors), file), tensors)


def lora_config(options: Mapping[str, Any], shapes: Shapes, source: StrPath) -> LoraConfig:
    """What `mooer.store.lora.sizes` finds, which raises the errors."""
    return LoraConfig(*sizes(options, shapes, source))


def same_lora(one: LoraConfig, other: LoraConfig) -> bool:
    """Whether two give the same network; dropout, and the order of targets, do not matter."""
    return (one.rank, one.alpha, set(one.targets)) == (other.rank, other.alpha, set(other.targets))


def fill_lora(model: Any, lora: Lora) -> None:
    """Copy the tensors into an LLM with LoRA of the same config, all or none."""
    import peft

    wanted = shapes_of(peft.get_peft_model_state_dict(model))
    compare(wanted, lora.tensors).require(lora.source, "LLM's LoRA")
    peft.set_peft_model_state_dict(model, lora.tensors)
