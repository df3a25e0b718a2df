"""From examples to a `Batch`: sound, features, prompt and answer, padding."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from mooer.audio.augment import change_speed
from mooer.audio.frontend import Frontend
from mooer.batch import IGNORE, Batch
from mooer.data.sound import read_sound, recordings
from mooer.data.stages import Example
from mooer.data.stored import STORED, read_stored
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ConfigError, ManifestError, MissingExtra
from mooer.tasks.conversation import CHAT, conversation
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
    """What is read of one recording."""

    values: Floats  # [F, M]
    num_samples: int


Heard = tuple[Features, ...]  # of an example: its recording, or several of a conversation


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
    stored_width: int | None = None  # of the hidden frames that it takes instead of sound
    seed: int = 0

    def __call__(self, examples: Sequence[Example]) -> list[Heard | Failure]:
        """One result an example, in their order; a failure is told, not raised."""
        return [self._try(example) for example in examples]

    def _try(self, example: Example) -> Heard | Failure:
        try:
            places = range(1 + len(example.utterance.more_audio or ()))
            return tuple(self.read(example, place) for place in places)
        except (AudioError, ManifestError) as error:
            return Failure(example.utterance.id, str(error))

    def read(self, example: Example, place: int = 0) -> Features:
        """Features of one of its recordings. AudioError or ManifestError if they cannot be had."""
        recording = recordings(example.utterance)[place]
        if STORED in recording.extra:
            return self._stored(example)
        data = example.data if place == 0 else None
        samples = change_speed(read_sound(recording, data), example.speed)
        number = str(place or "")  # what is random differs from recording to recording
        if self.wave_augment is not None:
            samples = self.wave_augment(samples, example.rng(self.seed, "wave" + number))
        values = self.frontend(samples)
        if self.max_frames is not None and len(values) > self.max_frames:
            raise AudioError(
                f"it has {len(values)} frames of features, but the model takes at most "
                f"{self.max_frames}: cut it, or leave it out"
            )
        if self.feature_augment is not None:
            values = self.feature_augment(values, example.rng(self.seed, "features" + number))
        return Features(values, len(samples))

    def _stored(self, example: Example) -> Features:
        if example.speed != 1.0 or self.wave_augment is not None:
            raise ManifestError(
                "its features are stored, which sound cannot be changed behind: leave "
                "augment.speeds and augment.wave out, and let `mooer data encode` do it"
            )
        values, num_samples = read_stored(example.utterance)
        if values.shape[1] != self.stored_width:
            raise ManifestError(
                f"its stored features are {values.shape[1]} wide, but the encoder takes "
                f"{self.stored_width or 'none (set its stored_layers)'}"
            )
        if self.feature_augment is not None:
            values = self.feature_augment(values, example.rng(self.seed, "features"))
        return Features(values, num_samples)


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

    def join(self, examples: Sequence[Example], results: Sequence[Heard | Failure]) -> Batch | None:
        """The batch of what was read; None if that is nothing."""
        keys: list[str] = []
        features: list[list[Floats]] = []
        layouts: list[Layout] = []
        said: list[str | None] = []
        for example, result in zip(examples, results, strict=True):
            if isinstance(result, Failure):
                self._fail(result.id, AudioError(result.reason))
                continue
            try:
                layouts.append(self.layout(example, *(one.num_samples for one in result)))
            except (AudioError, ManifestError) as error:
                self._fail(example.utterance.id, error)
                continue
            keys.append(example.utterance.id)
            features.append([one.values for one in result])
            alone = len(result) == 1  # in a conversation it is not known who says what
            said += [example.utterance.text if alone else None] * len(result)
        if not keys:
            return None
        padded = _pad(keys, features, layouts, self.pad_id, self.side)
        return replace(padded, transcripts=tuple(said))

    def layout(self, example: Example, *num_samples: int) -> Layout:
        """Ids and labels of one example, from the samples of each of its recordings."""
        utterance, task = example.utterance, example.task
        num_embeddings = [self.num_embeddings(num) for num in num_samples]
        for num, made in zip(num_samples, num_embeddings, strict=True):
            if made < 1:
                raise AudioError(f"{num} samples are too few for one embedding: leave it out")
        first = num_embeddings[0]
        parts(self.template, task, first)  # an unknown task is no matter of one utterance
        if task == CHAT and utterance.conversation and not utterance.answer:
            turns = [(turn.role, turn.text) for turn in utterance.conversation]
            return lay_out(
                conversation(self.template, turns, num_embeddings, with_answers=self.with_answers),
                self.tokenizer,
            )
        if len(num_embeddings) > 1:
            raise ManifestError(
                f"it has {len(num_embeddings)} recordings, which only a conversation of the task "
                f"{CHAT} hears, not {task}"
            )
        answer = answer_text(self.template, task, utterance) if self.with_answers else None
        return lay_out(parts(self.template, task, first, answer, utterance.prompt), self.tokenizer)

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
    heard: Sequence[Sequence[Floats]],  # of each utterance the features of its recordings
    layouts: Sequence[Layout],
    pad_id: int,
    side: Literal["right", "left"],
) -> Batch:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    features = [values for those in heard for values in those]
    counts = tuple(map(len, heard))
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
        counts if max(counts) > 1 else None,
    )
