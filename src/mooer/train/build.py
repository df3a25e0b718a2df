"""From a recipe to what it names: the network, the stream of batches, the validation sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from mooer.audio.frontend import Frontend
from mooer.audio.wave import read_wave
from mooer.batch import Batch
from mooer.data.batching import SAMPLE_RATE_HZ, Batches, cut
from mooer.data.collate import Collator, FeatureReader
from mooer.data.lines import Lines
from mooer.data.loading import Loader
from mooer.data.stages import Example, Keep, Mix, Rows, Speeds, Stage
from mooer.data.supervision import Utterance, read_manifest
from mooer.errors import ManifestError
from mooer.models import load as models
from mooer.models.ctc import units_of
from mooer.models.llm import add_lora, has_lora
from mooer.models.speech_llm import SpeechLLM
from mooer.tasks.templates import read_answer
from mooer.train.feed import Stream
from mooer.train.recipe import DataPart, Recipe, ValidationSet
from mooer.train.run import Parts
from mooer.train.tones import make
from mooer.train.validate import Portion, ScoredSet


def build(recipe: Recipe) -> Parts:
    """Load and open everything. The lists are read first: a mistake in them is told at once."""
    recipe.check_files()
    if recipe.data.tones is not None:
        make(recipe.data.tones, recipe.model.template)
    sources = [Lines(source.manifest) for source in recipe.data.train]
    sets = [(one, read_manifest(one.manifest)[: one.limit]) for one in recipe.validation.sets]
    model = network(recipe, sources)
    batches = batches_for(recipe.data, recipe.seed, sources, model.encoder.frontend)
    collator = _collator(recipe, model, augment=True)

    def load(stream: Stream[Any]) -> Iterator[tuple[Batch, Any]]:
        data = recipe.data
        return Loader(stream, collator, num_workers=data.num_workers, kind=data.workers)

    return Parts(
        model,
        model.tokenizer,
        model.encoder.width,
        batches.stream,
        load,
        tuple(_scored(recipe, model, one, utterances) for one, utterances in sets),
    )


def network(recipe: Recipe, sources: Sequence[Lines] | None = None) -> SpeechLLM:
    """The model that a run begins with; the units of its CTC head are those of the texts.

    One that is gone on from is given LoRA, if the recipe has it and it has none.
    """
    model = models.load(recipe.start) if recipe.start else models.build(recipe.model)
    lora = recipe.model.llm.lora
    if lora is not None and not has_lora(model.llm):
        model.llm = add_lora(model.llm, lora)
        if model.config is not None:
            model.config = replace(model.config, llm=replace(model.config.llm, lora=lora))
    if recipe.model.ctc is not None:
        sources = sources or [Lines(source.manifest) for source in recipe.data.train]
        texts = (lines[i].text or "" for lines in sources for i in range(len(lines)))
        known = model.ctc.ids.tolist() if model.ctc is not None else []
        if model.config is not None:
            model.config = replace(model.config, ctc=recipe.model.ctc)
        model.set_units(sorted({*known, *units_of(texts, model.tokenizer)}))
    return model


def batches_for(data: DataPart, seed: int, sources: Sequence[Lines], frontend: Frontend) -> Batches:
    """The stream of batches that a recipe's data make, sound not yet read."""
    rows: list[Stage[Example]] = [
        Rows(lines, source.task, seed) for lines, source in zip(sources, data.train, strict=True)
    ]
    stage: Stage[Example] = rows[0]
    if len(rows) > 1:
        stage = Mix(tuple(rows), tuple(source.weight for source in data.train), seed)
    if data.augment.speeds != (1.0,):
        stage = Speeds(stage, data.augment.speeds, seed)
    return Batches(Keep(stage, data.limits), frontend.num_features, data.budget, data.pool, seed)


def reader_for(
    data: DataPart,
    seed: int,
    frontend: Frontend,
    *,
    augment: bool,
    stored_width: int | None = None,
) -> FeatureReader:
    """What reads sound and makes features of it, changed as the recipe says if it is to be."""
    wave = data.augment.wave
    if augment and wave is not None and data.augment.noises:
        wave = replace(wave, noises=tuple(read_wave(path) for path in data.augment.noises))
    return FeatureReader(
        frontend,
        wave_augment=wave if augment else None,
        feature_augment=data.augment.spec if augment else None,
        stored_width=stored_width,
        seed=seed,
    )


def _collator(
    recipe: Recipe,
    model: SpeechLLM,
    *,
    augment: bool = False,
    side: Literal["right", "left"] = "right",
) -> Collator:
    encoder = model.encoder
    reader = reader_for(
        recipe.data,
        recipe.seed,
        encoder.frontend,
        augment=augment,
        stored_width=encoder.stored_width,
    )
    pad = model.tokenizer.pad_token_id
    return Collator(
        reader,
        model.num_embeddings,
        model.tokenizer,
        model.template,
        model.tokenizer.eos_token_id if pad is None else pad,
        side=side,
        with_answers=side == "right",
        on_error=recipe.data.on_error if augment else "raise",
    )


def _scored(
    recipe: Recipe, model: SpeechLLM, one: ValidationSet, utterances: list[Utterance]
) -> ScoredSet:
    """A set in portions of like length; what is compared is the transcript, for BLEU the other."""
    learned, asked = (_collator(recipe, model, side=side) for side in ("right", "left"))
    portions = portions_for(
        recipe.data, model.encoder.frontend, one, utterances, learned=learned, asked=asked
    )

    def read(text: str) -> str:
        answer = read_answer(model.template, one.task, text)
        return (answer.translation if one.metric == "bleu" else answer.transcript) or ""

    language = one.language or ("en" if one.metric == "bleu" else utterances[0].language)
    by_ctc = one.by == "ctc"
    read_text = str.strip if by_ctc else read
    return ScoredSet(one.name, one.metric, language, portions, one.decode, read_text, by_ctc=by_ctc)


def portions_for(
    data: DataPart,
    frontend: Frontend,
    one: ValidationSet,
    utterances: Sequence[Utterance],
    *,
    learned: Callable[[list[Example]], Any],
    asked: Callable[[list[Example]], Any],
) -> tuple[Portion, ...]:
    """A validation set in portions of like length, which `learned` and `asked` make batches of.

    ManifestError if an utterance lacks what the metric compares.
    """
    examples = [Example(utterance, one.task) for utterance in utterances]
    frames = [frontend.num_features(round(e.duration_s * SAMPLE_RATE_HZ)) for e in examples]
    portions = []
    for group in cut(frames, data.budget):
        chosen = [examples[i] for i in group]
        references = (
            ()
            if one.metric == "labels"
            else tuple(_reference(one, example.utterance) for example in chosen)
        )
        portions.append(Portion(partial(learned, chosen), partial(asked, chosen), references))
    return tuple(portions)


def _reference(one: ValidationSet, utterance: Utterance) -> str:
    text = utterance.translation if one.metric == "bleu" else utterance.text
    if text is None:
        wanted = "translation" if one.metric == "bleu" else "text"
        raise ManifestError(
            f"{utterance.id} of {one.manifest} has no {wanted}, which {one.metric} compares: add it"
        )
    return text
