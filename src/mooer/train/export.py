"""The models of a run, in folders that `models.load` reads: last, best, average, merged."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from torch import Tensor

from mooer.models import load as models
from mooer.models.llm import merge_lora
from mooer.models.speech_llm import SpeechLLM
from mooer.train import state
from mooer.train.build import network
from mooer.train.parameters import freeze, names_of, select
from mooer.train.products import aside, products
from mooer.train.recipe import Recipe


def export(recipe: Recipe, out: Path) -> list[Path]:
    """Write the models of the checkpoints in `out`; returns their folders."""
    wanted = products(out, recipe.checkpoints.average)
    return [_write(recipe, out / name, tensors) for name, tensors in wanted.items()] + _merged(
        recipe, out, wanted
    )


def _merged(recipe: Recipe, out: Path, wanted: dict[str, dict[str, Tensor]]) -> list[Path]:
    if not recipe.checkpoints.merge_lora:
        return []
    tensors = wanted.get("average") or wanted.get("best") or wanted["last"]
    return [_write(recipe, out / "merged", tensors, merge=True)]


def _write(
    recipe: Recipe, target: Path, tensors: dict[str, Tensor], *, merge: bool = False
) -> Path:
    """A model with these weights, written aside and renamed."""
    model = network(recipe)
    _fill(recipe, model, tensors)
    if merge:
        model.llm = merge_lora(model.llm)
        model.owns_llm = True
    with aside(target) as partial:
        models.save(model, partial, with_encoder=_of_encoder(model, tensors))
    return target


def _of_encoder(model: SpeechLLM, tensors: dict[str, Tensor]) -> bool | Literal["changed"]:
    """All of the encoder if all of it learned, else what changed since it was released.

    That may have been before this run, in the model that it went on from.
    """
    if model.config is None or model.config.encoder.weights is None:
        return True
    # positions of Whisper are never learned
    names = {f"encoder.{name}" for name, _ in model.encoder.named_parameters()}
    frozen = names - set(tensors) - {"encoder.embed_positions.weight"}
    return "changed" if frozen else True


def _fill(recipe: Recipe, model: SpeechLLM, tensors: dict[str, Tensor]) -> None:
    """Weights into a model; what was trained is marked, so that all of it is saved."""
    trained_only = model.ctc is None  # a head over bytes is no part of the model
    patterns = [
        p
        for stage in recipe.stages
        for p in stage.train
        if not (trained_only and p.startswith("ctc"))
    ]
    freeze(model, select(names_of(model), patterns))
    heads = {name for name in tensors if name.startswith("ctc.") and trained_only}
    state.load_parameters(model, {n: t for n, t in tensors.items() if n not in heads})
