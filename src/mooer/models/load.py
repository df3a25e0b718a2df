"""Speech LLMs from a config, to a folder, and back.

    my-model/
      mooer.yaml            encoder, adapter, LLM, template
      encoder.safetensors   all of it, or what changed since the weights that mooer.yaml names
      am.mvn                if the encoder's front end normalises
      adapter.safetensors
      ctc.safetensors       if it has a CTC head
      lora/                 as peft writes it, if the LLM has LoRA
      llm/                  the LLM itself, if it was trained or merged

Without `llm/` the LLM stays where it was and is named by its path. Every file is read strictly.
"""

from __future__ import annotations

import os
import re
import shutil
import typing
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mooer.config import from_mapping, read_yaml, write_yaml
from mooer.errors import ConfigError, ModelError, listed
from mooer.models.adapter import build_adapter
from mooer.models.ctc import read_units
from mooer.models.encoders import ENCODERS
from mooer.models.encoders.base import Encoder
from mooer.models.llm import (
    Dtype,
    LlmConfig,
    LoraConfig,
    has_lora,
    llm_width,
    load_llm,
    merge_lora,
    plain,
)
from mooer.models.lora import Lora, fill_lora, read_lora, same_lora
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM
from mooer.models.tensors import Tensors, fill, read_tensors
from mooer.store import SCHEME, located

CONFIG = "mooer.yaml"
ENCODER = "encoder.safetensors"
ADAPTER = "adapter.safetensors"
CTC = "ctc.safetensors"
LORA = "lora"
LLM = "llm"
_CMVN = "cmvn"  # the one option of encoders that names a file to be kept with the weights
_FOLDER = "path"  # the one that names a folder, which stays where it is
_BLOCK = re.compile(r"(.*?\.\d+)\.")  # the block that a tensor is of, by its name


def build(config: ModelConfig, *, llm: tuple[Any, Any] | None = None) -> SpeechLLM:
    """A speech LLM of these parts; adapter and LoRA learn, encoder and LLM do not.

    `llm` is a model and a tokenizer already loaded, instead of those that `config` names.
    """
    model, tokenizer = llm or load_llm(config.llm)
    encoder = build_encoder(config.encoder).requires_grad_(False)
    adapter = build_adapter(config.adapter, encoder.width, llm_width(model))
    if config.adapter_weights is not None:
        adapter.load_weights(config.adapter_weights)
    return SpeechLLM(encoder, adapter, model, tokenizer, config.template, config)


def build_encoder(config: EncoderConfig) -> Encoder:
    """The encoder of that name, with its released weights if `config` names them."""
    kind: Any = ENCODERS.load(config.name)
    options = typing.get_type_hints(kind.__init__)["config"]
    encoder: Encoder = kind(from_mapping(options, config.config, where=f"encoder {config.name}"))
    if config.weights is not None:
        encoder.load_weights(located(config.weights))
    return encoder


def fill_encoder(encoder: Encoder, config: EncoderConfig, place: Path) -> None:
    """Fill an encoder that `build_encoder` made with what the folder of a model holds of it.

    Over released weights that is what was trained, none of it new to the encoder; else all.
    ModelError lists what does not fit.
    """
    path = place / ENCODER
    if config.weights is None:
        fill(encoder, read_tensors(path), path, "encoder")
    elif path.is_file():
        fill(encoder, {**encoder.state_dict(), **read_tensors(path)}, path, "encoder")


def changed(encoder: Encoder, config: EncoderConfig) -> Tensors:
    """What an encoder has that `config` alone does not give; of a block all or nothing."""
    before = build_encoder(config).state_dict()
    now = encoder.state_dict()
    blocks = {
        _block(name)
        for name, tensor in now.items()
        if not torch.equal(tensor.cpu(), before[name].to(tensor.dtype))
    }
    return {name: tensor for name, tensor in now.items() if _block(name) in blocks}


def save(
    model: SpeechLLM,
    folder: str | os.PathLike[str],
    *,
    with_encoder: bool | Literal["changed"] = True,
    with_llm: bool | None = None,
    half: bool = False,
) -> None:
    """Write a model; `load` reads it back.

    Without the encoder it is loaded from where `config.encoder.weights` says; "changed": from
    there, and what is different now from the folder. The LLM itself is written if it was merged or
    any of its own weights learns, or as `with_llm` says. `half` writes all else in float16, which
    is half as large and rounds to 11 bits; ModelError if a weight is too large for it.
    """
    config, place = model.config, Path(folder)
    if config is None:
        raise ModelError("a model that was made without a config cannot be saved: use build()")
    if with_encoder is not True and config.encoder.weights is None:
        raise ModelError("the encoder has no weights elsewhere: save it with the model")
    place.mkdir(parents=True, exist_ok=True)
    encoder = _save_encoder(model.encoder, config.encoder, place, with_encoder, half)
    write_tensors(model.adapter.state_dict(), place / ADAPTER, half=half)
    if model.ctc is not None:
        write_tensors(model.ctc.state_dict(), place / CTC, half=half)
    llm = _save_llm(model, config.llm, place, with_llm, half)
    written = replace(config, encoder=encoder, llm=llm, adapter_weights=None)
    write_yaml(written, place / CONFIG)


def _save_encoder(
    encoder: Encoder,
    config: EncoderConfig,
    place: Path,
    with_encoder: bool | Literal["changed"],
    half: bool,
) -> EncoderConfig:
    """Write what `save` says of the encoder; its config in the folder."""
    tensors: Mapping[str, Tensor] = {}
    if with_encoder:
        whole = with_encoder is True
        tensors = encoder.state_dict() if whole else changed(encoder, config)
    if tensors:
        write_tensors(tensors, place / ENCODER, half=half)
    else:  # one of another model would be taken for this one's
        (place / ENCODER).unlink(missing_ok=True)
    options = dict(config.config)
    if options.get(_CMVN):
        _copy(Path(options[_CMVN]), place / "am.mvn")
        options[_CMVN] = "am.mvn"
    if options.get(_FOLDER):
        options[_FOLDER] = whole_path(str(options[_FOLDER]))
    weights = config.weights if with_encoder is not True else None
    return EncoderConfig(config.name, options, weights and whole_path(weights))


def _save_llm(
    model: SpeechLLM, config: LlmConfig, place: Path, with_llm: bool | None, half: bool
) -> LlmConfig:
    """Write LoRA, and the LLM itself if that is to be; its config in the folder."""
    if with_llm is None:
        with_llm = model.owns_llm or _learns(model.llm)
    if has_lora(model.llm):
        tensors = {n: t for n, t in model.llm.state_dict().items() if "lora_" in n}
        if half:
            tensors = halved(tensors, place / LORA)
        model.llm.save_pretrained(place / LORA, save_embedding_layers=False, state_dict=tensors)
    else:
        config = replace(config, lora=None)
    if with_llm:
        if has_lora(model.llm):
            raise ModelError("the LLM cannot be written with LoRA in it: merge_lora() first")
        plain(model.llm).save_pretrained(place / LLM)
        model.tokenizer.save_pretrained(place / LLM)
    return replace(config, path=LLM if with_llm else whole_path(config.path))


def load(
    folder: str | os.PathLike[str],
    device: str | torch.device = "cpu",
    dtype: Dtype | None = None,
    *,
    merge: bool = False,
) -> SpeechLLM:
    """A saved model in eval mode; `dtype` instead of the one it was saved with, for all of it.

    `merge` adds LoRA into the LLM. ModelError lists whatever does not fit.
    """
    place = Path(folder)
    if not (place / CONFIG).is_file():
        raise ModelError(f"{place} holds no {CONFIG}: it is no model that mooer has saved")
    config = locate(read_yaml(ModelConfig, place / CONFIG), place)
    if dtype is not None:
        config = replace(config, llm=replace(config.llm, dtype=dtype))
    model = build(config)
    fill_encoder(model.encoder, config.encoder, place)
    fill(model.adapter, read_tensors(place / ADAPTER), place / ADAPTER, "adapter")
    if config.ctc is not None and (place / CTC).is_file():
        model.set_units(read_units(place / CTC))
        assert model.ctc is not None
        model.ctc.load_weights(place / CTC)
    if config.llm.lora is not None:
        fill_lora(model.llm, saved_lora(config.llm.lora, place))
        if merge:
            model.llm = merge_lora(model.llm)
            model.owns_llm = True
    if dtype is not None:
        model.to(getattr(torch, dtype))
    return model.to(device).eval()


def saved_lora(config: LoraConfig, place: Path) -> Lora:
    """LoRA of a folder; ModelError if it is damaged, or not what `config` in mooer.yaml says."""
    lora = read_lora(place / LORA)
    if not same_lora(lora.config, config):
        raise ModelError(
            f"{place / LORA} holds {lora.config}, but {CONFIG} says {config}: "
            f"they are not of one model"
        )
    return lora


def locate(config: ModelConfig, place: Path) -> ModelConfig:
    """Paths inside the folder made whole."""
    options = dict(config.encoder.config)
    if options.get(_CMVN):
        options[_CMVN] = str(place / str(options[_CMVN]))
    llm = config.llm
    if llm.path == LLM:
        llm = replace(llm, path=str(place / LLM))
    return replace(config, encoder=replace(config.encoder, config=options), llm=llm)


def _learns(llm: nn.Module) -> bool:
    """Whether any weight of the LLM's own learns."""
    return any(p.requires_grad and "lora_" not in name for name, p in llm.named_parameters())


def write_tensors(tensors: Mapping[str, Tensor], path: Path, *, half: bool = False) -> None:
    """Write safetensors, with `half` in float16. ModelError if a number is too large for that."""
    kept = halved(tensors, path) if half else tensors
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in kept.items()}, path)


def halved(tensors: Mapping[str, Tensor], path: Path) -> Tensors:
    """Numbers in float16, counts as they are; ModelError if a number is too large for that."""
    found = {n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}
    over = [n for n, t in found.items() if t.isinf().any() and not tensors[n].isinf().any()]
    if over:
        raise ModelError(
            f"{path} cannot be written in float16, which ends at 65504 ({listed(over)}): write it "
            f"in float32"
        )
    return found


def _block(name: str) -> str:
    """`layers.3` of a tensor in that block, else the name itself.

    >>> _block("layers.3.fc1.weight"), _block("conv1.bias")
    ('layers.3', 'conv1.bias')
    """
    found = _BLOCK.match(name)
    return found[1] if found else name


def whole_path(path: str) -> str:
    """A path that holds wherever the program is started."""
    return path if path.startswith(SCHEME) else str(Path(path).expanduser().resolve())


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ConfigError(f"the CMVN file {source} is not there any more")
    if not target.exists() or not source.samefile(target):
        shutil.copyfile(source, target)
