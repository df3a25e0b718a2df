"""From examples to a `LabelledBatch`: units of what is said, frame by frame if its times are known,
and labels.

Times stand in a manifest under `words`: [[word, start, end], …] in seconds of the recording, a
Chinese character being a word. Events stand under `event`, several with commas between them, or
`none`.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mooer.batch import IGNORE, LabelledBatch
from mooer.data.collate import Failure, FeatureReader, Heard, OnError
from mooer.data.stages import Example
from mooer.data.stored import STORED
from mooer.data.supervision import Utterance
from mooer.errors import AudioError, ManifestError, MissingExtra
from mooer.text.units import BLANK, Units

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

WORDS = "words"  # the key of a row
NONE = "none"  # an event: it is known that there is none
_MAX_WARNINGS = 20


@dataclass(frozen=True)
class LabelCollator:
    """Examples to a batch for heads on a frozen encoder.

    `classes` are the names of the classes of each head, which an utterance has under the head's own
    name. Sound that cannot be read, and labels that no class has, are errors, or with "skip"
    warnings, counted in `skipped`.
    """

    read: FeatureReader
    num_frames: Callable[[int], int]  # hidden frames of so many feature frames
    frame_s: float = 0.02
    units: Units | None = None
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    on_error: OnError = "raise"
    skipped: Counter[str] = field(default_factory=Counter, compare=False)

    def __call__(self, examples: Sequence[Example]) -> LabelledBatch:
        """The batch. With "skip", AudioError if nothing of it is left."""
        batch = self.join(examples, self.read(examples))
        if batch is None:
            raise AudioError(f"none of {len(examples)} utterances could be read: see the warnings")
        return batch

    def join(
        self, examples: Sequence[Example], results: Sequence[Heard | Failure]
    ) -> LabelledBatch | None:
        """The batch of what was read; None if that is nothing."""
        rows: list[_Row] = []
        for example, result in zip(examples, results, strict=True):
            if isinstance(result, Failure):
                self._fail(result.id, AudioError(result.reason))
                continue
            try:
                rows.append(self._row(example, result[0].values))
            except ManifestError as error:
                self._fail(example.utterance.id, error)
        return _pad(rows, tuple(self.classes)) if rows else None

    def _row(self, example: Example, values: NDArray[np.float32]) -> _Row:
        utterance = example.utterance
        frames = len(values) if STORED in utterance.extra else self.num_frames(len(values))
        units = None
        if self.units is not None and utterance.text is not None:
            units = self.units.spell(utterance.text) or None
        return _Row(
            utterance.id,
            values,
            units,
            self._frame_units(utterance, frames, example.speed),
            {name: self._class(utterance, name) for name in self.classes},
            self._events(utterance),
            utterance.text,
        )

    def _frame_units(self, utterance: Utterance, num_frames: int, speed: float) -> Any:
        """The class of each frame: the unit that is said in its middle, else the blank."""
        found = np.full(num_frames, IGNORE, np.int64)
        words = utterance.extra.get(WORDS)
        if self.units is None or not words:
            return found
        found[:] = BLANK
        middles = (np.arange(num_frames) + 0.5) * self.frame_s * speed
        last = BLANK
        for word, start_s, end_s in _times(words, utterance.id):
            spelled = self.units.spell(word)
            if not spelled:  # what is said here is not known
                found[(middles >= start_s) & (middles < end_s)] = IGNORE
                last = BLANK
                continue
            sizes = [len(self.units.names[unit - 1].strip("▁")) or 1 for unit in spelled]
            edges = start_s + (end_s - start_s) * np.cumsum([0, *sizes]) / sum(sizes)
            for unit, begin_s, until_s in zip(spelled, edges[:-1], edges[1:], strict=True):
                inside = np.flatnonzero((middles >= begin_s) & (middles < until_s))
                if unit == last and len(inside) and found[inside[0] - 1] == unit:
                    found[inside[0]], inside = BLANK, inside[1:]  # or it would be heard once
                found[inside] = unit
                last = unit
        return found

    def _class(self, utterance: Utterance, head: str) -> int:
        label = getattr(utterance, head, None)
        if label is None:
            return IGNORE
        classes = self.classes[head]
        if label not in classes:
            raise ManifestError(f"its {head} {label!r} is none of {', '.join(classes)}")
        return classes.index(label)

    def _events(self, utterance: Utterance) -> Any:
        if utterance.event is None:
            return np.full(len(self.events), np.nan, np.float32)
        heard = [name.strip() for name in utterance.event.split(",") if name != NONE]
        for name in heard:
            if self.events and name not in self.events:
                raise ManifestError(f"its event {name!r} is none of {', '.join(self.events)}")
        return np.array([name in heard for name in self.events], np.float32)

    def _fail(self, id: str, error: AudioError | ManifestError) -> None:
        if self.on_error == "raise":
            raise type(error)(f"{id}: {error}") from error
        self.skipped[str(error)] += 1
        if self.skipped.total() <= _MAX_WARNINGS:
            logger.warning("skipped %s: %s", id, error)


@dataclass(frozen=True)
class _Row:
    key: str
    values: NDArray[np.float32]
    units: tuple[int, ...] | None
    frame_units: NDArray[np.int64]
    classes: dict[str, int]
    events: NDArray[np.float32]
    text: str | None


def _times(words: Any, id: str) -> list[tuple[str, float, float]]:
    try:
        return [(str(word), float(start), float(end)) for word, start, end in words]
    except (TypeError, ValueError) as error:
        raise ManifestError(f"the words of {id} are not [[word, start, end], …]") from error


def _pad(rows: Sequence[_Row], heads: tuple[str, ...]) -> LabelledBatch:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra("torch", "train") from error
    lengths = [len(row.values) for row in rows]
    features = np.zeros((len(rows), max(lengths), rows[0].values.shape[1]), np.float32)
    mask = np.zeros(features.shape[:2], np.bool_)
    frame_units = np.full((len(rows), max(len(row.frame_units) for row in rows)), IGNORE, np.int64)
    for place, row in enumerate(rows):
        features[place, : lengths[place]] = row.values
        mask[place, : lengths[place]] = True
        frame_units[place, : len(row.frame_units)] = row.frame_units

    def labels(head: str) -> Tensor:
        return torch.tensor([row.classes[head] for row in rows], dtype=torch.int64)

    return LabelledBatch(
        tuple(row.key for row in rows),
        torch.from_numpy(features),
        torch.tensor(lengths, dtype=torch.int64),
        torch.from_numpy(mask),
        tuple(row.units for row in rows),
        torch.from_numpy(frame_units),
        {head: labels(head) for head in heads},
        torch.from_numpy(np.stack([row.events for row in rows])),
        tuple(row.text for row in rows),
    )
