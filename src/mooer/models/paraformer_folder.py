"""The folder that Paraformer was released as, read without torch.

model.pt  config.yaml  am.mvn  tokens.json  (seg_dict: for its training alone)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.errors import ModelError
from mooer.models.funasr_folder import (
    CONFIG,
    FrontSettings,
    SanmSettings,
    holds,
    read_config,
    read_front,
    read_sanm,
    section,
    whole,
)

VOCABULARY = "tokens.json"
_PREDICTORS = {"Paraformer": "CifPredictorV2", "BiCifParaformer": "CifPredictorV3"}
_NAMES = tuple(_PREDICTORS)
_NO_TEXT = ("<blank>", "<s>", "</s>", "<unk>", "<OOV>")


@dataclass(frozen=True)
class DecoderSettings:
    """What config.yaml says of the decoder."""

    num_blocks: int
    num_hearing: int
    num_heads: int
    ffn_width: int
    kernel: int


@dataclass(frozen=True)
class CifSettings:
    """What config.yaml says of the predictor."""

    before: int
    after: int
    factor: float
    noise: float
    tail: float


@dataclass(frozen=True)
class Times:
    """What config.yaml says of the weights that tokens are timed by."""

    factor: float
    noise: float
    parts: int
    after_conv: bool


@dataclass(frozen=True)
class Settings:
    """What config.yaml says."""

    front: FrontSettings
    encoder: SanmSettings
    decoder: DecoderSettings
    cif: CifSettings
    times: Times | None


def holds_paraformer(folder: Path) -> bool:
    """Whether a folder looks like Paraformer: weights, and a config.yaml that names it."""
    return holds(folder, _NAMES)


def read_settings(folder: Path) -> Settings:
    """The settings in config.yaml. ModelError if it is not Paraformer's, or asks for more."""
    path = folder / CONFIG
    content = read_config(path)
    name = content.get("model")
    if name not in _NAMES:
        raise ModelError(f"{path} is of {name!r}, not of {' or '.join(_NAMES)}")
    if content.get("predictor", _PREDICTORS[name]) != _PREDICTORS[name]:
        raise ModelError(
            f"{path} has the predictor {content['predictor']!r}, but {name} is read with "
            f"{_PREDICTORS[name]} alone"
        )
    decoder = section(content, "decoder_conf", path)
    if decoder.get("sanm_shfit", 0) != 0:  # spelled so
        raise ModelError(f"{path} shifts the memory of its decoder (sanm_shfit): that is not read")
    names = ("num_blocks", "att_layer_num", "attention_heads", "linear_units", "kernel_size")
    part = section(content, "predictor_conf", path)
    if _number(part, "threshold", 1.0, path) != 1.0:
        raise ModelError(f"{path} has tokens whole at another weight than 1: that is not read")
    return Settings(
        front=read_front(content, path),
        encoder=read_sanm(content, path),
        decoder=DecoderSettings(*(whole(decoder, one, path) for one in names)),
        cif=CifSettings(
            before=whole(part, "l_order", path),
            after=whole(part, "r_order", path),
            factor=_number(part, "smooth_factor", 1.0, path),
            noise=_number(part, "noise_threshold", 0.0, path),
            tail=_number(part, "tail_threshold", 0.0, path),
        ),
        times=_times(part, path) if name == "BiCifParaformer" else None,
    )


def _times(part: Mapping[str, Any], path: Path) -> Times:
    kind = part.get("upsample_type", "cnn")
    if kind != "cnn_blstm":
        raise ModelError(f"{path} times tokens by {kind!r}, but only cnn_blstm is read")
    return Times(
        factor=_number(part, "smooth_factor2", 1.0, path),
        noise=_number(part, "noise_threshold2", 0.0, path),
        parts=whole(part, "upsample_times", path),
        after_conv=bool(part.get("use_cif1_cnn", True)),
    )


def _number(part: Mapping[str, Any], name: str, default: float, path: Path) -> float:
    value = part.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ModelError(f"{path} must say {name} as a number, not {value!r}: fetch it again")
    return float(value)


@dataclass(frozen=True)
class Tokens:
    """The vocabulary: characters, words, and parts of words that end in @@."""

    names: tuple[str, ...]
    source: str = "the vocabulary"

    def require(self, num_tokens: int) -> None:
        """ModelError unless the network has as many."""
        if len(self.names) != num_tokens:
            raise ModelError(
                f"{self.source} has {len(self.names)} tokens, but the network {num_tokens}: "
                f"take the {VOCABULARY} that came with the weights"
            )

    def is_text(self, token: int) -> bool:
        """Whether a token writes anything."""
        return self.names[token] not in _NO_TEXT


def read_tokens(folder: Path) -> Tokens:
    """The tokens of a folder. ModelError if there are none, or another model's."""
    path = folder / VOCABULARY
    if not path.is_file():
        raise ModelError(f"{path} is missing: fetch it")
    try:
        names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch it again") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelError(f"{path} is no list of tokens: fetch it again")
    if names[:3] != list(_NO_TEXT[:3]):
        raise ModelError(
            f"{path} is not Paraformer's vocabulary: it begins with {names[:3]} instead of "
            f"{list(_NO_TEXT[:3])}; take the one that came with the weights"
        )
    return Tokens(tuple(names), str(path))
