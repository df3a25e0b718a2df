"""From examples to a `Batch`: sound, features, prompt and answer, padding."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mooer.audio.augment import change_speed
from mooer.audio.frontend import Frontend
from mooer.batch import IGNORE, Batch
from mooer.data.sound import read_sound
from mooer.data.stages import Example
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ConfigError, ManifestError, MissingExtra
from mooer.tasks.layout import Layout, Tokenizer, lay_out
from mooer.tasks.templates import Answer, parts, write_answer

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Augment = Callable[[Floats, np.random.Generator], Floats]
OnError = Literal["raise", "skip"]

_LABELS = ("emotion", "event", "style", "age", "gender")  # as tasks are named: asr_age_gender
_MAX_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class Features:
    """What is read of one example."""

    values: Floats  # [F, M]
    num_samples: int


@dataclass(frozen=True, slots=True)
class Failure:
    """An example that could not be read, and why."""

    id: str
    reason: str


@dataclass(frozen=True)
class FeatureReader:
    """Sound, augmentation and features of examples; runs in any process.

    What is random in it depends on seed, epoch and utterance alone, so neither the number of
    workers nor a stop on the way changes a batch.
    """

    frontend: Frontend
    wave_augment: Augment | None = None
    feature_augment: Augment | None = None
    max_frames: int | None = None  # more than the model takes
    seed: int = 0

    def __call__(self, examples: Sequence[Example]) -> list[Features | Failure]:
        """One result an example, in their order; a failure is told, not raised."""
        return [self._try(example) for example in examples]

    def _try(self, example: Example) -> Features | Failure:
        try:
            return self.read(example)
        except (AudioError, ManifestError) as error:
            return Failure(example.utterance.id, str(error))

    def read(self, example: Example) -> Features:
        """Features of one example. AudioError or ManifestError if they cannot be had."""
        samples = change_speed(read_sound(example.utterance, example.data), example.speed)
        if self.wave_augment is not None:
            samples = self.wave_augment(samples, example.rng(self.seed, "wave"))
        values = self.frontend(samples)
        if self.max_frames is not None and len(values) > self.max_frames:
            raise AudioError(
                f"it has {len(values)} frames of features, but the model takes at most "
                f"{self.max_frames}: cut it, or leave it out"
            )
        if self.feature_augment is not None:
            values = self.feature_augment(values, example.rng(self.seed, "features"))
        return Features(values, len(samples))


@dataclass(frozen=True)
class Collator:
    """Examples to a batch, by the model's own words: its front end, adapter, tokenizer, template.

    Sound that cannot be read and utterances without the answer their task asks for are errors, or
    with "skip" warnings, counted in `skipped`.
    """

    read: FeatureReader
    num_embeddings: Callable[[int], int]  # of so many samples
    tokenizer: Tokenizer
    template: str
    pad_id: int
    side: Literal["right", "left"] = "right"  # of the padding of ids; left for decoding
    with_answers: bool = True
    on_error: OnError = "raise"
    skipped: Counter[str] = field(default_factory=Counter, compare=False)

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """The batch. With "skip", AudioError if nothing of it is left."""
        batch = self.join(examples, self.read(examples))
        if batch is None:
            raise AudioError(f"none of {len(examples)} utterances could be read: see the warnings")
        return batch

    def join(
        self, examples: Sequence[Example], results: Sequence[Features | Failure]
    ) -> Batch | None:
        """The batch of what was read; None if that is nothing."""
        keys: list[str] = []
        features: list[Floats] = []
        layouts: list[Layout] = []
        for example, result in zip(examples, results, strict=True):
            if isinstance(result, Failure):
                self._fail(result.id, AudioError(result.reason))
                continue
            try:
                layouts.append(self.layout(example, result.num_samples))
            except (AudioError, ManifestError) as error:
                self._fail(example.utterance.id, error)
                continue
            keys.append(example.utterance.id)
            features.append(result.values)
        return _pad(keys, features, layouts, self.pad_id, self.side) if keys else None

    def layout(self, example: Example, num_samples: int) -> Layout:
        """Ids and labels of one example."""
        utterance, task = example.utterance, example.task
        num_embeddings = self.num_embeddings(num_samples)
        if num_embeddings < 1:
            raise AudioError(f"{num_samples} samples are too few for one embedding: leave it out")
        parts(self.template, task, num_embeddings)  # an unknown task is no matter of one utterance
        answer = answer_text(self.template, task, utterance) if self.with_answers else None
        return lay_out(
            parts(self.template, task, num_embeddings, answer, utterance.prompt), self.tokenizer
        )

    def _fail(self, id: str, error: AudioError | ManifestError) -> None:
        if self.on_error == "raise":
            raise type(error)(f"{id}: {error}") from error
        self.skipped[str(error)] += 1
        if self.skipped.total() <= _MAX_WARNINGS:
            logger.warning("skipped %s: %s", id, error)


def answer_text(template: str, task: str, utterance: Utterance) -> str:
    """What a model is to say of an utterance; ManifestError if the manifest does not tell it."""
    names = [name for name in _LABELS if name in task.split("_")]
    labels = []
    for name in names:
        label = getattr(utterance, name, None) or utterance.extra.get(name)
        if not isinstance(label, str):
            raise ManifestError(f"task {task} needs {name} as a word, got {label!r}")
        labels.append(label)
    answer = Answer(utterance.text, utterance.translation, utterance.answer, tuple(labels))
    try:
        return write_answer(template, task, answer)
    except ConfigError as error:
        raise ManifestError(str(error)) from error


def _pad(
    keys: Sequence[str],
    features: Sequence[Floats],
    layouts: Sequence[Layout],
    pad_id: int,
    side: Literal["right", "left"],
) -> Batch:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    lengths = [len(values) for values in features]
    padded = np.zeros((len(features), max(lengths), features[0].shape[1]), np.float32)
    for row, values in zip(padded, features, strict=True):
        row[: len(values)] = values
    shape = (len(layouts), max(len(layout.ids) for layout in layouts))
    ids = np.full(shape, pad_id, np.int64)
    labels = np.full(shape, IGNORE, np.int64)
    mask = np.zeros(shape, np.bool_)
    for i, layout in enumerate(layouts):
        num = len(layout.ids)
        place = slice(0, num) if side == "right" else slice(shape[1] - num, shape[1])
        ids[i, place], labels[i, place], mask[i, place] = layout.ids, layout.labels, True

    def tensor(values: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(values)

    return Batch(
        tuple(keys),
        tensor(padded),
        torch.tensor(lengths, dtype=torch.int64),
        tensor(ids),
        tensor(labels),
        tensor(mask),
    )
