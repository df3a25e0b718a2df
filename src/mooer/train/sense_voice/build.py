"""From a recipe of `kind: sense_voice` to what it names: the network, batches, validation sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooer.batch import IGNORE, Batch
from mooer.data.collate import Collator
from mooer.data.lines import Lines
from mooer.data.loading import Loader
from mooer.data.stages import Example
from mooer.data.supervision import Utterance, read_manifest
from mooer.errors import ManifestError
from mooer.models.funasr_folder import read_frontend
from mooer.models.sense_voice import SenseVoice, load
from mooer.models.sense_voice_folder import read_settings, vocabulary_file
from mooer.models.sense_voice_labels import (
    EMOTION_QUERY,
    EMOTIONS,
    EVENT_QUERY,
    EVENTS,
    LANGUAGE_QUERIES,
    LANGUAGES,
    STYLE_QUERIES,
    Vocabulary,
    read_vocabulary,
)
from mooer.store import located
from mooer.tasks.layout import Layout
from mooer.train.build import batches_for, portions_for, reader_for
from mooer.train.feed import Stream
from mooer.train.recipe import ValidationSet
from mooer.train.run import Parts
from mooer.train.sense_voice.losses import SenseVoiceGoal
from mooer.train.sense_voice.recipe import SenseVoiceRecipe
from mooer.train.sense_voice.validate import validate
from mooer.train.validate import ScoredSet

_ITN = "with_itn"  # the key that tells whether the text has punctuation and figures
_OTHER_WORDS = {"crying": "cry", "sneezing": "sneeze", "disgust": "disgusted"}  # of manifests


def build(recipe: SenseVoiceRecipe) -> Parts:
    """Load and open everything. The lists are read first: a mistake in them is told at once."""
    sources = [Lines(source.manifest) for source in recipe.data.train]
    sets = [(one, read_manifest(one.manifest)[: one.limit]) for one in recipe.validation.sets]
    model = network(recipe)
    folder = located(recipe.model.folder)
    vocabulary = read_vocabulary(vocabulary_file(folder))
    vocabulary.require(model.num_classes)
    learned, asked = (_collator(recipe, folder, vocabulary, augment=one) for one in (True, False))

    def load_batches(stream: Stream[Any]) -> Iterator[tuple[Batch, Any]]:
        data = recipe.data
        return Loader(stream, learned, num_workers=data.num_workers, kind=data.workers)

    return Parts(
        model,
        None,
        model.encoder.width,
        batches_for(recipe.data, recipe.seed, sources, learned.read.frontend).stream,
        load_batches,
        tuple(_scored(recipe, asked, one, utterances) for one, utterances in sets),
        goal=lambda: SenseVoiceGoal(model, vocabulary, recipe.model),
        score_set=validate,
    )


def network(recipe: SenseVoiceRecipe) -> SenseVoice:
    """The network that a run begins with."""
    return load(located(recipe.model.folder), dropout=recipe.model.dropout)


@dataclass(frozen=True)
class LabelCollator(Collator):
    """Examples to a batch whose `ids` are query frames and whose `labels` are the four labels."""

    classes: Mapping[str, int] | None = None  # of labels, by the network's names

    def layout(self, example: Example, *num_samples: int) -> Layout:
        """Query frames and labels; ManifestError for a label that SenseVoice does not have."""
        assert self.classes is not None
        names = labels_of(example.utterance)
        language, _, _, style = names
        rows = (
            LANGUAGE_QUERIES.get(language or "auto", LANGUAGE_QUERIES["auto"]),
            EVENT_QUERY,
            EMOTION_QUERY,
            STYLE_QUERIES[style or "woitn"],
        )
        labels = [IGNORE if name is None else self.classes[name] for name in names]
        return Layout(rows, tuple(labels))


def labels_of(utterance: Utterance) -> tuple[str | None, str | None, str | None, str | None]:
    """Language, emotion, event and style by the network's names; None: not known.

    A recording with text and without an event is speech. ManifestError for another label than
    those of SenseVoice.
    """
    event = utterance.event or ("speech" if utterance.text else None)
    text = utterance.text or ""
    itn = utterance.extra.get(_ITN)
    if not isinstance(itn, bool):
        itn = any(not (c.isalpha() or c.isspace() or c == "'") for c in text)
    return (
        _named("language", utterance.language, {name: name for name in LANGUAGES}),
        _named("emotion", utterance.emotion, {ours: name for name, ours in EMOTIONS.items()}),
        _named("event", event, {ours: name for name, ours in EVENTS.items()}),
        None if not text else "withitn" if itn else "woitn",
    )


def _named(kind: str, label: str | None, names: Mapping[str, str]) -> str | None:
    if label is None:
        return None
    label = _OTHER_WORDS.get(label, label)
    if label not in names:
        raise ManifestError(
            f"its {kind} {label!r} is none that SenseVoice knows: {', '.join(names)}"
        )
    return names[label]


def _collator(
    recipe: SenseVoiceRecipe, folder: Path, vocabulary: Vocabulary, *, augment: bool
) -> LabelCollator:
    frontend = read_frontend(folder, read_settings(folder).front)
    return LabelCollator(
        reader_for(recipe.data, recipe.seed, frontend, augment=augment),
        num_embeddings=frontend.num_features,
        tokenizer=vocabulary,
        template="",
        pad_id=0,
        on_error=recipe.data.on_error if augment else "raise",
        classes=vocabulary.labels,
    )


def _scored(
    recipe: SenseVoiceRecipe,
    collate: LabelCollator,
    one: ValidationSet,
    utterances: list[Utterance],
) -> ScoredSet:
    portions = portions_for(
        recipe.data, collate.read.frontend, one, utterances, learned=collate, asked=collate
    )
    language = one.language or utterances[0].language
    return ScoredSet(one.name, one.metric, language, portions, one.decode, str.strip)
