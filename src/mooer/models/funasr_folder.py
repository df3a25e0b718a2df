"""A folder of weights as the FunASR project lays it out, read without torch.

model.pt  config.yaml  am.mvn, and the vocabulary, each model its own; in place of model.pt, for
onnxruntime, model.onnx (float32) or model_quant.onnx (int8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from mooer.audio.features import load_cmvn
from mooer.audio.frontend import KaldiLfr
from mooer.errors import ConfigError, ModelError

WEIGHTS = "model.pt"
ONNX = "model.onnx"
QUANTISED = "model_quant.onnx"
CONFIG = "config.yaml"
CMVN = "am.mvn"

Precision = Literal["auto", "float32", "int8"]


@dataclass(frozen=True)
class FrontSettings:
    """What config.yaml says of the front end."""

    num_mels: int
    num_stack: int  # frames side by side in one feature frame
    stride: int  # frames of 10 ms from one feature frame to the next


@dataclass(frozen=True)
class SanmSettings:
    """What config.yaml says of a SAN-M encoder."""

    width: int
    num_heads: int
    ffn_width: int
    num_blocks: int
    kernel: int


def holds(folder: Path, names: tuple[str, ...]) -> bool:
    """Whether a folder looks like one of these models: weights, and a config.yaml that names it."""
    files = (WEIGHTS, ONNX, QUANTISED)
    if not (folder / CONFIG).is_file() or not any((folder / name).is_file() for name in files):
        return False
    try:
        return read_config(folder / CONFIG).get("model") in names
    except ModelError:
        return False


def network_file(folder: Path, precision: Precision = "auto") -> Path | None:
    """The file for onnxruntime, int8 before float32; None without one.

    ConfigError if there is none of the precision that is asked for.
    """
    names = {"int8": QUANTISED, "float32": ONNX}
    for name in names.values() if precision == "auto" else (names[precision],):
        if (folder / name).is_file():
            return folder / name
    if precision != "auto":
        raise ConfigError(
            f"{folder} holds no {names[precision]}, the network in {precision}: write it by "
            f"`mooer models export {folder} --to onnx --precision {precision} --out DIR`"
        )
    return None


def read_config(path: Path) -> Mapping[str, Any]:
    """The mapping in a config.yaml. ModelError if it is no YAML."""
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{path} cannot be read ({reason}): fetch it again") from None
    return content if isinstance(content, dict) else {}


def section(content: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    """A section of it. ModelError if it is not there."""
    found = content.get(name)
    if not isinstance(found, dict):
        raise ModelError(f"{path} has no section {name}: fetch it again")
    return found


def whole(part: Mapping[str, Any], name: str, path: Path) -> int:
    """A number of a section. ModelError if it is not whole, or below 0."""
    value = part.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ModelError(f"{path} must say {name} as a whole number, not {value!r}: fetch it again")
    return value


def read_front(content: Mapping[str, Any], path: Path) -> FrontSettings:
    """The front end. ModelError if it is of another kind than ours."""
    front = section(content, "frontend_conf", path)
    rate_hz, window = front.get("fs", 16_000), front.get("window", "hamming")
    if rate_hz != 16_000 or window != "hamming":
        raise ModelError(
            f"{path} wants sound of {rate_hz} Hz under a {window} window, but only 16000 Hz under "
            f"a hamming window is read"
        )
    return FrontSettings(*(whole(front, name, path) for name in ("n_mels", "lfr_m", "lfr_n")))


def read_sanm(content: Mapping[str, Any], path: Path) -> SanmSettings:
    """The encoder. ModelError if its memory is shifted."""
    encoder = section(content, "encoder_conf", path)
    if encoder.get("sanm_shfit", 0) != 0:  # spelled so
        raise ModelError(f"{path} shifts the memory of its encoder (sanm_shfit): that is not read")
    names = ("output_size", "attention_heads", "linear_units", "num_blocks", "kernel_size")
    return SanmSettings(*(whole(encoder, name, path) for name in names))


def read_frontend(folder: Path, front: FrontSettings) -> KaldiLfr:
    """From samples to the features of the network. ModelError without a fitting am.mvn.

    config.yaml names no am.mvn, but the networks were trained on features that it normalises.
    """
    if not (folder / CMVN).is_file():
        raise ModelError(f"{folder / CMVN} is missing, without which no word is right: fetch it")
    return KaldiLfr(
        load_cmvn(folder / CMVN),
        num_mels=front.num_mels,
        num_stack=front.num_stack,
        stride=front.stride,
    )
