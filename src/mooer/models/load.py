"""Speech LLMs from a config, to a folder, and back.

    my-model/
      mooer.yaml            encoder, adapter, LLM, template
      encoder.safetensors
      am.mvn                if the encoder's front end normalises
      adapter.safetensors
      ctc.safetensors       if it has a CTC head
      lora/                 as peft writes it, if the LLM has LoRA
      llm/                  the LLM itself, if it was trained or merged

Without `llm/` the LLM stays where it was and is named by its path. Every file is read strictly.
"""

from __future__ import annotations

import os
import shutil
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from mooer.config import from_mapping, read_yaml, write_yaml
from mooer.errors import ConfigError, ModelError
from mooer.models.adapter import Adapter, build_adapter
from mooer.models.ctc import EmbeddingCtc, read_units
from mooer.models.encoders import ENCODERS
from mooer.models.encoders.base import Encoder
from mooer.models.llm import Dtype, has_lora, llm_width, load_llm, merge_lora, plain
from mooer.models.lora import fill_lora, read_lora, same_lora
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM
from mooer.models.tensors import fill, read_tensors
from mooer.store import SCHEME, located

CONFIG = "mooer.yaml"
ENCODER = "encoder.safetensors"
ADAPTER = "adapter.safetensors"
CTC = "ctc.safetensors"
LORA = "lora"
LLM = "llm"
_CMVN = "cmvn"  # the one option of encoders that names a file to be kept with the weights
_FOLDER = "path"  # the one that names a folder, which stays where it is


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


def save(
    model: SpeechLLM,
    folder: str | os.PathLike[str],
    *,
    with_encoder: bool = True,
    with_llm: bool | None = None,
) -> None:
    """Write a model; `load` reads it back.

    Without the encoder it is loaded from where `config.encoder.weights` says. The LLM itself is
    written if it was merged or any of its own weights learns, or as `with_llm` says.
    """
    config, place = model.config, Path(folder)
    if config is None:
        raise ModelError("a model that was made without a config cannot be saved: use build()")
    if not with_encoder and config.encoder.weights is None:
        raise ModelError("the encoder has no weights elsewhere: save it with the model")
    place.mkdir(parents=True, exist_ok=True)
    encoder, options = config.encoder, dict(config.encoder.config)
    if options.get(_CMVN):
        _copy(Path(options[_CMVN]), place / "am.mvn")
        options[_CMVN] = "am.mvn"
    if with_encoder:
        _write(model.encoder, place / ENCODER)
    if options.get(_FOLDER):
        options[_FOLDER] = _whole(str(options[_FOLDER]))
    weights = None if with_encoder or encoder.weights is None else _whole(encoder.weights)
    encoder = EncoderConfig(encoder.name, options, weights)
    _write(model.adapter, place / ADAPTER)
    if model.ctc is not None:
        _write(model.ctc, place / CTC)
    llm = config.llm
    if with_llm is None:
        with_llm = model.owns_llm or _learns(model.llm)
    if has_lora(model.llm):
        model.llm.save_pretrained(place / LORA, save_embedding_layers=False)
    else:
        llm = replace(llm, lora=None)
    if with_llm:
        if has_lora(model.llm):
            raise ModelError("the LLM cannot be written with LoRA in it: merge_lora() first")
        plain(model.llm).save_pretrained(place / LLM)
        model.tokenizer.save_pretrained(place / LLM)
    llm = replace(llm, path=LLM if with_llm else _whole(llm.path))
    written = replace(config, encoder=encoder, llm=llm, adapter_weights=None)
    write_yaml(written, place / CONFIG)


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
    if config.encoder.weights is None:
        fill(model.encoder, read_tensors(place / ENCODER), place / ENCODER, "encoder")
    fill(model.adapter, read_tensors(place / ADAPTER), place / ADAPTER, "adapter")
    if config.ctc is not None and (place / CTC).is_file():
        model.set_units(read_units(place / CTC))
        assert model.ctc is not None
        model.ctc.load_weights(place / CTC)
    if config.llm.lora is not None:
        lora = read_lora(place / LORA)
        if not same_lora(lora.config, config.llm.lora):
            raise ModelError(
                f"{place / LORA} holds {lora.config}, but {CONFIG} says {config.llm.lora}: "
                f"they are not of one model"
            )
        fill_lora(model.llm, lora)
        if merge:
            model.llm = merge_lora(model.llm)
            model.owns_llm = True
    if dtype is not None:
        model.to(getattr(torch, dtype))
    return model.to(device).eval()


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


def _write(module: Encoder | Adapter | EmbeddingCtc, path: Path) -> None:
    tensors = {n: t.detach().cpu().contiguous() for n, t in module.state_dict().items()}
    save_file(tensors, path)


def _whole(path: str) -> str:
    """A path that holds wherever the program is started."""
    return path if path.startswith(SCHEME) else str(Path(path).expanduser().resolve())


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise ConfigError(f"the CMVN file {source} is not there any more")
    if not target.exists() or not source.samefile(target):
        shutil.copyfile(source, target)
