"""A released speech LLM, or one in its layout, as a `SpeechLLM`: strictly, or not at all."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from mooer.errors import ModelError
from mooer.models.encoders.sanm import SanmConfig
from mooer.models.llm import Dtype, LlmConfig, merge_lora
from mooer.models.load import build
from mooer.models.lora import Lora, fill_lora
from mooer.models.released.checksums import FileCheck, check_encoder, check_task
from mooer.models.released.pieces import (
    ADAPTER_PREFIX,
    CMVN_FILE,
    ENCODER_FILE,
    FULL_ENCODER,
    adapter_piece,
    encoder_piece,
)
from mooer.models.released.places import (
    Places,
    TaskParts,
    choose_llm,
    choose_task,
    find,
    llm_width,
    read_task,
)
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM
from mooer.models.tensors import Tensors, fill, read_tensors

logger = logging.getLogger(__name__)

WITHOUT_MD5 = 1536  # width of the LLM of MooER-MTL-5K-1.5B, which has none published


@dataclass(frozen=True)
class ReleasedOptions:
    """How a folder is read."""

    task: str | None = None  # the name of its folder, if there are several
    llm: str | None = None  # the LLM's folder or GGUF file, if it is not beside the tasks
    encoder: str | None = None  # the folder of the encoder, likewise
    check_md5: bool = True  # False: go on with files that are not the published ones
    merge: bool = True  # add LoRA into the LLM, as MooER does
    dtype: Dtype = "float32"
    lora_alpha: float | None = None  # for DeepSpeed's folders, which do not say it


def load_released(
    folder: str | os.PathLike[str],
    options: ReleasedOptions | None = None,
    device: str | torch.device = "cpu",
) -> SpeechLLM:
    """MooER from the folder that its README describes, or from one in that layout; in eval mode.

    ModelError if a part is missing, is not the published file, or does not fit the others.
    """
    options, root = options or ReleasedOptions(), Path(folder)
    places = find(root)
    if options.encoder is not None:
        places = replace(places, encoder=Path(options.encoder))
    task = read_task(choose_task(places, root, options.task), options.lora_alpha)
    encoder, tensors, encoder_path = _encoder(places, root, task)
    adapter, width, piece = adapter_piece(task.adapter, encoder.width, task.path)
    piece.comparison.require(task.path, "adapter")
    if options.check_md5:
        _require_md5(places, task, width)
    config = ModelConfig(
        encoder=EncoderConfig("sanm", _options(encoder), str(encoder_path)),
        llm=LlmConfig(_llm(places, root, options, width), options.dtype, task.lora_config),
        adapter=adapter,
        adapter_weights=str(task.path),
        template="mooer",
    )
    bare = replace(config.encoder, weights=None)
    model = build(replace(config, encoder=bare, adapter_weights=None))
    model.config = config
    fill(model.encoder, tensors, encoder_path, "encoder")
    named = {name.removeprefix(ADAPTER_PREFIX): t for name, t in task.adapter.items()}
    fill(model.adapter, named, task.path, "adapter")
    _fill_lora(model, task, merge=options.merge)
    return model.to(device=device, dtype=getattr(torch, options.dtype)).eval()


def _encoder(places: Places, root: Path, task: TaskParts) -> tuple[SanmConfig, Tensors, Path]:
    """Config with the CMVN, tensors and their file; those that the task has trained come first."""
    place = places.encoder
    if place is None:
        raise ModelError(
            f"{root} holds no paraformer_encoder/{ENCODER_FILE}: put it there, or give its folder "
            f"as encoder"
        )
    cmvn = place / CMVN_FILE
    if not cmvn.is_file():
        raise ModelError(f"{cmvn} is missing: fetch it, it came with the encoder")
    path = task.path if task.encoder else place / ENCODER_FILE
    tensors = task.encoder or read_tensors(path)
    config, piece = encoder_piece(tensors, path)
    piece.comparison.require(path, "encoder")
    if piece.num_parameters != FULL_ENCODER:  # whole blocks may be missing, which no name tells
        logger.warning(
            "the encoder %s has %d parameters, the released one %d: it is another, or was cut",
            path,
            piece.num_parameters,
            FULL_ENCODER,
        )
    return replace(config, cmvn=str(cmvn)), tensors, path


def _options(config: SanmConfig) -> dict[str, object]:
    """The fields that are not the default."""
    default = SanmConfig()
    return {k: v for k, v in vars(config).items() if v != getattr(default, k)}


def _llm(places: Places, root: Path, options: ReleasedOptions, width: int) -> str:
    if options.llm is None:
        return str(choose_llm(places, root, width))
    has = llm_width(Path(options.llm))
    if has and has != width:
        raise ModelError(
            f"the adapter makes embeddings of width {width}, but the LLM {options.llm} reads "
            f"{has}: take the LLM that the adapter was trained with"
        )
    return options.llm


def _fill_lora(model: SpeechLLM, task: TaskParts, *, merge: bool) -> None:
    if task.num_frozen:
        logger.info(
            "%s also holds %d tensors of the LLM itself, which are taken from its folder",
            task.path,
            task.num_frozen,
        )
    if task.lora_config is None or task.lora_path is None:
        return
    fill_lora(model.llm, Lora(task.lora_path, task.lora_config, task.lora))
    if merge:
        model.llm = merge_lora(model.llm)
        model.owns_llm = True


def _require_md5(places: Places, task: TaskParts, width: int) -> None:
    checks = check_encoder(places.encoder) if places.encoder else []
    checks += task_checks(task.path.parent, width)
    faults = [check.fault() for check in checks if not check.good]
    if faults:
        raise ModelError(
            f"{'; '.join(faults)}: damaged, or not a published file; fetch it again, or turn "
            f"check_md5 off to go on with it"
        )


def task_checks(folder: Path, width: int) -> list[FileCheck]:
    """The md5 of a task's files; of a release without published ones nothing is wanted."""
    checks = check_task(folder)
    if width == WITHOUT_MD5:
        return [check if check.good else replace(check, wanted="") for check in checks]
    return checks
