"""What `data` makes and `models` reads: a batch for a speech LLM, and one for heads of labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

AUDIO = -200  # in `ids`: the place of one embedding of the audio
IGNORE = -100  # in `labels`: a position that is not learned


@dataclass(frozen=True)
class Batch:
    """Utterances side by side. Letters: B utterances, R recordings, F feature frames, M features,
    L tokens.

    An utterance has one recording; only in a conversation it may have several, and then those of
    the first utterance come first, in the order in which they are heard.

    `ids` holds AUDIO where the adapter's embeddings go, as many as the utterance has of them;
    `labels` holds the id itself on answers, so that the model shifts them. Padding of ids is to
    the left for decoding and to the right for training: `mask` says where it is.
    """

    keys: tuple[str, ...]
    features: Tensor  # float [R, F, M], zero after the end
    feature_lengths: Tensor  # int64 [R]
    ids: Tensor  # int64 [B, L]
    labels: Tensor  # int64 [B, L]
    mask: Tensor  # bool [B, L], False on padding
    num_recordings: tuple[int, ...] | None = None  # of each utterance; None: one, so that R is B
    transcripts: tuple[str | None, ...] = ()  # what each recording says, None: not known

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: Any) -> Batch:
        """The same on another device."""
        return replace(
            self,
            features=self.features.to(device),
            feature_lengths=self.feature_lengths.to(device),
            ids=self.ids.to(device),
            labels=self.labels.to(device),
            mask=self.mask.to(device),
        )


@dataclass(frozen=True)
class LabelledBatch:
    """Recordings side by side with what is known of them. Letters: B recordings, F feature frames,
    M features, F' hidden frames, E events.
    """

    keys: tuple[str, ...]
    features: Tensor  # float [B, F, M], zero after the end
    feature_lengths: Tensor  # int64 [B]
    mask: Tensor  # bool [B, F], False on padding
    units: tuple[tuple[int, ...] | None, ...]  # classes of what is said; None: not known
    frame_units: Tensor  # int64 [B, F'], the class of each frame; IGNORE where it is not known
    classes: dict[str, Tensor]  # int64 [B] by head, IGNORE where it is not known
    events: Tensor  # float [B, E], 1 or 0; NaN where they are not known
    texts: tuple[str | None, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def to(self, device: Any) -> LabelledBatch:
        """The same on another device."""
        return replace(
            self,
            features=self.features.to(device),
            feature_lengths=self.feature_lengths.to(device),
            mask=self.mask.to(device),
            frame_units=self.frame_units.to(device),
            classes={name: labels.to(device) for name, labels in self.classes.items()},
            events=self.events.to(device),
        )
