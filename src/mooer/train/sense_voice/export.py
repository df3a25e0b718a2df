"""The models of a run, in folders laid out as SenseVoiceSmall was released."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from mooer.models.funasr_folder import CMVN, CONFIG, WEIGHTS
from mooer.models.funasr_weights import read_weights
from mooer.models.sense_voice_folder import vocabulary_file
from mooer.store import located
from mooer.train.products import aside, products
from mooer.train.sense_voice.recipe import SenseVoiceRecipe


def export(recipe: SenseVoiceRecipe, out: Path) -> list[Path]:
    """Write the models of the checkpoints in `out`: last, best, average; returns their folders."""
    wanted = products(out, recipe.checkpoints.average)
    return [_write(recipe, out / name, tensors) for name, tensors in wanted.items()]


def _write(recipe: SenseVoiceRecipe, target: Path, tensors: dict[str, Tensor]) -> Path:
    """The folder that the run began with, with what was trained in place, written aside."""
    begun = located(recipe.model.folder)
    whole = {name: tensor.clone() for name, tensor in read_weights(begun / WEIGHTS).items()}
    with aside(target) as partial:
        torch.save({**whole, **tensors}, partial / WEIGHTS)
        for path in (begun / CONFIG, begun / CMVN, vocabulary_file(begun)):
            shutil.copyfile(path, partial / path.name)
    return target
