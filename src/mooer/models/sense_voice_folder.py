"""The folder that SenseVoiceSmall was released as, read without torch.

model.pt  config.yaml  am.mvn  chn_jpn_yue_eng_ko_spectok.bpe.model  (tokens.json: not needed)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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

VOCABULARY = "chn_jpn_yue_eng_ko_spectok.bpe.model"
_NAME = "SenseVoiceSmall"


@dataclass(frozen=True)
class Settings:
    """What config.yaml says of the front end and the encoder."""

    front: FrontSettings
    encoder: SanmSettings
    num_tp_blocks: int


def holds_sense_voice(folder: Path) -> bool:
    """Whether a folder looks like SenseVoiceSmall: weights, and a config.yaml that names it."""
    return holds(folder, (_NAME,))


def read_settings(folder: Path) -> Settings:
    """The settings in config.yaml. ModelError if it is not SenseVoiceSmall's, or asks for more."""
    path = folder / CONFIG
    content = read_config(path)
    if content.get("model") != _NAME:
        raise ModelError(f"{path} is of {content.get('model')!r}, not of {_NAME}")
    return Settings(
        front=read_front(content, path),
        encoder=read_sanm(content, path),
        num_tp_blocks=whole(section(content, "encoder_conf", path), "tp_blocks", path),
    )


def vocabulary_file(folder: Path) -> Path:
    """The .bpe.model of a folder. ModelError if there is none, or not one alone."""
    if (folder / VOCABULARY).is_file():
        return folder / VOCABULARY
    found = sorted(folder.glob("*.bpe.model"))
    if len(found) != 1:
        raise ModelError(f"{folder / VOCABULARY} is missing: fetch it")
    return found[0]
