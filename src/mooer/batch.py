"""One batch for a speech LLM: `data` makes it, `models` reads it; it is all they share."""

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
