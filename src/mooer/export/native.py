"""A speech LLM that mooer has saved, as a folder that is run without torch, and small to ship.

    out/
      mooer.yaml            as it was, with paths that hold from here
      encoder.safetensors   of the encoder what was trained, in float16
      adapter.safetensors   in float16
      ctc.safetensors       in float16, if it has a CTC head
      lora/                 in float16
      llm/                  the LLM, if it is a GGUF file and not one of the store

`mooer.engines.speech_llm` runs it; `mooer.models.load` reads it too.
"""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from mooer.config import read_yaml, write_yaml
from mooer.engines.speech_folder import llm_file
from mooer.engines.speech_llm import LORA as LORA_GGUF
from mooer.engines.speech_llm import why_not
from mooer.errors import ConfigError, ModelError
from mooer.export.llm import Base, updates
from mooer.models.adapter import build_adapter
from mooer.models.ctc import EmbeddingCtc, read_units
from mooer.models.llm import LoraConfig
from mooer.models.load import (
    ADAPTER,
    CONFIG,
    CTC,
    ENCODER,
    LLM,
    LORA,
    build_encoder,
    changed,
    fill_encoder,
    halved,
    saved_lora,
    whole_path,
    write_tensors,
)
from mooer.models.speech_llm import ModelConfig
from mooer.models.tensors import fill, read_tensors
from mooer.store import SCHEME
from mooer.store.lora import CONFIG as LORA_CONFIG
from mooer.store.lora import WEIGHTS

logger = logging.getLogger(__name__)


def export_native(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> list[Path]:
    """Write a saved model into the folder `out`; returns the files.

    ModelError if the engine without torch cannot run such a model, if something of it does not
    fit, or if a weight is too large for float16.
    """
    source, place = Path(folder), Path(out)
    if reason := why_not(source):
        raise ModelError(f"{source} cannot be run without torch: {reason}")
    if place.is_dir() and source.samefile(place):
        raise ConfigError(f"{place} is the model itself: write the export to another folder")
    config = read_yaml(ModelConfig, source / CONFIG)
    gguf = llm_file(config.llm.path, source)
    base = Base(gguf)
    place.mkdir(parents=True, exist_ok=True)
    (place / LORA_GGUF).unlink(missing_ok=True)  # of an earlier version: it would be taken first
    paths = [*_encoder_and_adapter(source, place, config, base.width)]
    if config.ctc is not None and (source / CTC).is_file():
        paths.append(_ctc(source, place, config, base.width))
    if config.llm.lora is not None:
        paths += _lora(source, place, config.llm.lora, base)
    llm = config.llm
    if not llm.path.startswith(SCHEME):
        (place / LLM).mkdir(exist_ok=True)
        paths.append(place / LLM / gguf.name)
        shutil.copyfile(gguf, paths[-1])
        llm = replace(llm, path=LLM)
        logger.info("copied the LLM %s", gguf)
    else:
        logger.info("the LLM stays in the store: %s", llm.path)
    weights = config.encoder.weights
    encoder = replace(config.encoder, weights=weights and whole_path(weights))
    write_yaml(replace(config, llm=llm, encoder=encoder, adapter_weights=None), place / CONFIG)
    return [place / CONFIG, *paths]


def _encoder_and_adapter(source: Path, place: Path, config: ModelConfig, width: int) -> list[Path]:
    encoder = build_encoder(config.encoder)
    fill_encoder(encoder, config.encoder, source)
    tensors = changed(encoder, config.encoder)
    paths = [place / ADAPTER]
    if tensors:
        write_tensors(tensors, place / ENCODER, half=True)
        paths.append(place / ENCODER)
    else:
        (place / ENCODER).unlink(missing_ok=True)
    adapter: nn.Module = build_adapter(config.adapter, encoder.width, width)
    fill(adapter, read_tensors(source / ADAPTER), source / ADAPTER, "adapter")
    write_tensors(adapter.state_dict(), place / ADAPTER, half=True)
    return paths


def _ctc(source: Path, place: Path, config: ModelConfig, width: int) -> Path:
    assert config.ctc is not None
    units = read_units(source / CTC)
    head = EmbeddingCtc(config.ctc, units, torch.ones(max(units) + 1, width))
    head.load_weights(source / CTC)
    write_tensors(head.state_dict(), place / CTC, half=True)
    return place / CTC


def _lora(source: Path, place: Path, config: LoraConfig, base: Base) -> list[Path]:
    """LoRA as peft has it; ModelError if it is not of this LLM."""
    lora = saved_lora(config, source)
    updates(base, lora)
    (place / LORA).mkdir(exist_ok=True)
    paths = [place / LORA / LORA_CONFIG, place / LORA / WEIGHTS[0]]
    shutil.copyfile(source / LORA / LORA_CONFIG, paths[0])
    write_tensors(halved(lora.tensors, paths[1]), paths[1])
    return paths
