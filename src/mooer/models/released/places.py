"""Where the parts of a released speech LLM lie in a folder.

pretrained_models/                   or all in one folder (MooER-S2ST, MooER-omni):
  paraformer_encoder/                  am.mvn  paraformer-encoder.pth
    am.mvn  paraformer-encoder.pth     adapter_project.pt  lora/  llm/
  asr/
    adapter_project.pt               A task may also be a folder of DeepSpeed.
    lora_weights/
  Qwen2-7B-Instruct/
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mooer.errors import ModelError, did_you_mean
from mooer.models.llm import LoraConfig
from mooer.models.lora import lora_config, read_lora
from mooer.models.released.checksums import ADAPTER
from mooer.models.released.deepspeed import is_deepspeed, read_deepspeed
from mooer.models.released.pieces import ENCODER_FILE, LLM_NAMES, States, split
from mooer.models.tensors import Tensors, read_tensors, shapes_of
from mooer.store.lora import CONFIG as LORA_CONFIG
from mooer.store.lora import measure

_LORA_FOLDERS = ("lora_weights", "lora", "new_llm")


@dataclass(frozen=True)
class Places:
    """What was found; all may be absent."""

    encoder: Path | None  # the folder of the encoder's two files
    tasks: dict[str, Path]
    llms: dict[Path, int]  # folders of LLMs and their widths


@dataclass(frozen=True)
class TaskParts:
    """What one task has learned."""

    path: Path  # of the adapter
    adapter: Tensors
    encoder: Tensors  # empty unless it was trained too
    lora_path: Path | None
    lora: Tensors
    lora_config: LoraConfig | None
    num_frozen: int = 0  # tensors of the LLM itself, which are not read


def find(folder: Path) -> Places:
    """The parts in a folder; if it is that of a task, also those beside it."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is no folder: give the one that was fetched")
    within = sorted(path for path in folder.iterdir() if path.is_dir())
    if is_task(folder):
        tasks, beside = {folder.name: folder}, [folder, folder.parent]
    else:
        tasks, beside = {path.name: path for path in within if is_task(path)}, [folder]
    encoders = [place for base in beside for place in (base / "paraformer_encoder", base)]
    encoder = next((place for place in encoders if (place / ENCODER_FILE).is_file()), None)
    llms = {p: w for base in beside for p in sorted(base.iterdir()) if (w := llm_width(p))}
    return Places(encoder, tasks, llms)


def is_task(folder: Path) -> bool:
    """Whether an adapter lies here, as MooER or DeepSpeed saves one."""
    return (folder / ADAPTER).is_file() or is_deepspeed(folder)


def llm_width(folder: Path) -> int:
    """Width of the LLM in a folder of transformers; 0 if there is none."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return 0
    width = config.get("hidden_size", 0) if isinstance(config, dict) else 0
    return width if isinstance(width, int) and "model_type" in config else 0


def choose_task(places: Places, folder: Path, wanted: str | None) -> Path:
    """The task that is wanted, or the only one."""
    if not places.tasks:
        raise ModelError(
            f"{folder} holds no task: a folder with {ADAPTER} and lora_weights/, such as asr/"
        )
    if wanted is None:
        if len(places.tasks) > 1:
            raise ModelError(f"{folder} holds several tasks, {', '.join(places.tasks)}: name one")
        return next(iter(places.tasks.values()))
    if wanted not in places.tasks:
        raise ModelError(f"{folder} has no task {wanted!r}: {did_you_mean(wanted, places.tasks)}")
    return places.tasks[wanted]


def choose_llm(places: Places, folder: Path, width: int) -> Path:
    """The only LLM whose width is that of the adapter."""
    fitting = [path for path, has in places.llms.items() if has == width]
    if len(fitting) == 1:
        return fitting[0]
    name = LLM_NAMES.get(width, "the LLM it was trained with")
    if fitting:
        found = ", ".join(map(str, fitting))
        raise ModelError(f"several LLMs of width {width} lie there, {found}: name one as llm")
    if places.llms:
        found = ", ".join(f"{path.name} of width {has}" for path, has in places.llms.items())
        raise ModelError(
            f"the adapter makes embeddings of width {width}, but {folder} holds {found}: "
            f"put {name} there, or give its path as llm"
        )
    raise ModelError(f"{folder} holds no LLM: put {name} there, or give its path as llm")


def read_task(folder: Path, lora_alpha: float | None = None) -> TaskParts:
    """Everything a task has learned. `lora_alpha` is for files that do not say it: DeepSpeed's."""
    if (folder / ADAPTER).is_file():
        path = folder / ADAPTER
        tensors = read_tensors(path)
    else:
        path, tensors = read_deepspeed(folder)
    states = split(tensors)
    states.adapter.update({name: tensors[name] for name in states.others})  # to be refused
    lora = next((folder / n for n in _LORA_FOLDERS if (folder / n / LORA_CONFIG).is_file()), None)
    if lora is not None and states.lora:
        raise ModelError(f"both {path} and {lora} hold LoRA: take one of them away")
    if lora is not None:
        read = read_lora(lora)
        return _parts(path, states, read.source, read.tensors, read.config)
    if states.lora:
        return _parts(path, states, path, states.lora, _measured(states.lora, path, lora_alpha))
    if (folder / ADAPTER).is_file():
        raise ModelError(f"{folder / 'lora_weights'} is missing or has no {LORA_CONFIG}: fetch it")
    return _parts(path, states, None, {}, None)


def _parts(
    path: Path, states: States, lora_path: Path | None, lora: Tensors, config: LoraConfig | None
) -> TaskParts:
    return TaskParts(path, states.adapter, states.encoder, lora_path, lora, config, len(states.llm))


def _measured(lora: Tensors, path: Path, alpha: float | None) -> LoraConfig:
    if alpha is None:
        raise ModelError(
            f"{path} does not say LoRA's alpha, by which its updates are scaled: give it as "
            f"lora_alpha (MooER trains with 16)"
        )
    shapes = shapes_of(lora)
    rank, _ = measure(shapes, path)
    return lora_config({"r": rank, "lora_alpha": alpha, "peft_type": "LORA"}, shapes, path)
