"""The models of a run, in folders laid out as SenseVoiceSmall was released."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import Tensor

from mooer.errors import OutputError
from mooer.models.funasr_folder import CMVN, CONFIG, WEIGHTS
from mooer.models.funasr_weights import read_weights
from mooer.models.sense_voice_folder import vocabulary_file
from mooer.store import located
from mooer.train import checkpoint
from mooer.train.run import best_steps
from mooer.train.sense_voice.recipe import SenseVoiceRecipe


def export(recipe: SenseVoiceRecipe, out: Path) -> list[Path]:
    """Write the models of the checkpoints in `out`: last, best, average; returns their folders."""
    folder = out / "checkpoints"
    last = checkpoint.newest(folder)
    if last is None:
        raise OutputError(f"{out} holds no whole checkpoint: train first")
    progress = checkpoint.read_progress(last)
    wanted = {"last": checkpoint.read_tensors(last / "trained.safetensors")}
    paths = {checkpoint.step_of(path): path for path in checkpoint.all_in(folder)}
    ranked = [paths[step] for step in best_steps(progress, len(progress.scores)) if step in paths]
    if ranked:
        wanted["best"] = checkpoint.read_tensors(ranked[0] / "trained.safetensors")
    if len(some := ranked[: recipe.checkpoints.average]) > 1:
        wanted["average"] = checkpoint.average(some)
    return [_write(recipe, out / name, tensors) for name, tensors in wanted.items()]


def _write(recipe: SenseVoiceRecipe, target: Path, tensors: dict[str, Tensor]) -> Path:
    """The folder that the run began with, with what was trained in place, written aside."""
    begun = located(recipe.model.folder)
    whole = {name: tensor.clone() for name, tensor in read_weights(begun / WEIGHTS).items()}
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        torch.save({**whole, **tensors}, partial / WEIGHTS)
        for path in (begun / CONFIG, begun / CMVN, vocabulary_file(begun)):
            shutil.copyfile(path, partial / path.name)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return target
