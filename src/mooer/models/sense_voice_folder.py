"""The folder that SenseVoiceSmall was released as, read without torch.

model.pt  config.yaml  am.mvn  chn_jpn_yue_eng_ko_spectok.bpe.model  (tokens.json: not needed)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mooer.audio.features import load_cmvn
from mooer.audio.frontend import KaldiLfr
from mooer.errors import ModelError

WEIGHTS = "model.pt"
ONNX = "model.onnx"  # in place of the weights, for onnxruntime
CONFIG = "config.yaml"
CMVN = "am.mvn"
VOCABULARY = "chn_jpn_yue_eng_ko_spectok.bpe.model"
_NAME = "SenseVoiceSmall"


@dataclass(frozen=True)
class Settings:
    """What config.yaml says of the front end and the encoder."""

    num_mels: int
    num_stack: int  # frames side by side in one feature frame
    stride: int  # frames of 10 ms from one feature frame to the next
    width: int
    num_heads: int
    ffn_width: int
    num_blocks: int
    num_tp_blocks: int
    kernel: int


def holds_sense_voice(folder: Path) -> bool:
    """Whether a folder looks like SenseVoiceSmall: weights, and a config.yaml that names it."""
    if not (folder / WEIGHTS).is_file() and not (folder / ONNX).is_file():
        return False
    if not (folder / CONFIG).is_file():
        return False
    try:
        return _yaml(folder / CONFIG).get("model") == _NAME
    except ModelError:
        return False


def read_settings(folder: Path) -> Settings:
    """The settings in config.yaml. ModelError if it is not SenseVoiceSmall's, or asks for more."""
    path = folder / CONFIG
    content = _yaml(path)
    if content.get("model") != _NAME:
        raise ModelError(f"{path} is of {content.get('model')!r}, not of {_NAME}")
    encoder, front = _section(content, "encoder_conf", path), _front(content, path)
    if encoder.get("sanm_shfit", 0) != 0:  # spelled so
        raise ModelError(f"{path} shifts the memory of its encoder (sanm_shfit): that is not read")
    return Settings(
        num_mels=_whole(front, "n_mels", path),
        num_stack=_whole(front, "lfr_m", path),
        stride=_whole(front, "lfr_n", path),
        width=_whole(encoder, "output_size", path),
        num_heads=_whole(encoder, "attention_heads", path),
        ffn_width=_whole(encoder, "linear_units", path),
        num_blocks=_whole(encoder, "num_blocks", path),
        num_tp_blocks=_whole(encoder, "tp_blocks", path),
        kernel=_whole(encoder, "kernel_size", path),
    )


def read_frontend(folder: Path, settings: Settings) -> KaldiLfr:
    """From samples to the features of the network. ModelError without a fitting am.mvn.

    config.yaml names no am.mvn, but the network was trained on features that it normalises.
    """
    if not (folder / CMVN).is_file():
        raise ModelError(f"{folder / CMVN} is missing, without which no word is right: fetch it")
    return KaldiLfr(
        load_cmvn(folder / CMVN),
        num_mels=settings.num_mels,
        num_stack=settings.num_stack,
        stride=settings.stride,
    )


def vocabulary_file(folder: Path) -> Path:
    """The .bpe.model of a folder. ModelError if there is none, or not one alone."""
    if (folder / VOCABULARY).is_file():
        return folder / VOCABULARY
    found = sorted(folder.glob("*.bpe.model"))
    if len(found) != 1:
        raise ModelError(f"{folder / VOCABULARY} is missing: fetch it")
    return found[0]


def _yaml(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} cannot be read ({reason}): fetch it again") from None
    return content if isinstance(content, dict) else {}


def _section(content: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    section = content.get(name)
    if not isinstance(section, dict):
        raise ModelError(f"{path} has no section {name}: fetch it again")
    return section


def _front(content: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    front = _section(content, "frontend_conf", path)
    rate_hz, window = front.get("fs", 16_000), front.get("window", "hamming")
    if rate_hz != 16_000 or window != "hamming":
        raise ModelError(
            f"{path} wants sound of {rate_hz} Hz under a {window} window, but only 16000 Hz under "
            f"a hamming window is read"
        )
    return front


def _whole(section: Mapping[str, Any], name: str, path: Path) -> int:
    value = section.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"{path} must say {name} as a whole number, not {value!r}: fetch it again")
    return value
