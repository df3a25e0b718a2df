"""From a recipe of `kind: rich` to what it names: encoder and heads, batches, validation sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from mooer.data.labelled import LabelCollator
from mooer.data.lines import Lines
from mooer.data.loading import Loader
from mooer.data.supervision import Utterance, read_manifest
from mooer.models.encoders.whisper import WhisperEncoder, whisper_config
from mooer.models.rich import RichModel
from mooer.models.tensors import fill, read_tensors
from mooer.store import located
from mooer.tasks.rich import RichConfig
from mooer.text.units import Units, read_units
from mooer.train.build import batches_for, portions_for, reader_for
from mooer.train.feed import Stream
from mooer.train.recipe import ValidationSet
from mooer.train.rich.losses import RichGoal
from mooer.train.rich.recipe import RichRecipe
from mooer.train.rich.validate import validate
from mooer.train.run import Parts
from mooer.train.validate import ScoredSet

HEADS = "heads.safetensors"  # of a run, in float32; see `export`


def build(recipe: RichRecipe) -> Parts:
    """Load and open everything. The lists are read first: a mistake in them is told at once."""
    sources = [Lines(source.manifest) for source in recipe.data.train]
    sets = [(one, read_manifest(one.manifest)[: one.limit]) for one in recipe.validation.sets]
    model = network(recipe)
    learned, asked = (_collator(recipe, model, augment=augment) for augment in (True, False))

    def load(stream: Stream[Any]) -> Iterator[tuple[Any, Any]]:
        data = recipe.data
        return Loader(stream, learned, num_workers=data.num_workers, kind=data.workers)

    return Parts(
        model,
        None,
        model.encoder.width,
        batches_for(recipe.data, recipe.seed, sources, model.encoder.frontend).stream,
        load,
        tuple(_scored(recipe, model, asked, one, utterances) for one, utterances in sets),
        goal=lambda: RichGoal(model),
        score_set=validate,
    )


def network(recipe: RichRecipe) -> RichModel:
    """The model that a run begins with."""
    config = recipe.model
    units = None if config.speller is None else read_units(config.speller.units)
    model = RichModel(config, frozen_encoder(config), units)
    if recipe.start is not None:
        path = located(recipe.start) / HEADS
        for name, part in heads_of(model).items():
            tensors = read_tensors(path)
            own = {n.partition(".")[2]: t for n, t in tensors.items() if n.startswith(f"{name}.")}
            fill(part, own, path, name)
    return model


def heads_of(model: RichModel) -> dict[str, torch.nn.Module]:
    """What learns, by name."""
    parts = {"speller": model.speller, "labeller": model.labeller}
    return {name: part for name, part in parts.items() if part is not None}


def frozen_encoder(config: RichConfig) -> WhisperEncoder:
    """The first layers of a released Whisper encoder, and its last norm."""
    path = located(config.encoder)
    sizes = whisper_config(path)
    encoder = WhisperEncoder(replace(sizes, num_layers=config.layers, stored_layers=config.layers))
    above = tuple(f"layers.{i}." for i in range(config.layers, sizes.num_layers))
    tensors = encoder_tensors(encoder, path)
    fill(encoder, {n: t for n, t in tensors.items() if not n.startswith(above)}, path, "encoder")
    encoder.requires_grad_(False)
    return encoder.eval()


def encoder_tensors(encoder: WhisperEncoder, path: Any) -> dict[str, Any]:
    """All tensors of the released encoder."""
    return encoder.released(path)


def _collator(recipe: RichRecipe, model: RichModel, *, augment: bool) -> LabelCollator:
    encoder, labeller = model.encoder, recipe.model.labeller
    reader = reader_for(
        recipe.data,
        recipe.seed,
        encoder.frontend,
        augment=augment,
        stored_width=encoder.stored_width,
    )
    units: Units | None = model.units
    return LabelCollator(
        reader,
        encoder.num_frames,
        encoder.frame_ms / 1000,
        units,
        labeller.classes if labeller else {},
        labeller.events if labeller else (),
        recipe.data.on_error if augment else "raise",
    )


def _scored(
    recipe: RichRecipe,
    model: RichModel,
    asked: LabelCollator,
    one: ValidationSet,
    utterances: list[Utterance],
) -> ScoredSet:
    portions = portions_for(
        recipe.data, model.encoder.frontend, one, utterances, learned=asked, asked=asked
    )
    language = one.language or utterances[0].language
    return ScoredSet(one.name, one.metric, language, portions, one.decode, str.strip)
