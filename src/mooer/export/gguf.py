"""A speech LLM that mooer has saved, as files of stock llama.cpp.

    out/
      mmproj-f16.gguf       encoder and adapter: `--mmproj`
      llm-q8_0.gguf         the LLM with LoRA added, one for each precision: `--model`
      lora.gguf             LoRA alone, for the LLM as it was: `--lora`

The LLM's file has a chat template that lays out a request as the model has learned it; the line
break between a recording and the text after it is the text's, for llama.cpp puts none there.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mooer.config import read_yaml
from mooer.engines.llm import find_gguf
from mooer.errors import ConfigError, ModelError, did_you_mean
from mooer.export.llm import Base, Weights, write_llm, write_lora
from mooer.export.precision import PRECISIONS, Precision
from mooer.export.projector import WINDOW_S, require_runnable, write_projector
from mooer.models.adapter import Adapter, build_adapter
from mooer.models.encoders.base import Encoder
from mooer.models.encoders.whisper import WhisperEncoder
from mooer.models.load import (
    ADAPTER,
    CONFIG,
    LLM,
    build_encoder,
    fill_encoder,
    locate,
    saved_lora,
)
from mooer.models.lora import Lora
from mooer.models.speech_llm import ModelConfig
from mooer.models.tensors import fill, read_tensors
from mooer.store import located
from mooer.tasks.templates import template

logger = logging.getLogger(__name__)

_CHATML = re.compile(
    r"<\|im_start\|>system\n(?P<system>[^<]*)<\|im_end\|>\n<\|im_start\|>user\n"
    r"<audio>\{prompt\}<\|im_end\|>\n<\|im_start\|>assistant\n"
)
_JINJA = (
    "{{% if messages[0]['role'] != 'system' %}}"
    "<|im_start|>system\n{system}<|im_end|>\n{{% endif %}}"
    "{{% for message in messages %}}<|im_start|>{{{{ message['role'] }}}}\n"
    "{{{{ message['content'] }}}}<|im_end|>\n{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)


@dataclass(frozen=True)
class Exported:
    """The files of an export."""

    projector: Path
    llms: dict[Precision, Path] = field(default_factory=dict)
    lora: Path | None = None
    base: Path | None = None  # what `lora` is for

    @property
    def paths(self) -> list[Path]:
        """All that was written."""
        return [self.projector, *self.llms.values(), *([self.lora] if self.lora else [])]


@dataclass(frozen=True)
class Saved:
    """The parts of a saved model, without its LLM."""

    config: ModelConfig
    encoder: Encoder
    adapter: Adapter
    lora: Lora | None
    base: Base
    weights: Weights | None  # of the LLM, if it is in the folder


def export_gguf(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    precisions: Sequence[Precision] = ("f16",),
    *,
    base: str | os.PathLike[str] | None = None,
) -> Exported:
    """Write the files of a saved model into the folder `out`.

    `base` is the GGUF file that the LLM was trained from, needed where `mooer.yaml` names none.
    ModelError if stock llama.cpp cannot run the model; it says which it can.
    """
    saved = read_saved(Path(folder), base)
    place = Path(out)
    wide: Precision = "f32" if set(precisions) == {"f32"} else "f16"
    projector = place / f"mmproj-{wide}.gguf"
    write_projector(projector, saved.encoder, saved.adapter, wide)
    logger.info("wrote %s", projector)
    chat = chat_template(saved.config.template)
    if chat is None:
        logger.warning(
            "the layout of template %s is no chat of llama.cpp: write the prompt out yourself",
            saved.config.template,
        )
    llms: dict[Precision, Path] = {}
    for precision in dict.fromkeys(precisions):
        path = place / f"llm-{precision}.gguf"
        write_llm(
            path,
            saved.base,
            precision,
            weights=saved.weights,
            lora=saved.lora,
            chat_template=chat,
        )
        logger.info("wrote %s", path)
        llms[precision] = path
    lora = None
    if saved.lora is not None and saved.weights is None:
        lora = place / "lora.gguf"
        write_lora(lora, saved.base, saved.lora)
        logger.info("wrote %s, for %s", lora, saved.base.path)
    return Exported(projector, llms, lora, saved.base.path)


def known_precision(name: str) -> Precision:
    """A precision by its name; ConfigError names the nearest."""
    for known in PRECISIONS:
        if name == known:
            return known
    raise ConfigError(f"unknown precision {name!r}: {did_you_mean(name, PRECISIONS)}")


def read_saved(place: Path, base: str | os.PathLike[str] | None = None) -> Saved:
    """The parts of a saved model; ModelError if llama.cpp cannot run them, or something is off."""
    if not (place / CONFIG).is_file():
        raise ModelError(f"{place} holds no {CONFIG}: it is no model that mooer has saved")
    config = locate(read_yaml(ModelConfig, place / CONFIG), place)
    opened = Base(_base(config, base))
    encoder = build_encoder(config.encoder)
    adapter = build_adapter(config.adapter, encoder.width, opened.width)
    require_runnable(encoder, adapter)
    fill_encoder(encoder, config.encoder, place)
    fill(adapter, read_tensors(place / ADAPTER), place / ADAPTER, "adapter")
    _warn_of_padding(encoder)
    lora = None if config.llm.lora is None else saved_lora(config.llm.lora, place)
    llm = located(config.llm.path)
    weights = read_tensors(llm) if (llm / "config.json").is_file() else None
    return Saved(config, encoder.eval(), adapter.eval(), lora, opened, weights)


def chat_template(name: str) -> str | None:
    """The layout of a template as Jinja; None if it is no ChatML with the audio first.

    >>> "You are a helpful assistant." in chat_template("mini")
    True
    >>> chat_template("slam") is None
    True
    """
    layout = template(name)
    found = _CHATML.fullmatch("".join(layout.before) + "<audio>" + "".join(layout.after))
    return found and _JINJA.format(system=found["system"])


def _base(config: ModelConfig, base: str | os.PathLike[str] | None) -> Path:
    if base is not None:
        return find_gguf(located(base))
    place = located(config.llm.path)
    if (place / "config.json").is_file():
        inside = "in the folder" if place.name == LLM else f"in {place}"
        raise ModelError(
            f"the LLM is {inside} in the format of transformers: name the GGUF file that it was "
            "trained from, or one that convert_hf_to_gguf.py of llama.cpp makes of it (--base)"
        )
    return find_gguf(place)


def _warn_of_padding(encoder: Encoder) -> None:
    if isinstance(encoder, WhisperEncoder) and encoder.config.pad_to_s != WINDOW_S:
        logger.warning(
            "llama.cpp pads recordings to %g s, for which this encoder was not trained "
            "(pad_to_s: %s): compare their answers",
            WINDOW_S,
            encoder.config.pad_to_s,
        )
