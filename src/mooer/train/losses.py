"""What a step minimises: cross-entropy of the answers, CTC beside it or instead of it.

All are sums divided by counts over the whole step, all processes and accumulated batches
together, so that the gradient is that of one big batch however it was cut up.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mooer.batch import IGNORE, Batch
from mooer.models.ctc import BLANK, EmbeddingCtc
from mooer.models.encoders.base import inside

NUM_CLASSES = 257


@dataclass(frozen=True)
class Counts:
    """What the losses of a step are divided by."""

    tokens: int  # learned ids of the answers
    ctc: int = 0  # units of the transcripts

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tokens + other.tokens, self.ctc + other.ctc)


@dataclass(frozen=True)
class Scales:
    """What each sum is multiplied by: weight / count."""

    tokens: float
    ctc: float = 0.0


class Goal(nn.Module, ABC):
    """A model and its losses as one module, which DDP, FSDP or DeepSpeed wraps; of any kind."""

    model: nn.Module

    @abstractmethod
    def counts(self, batch: Any) -> Counts:
        """What a batch on the CPU adds to the divisors."""

    @abstractmethod
    def forward(self, batch: Any, scales: Scales) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss to differentiate, and sums: cross-entropy, hits, CTC."""


class ByteCtc(nn.Linear):
    """CTC (Graves et al. 2006) of UTF-8 bytes over the encoder's frames; for training alone."""

    def __init__(self, width: int) -> None:
        super().__init__(width, NUM_CLASSES)

    def forward(self, hidden: Tensor) -> Tensor:
        """Log-probabilities [..., 257] of hidden frames [..., D]; byte b is class b + 1."""
        return super().forward(hidden.to(self.weight.dtype)).float().log_softmax(-1)

    def targets(self, text: str, tokenizer: Any) -> list[int]:
        """Classes of a text."""
        return [byte + 1 for byte in text.encode()]


class Objective(Goal):
    """The goal of a speech LLM.

    CTC is that of the model's own head over the adapter's embeddings (`models.ctc`), or, if it has
    none and `ctc_width` is given, bytes over the encoder's frames. Recordings whose transcript is
    not known, or that have fewer frames than units, teach it nothing.
    """

    def __init__(self, model: nn.Module, tokenizer: Any, *, ctc_width: int | None) -> None:
        super().__init__()
        self.model = model
        own: EmbeddingCtc | None = getattr(model, "ctc", None)
        self.ctc = ByteCtc(ctc_width) if ctc_width and own is None else None
        self._tokenizer = tokenizer
        self._heard: tuple[Tensor, Tensor] | None = None
        if self.head is not None:
            read: Any = model.adapter if own is not None else model.encoder
            read.register_forward_hook(self._keep)

    @property
    def head(self) -> ByteCtc | EmbeddingCtc | None:
        """Who spells."""
        own: EmbeddingCtc | None = getattr(self.model, "ctc", None)
        return own if own is not None else self.ctc

    def _keep(self, module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> None:
        if self.training:
            self._heard = output

    def counts(self, batch: Batch) -> Counts:
        """What a batch on the CPU adds to the divisors."""
        tokens = int((batch.labels[:, 1:] != IGNORE).sum())
        return Counts(tokens, sum(len(units) for _, units in self._targets(batch)))

    def forward(self, batch: Batch, scales: Scales) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss to differentiate, and sums: cross-entropy, learned ids said right, CTC.

        The loss is `scales.tokens * cross-entropy + scales.ctc * CTC`. The LLM is not asked if
        the first is 0.
        """
        none = torch.zeros((), device=batch.labels.device)
        loss, entropy, correct, ctc = none, none, none, none
        if scales.tokens:
            answer = self.model(batch)
            loss = answer.loss.float() * scales.tokens
            entropy, correct = answer.loss.detach().float(), answer.num_correct.detach()
        else:
            listen: Callable[..., Any] = self.model.embed_audio  # type: ignore[assignment]
            listen(batch.features, batch.feature_lengths)
        if self.head is not None:
            ctc, extra = self._ctc_loss(batch)
            loss = loss + scales.ctc * (ctc + extra)
        return loss, entropy, correct, ctc.detach()

    def _targets(self, batch: Batch) -> list[tuple[int, list[int]]]:
        """Which recordings have a transcript, and its units."""
        if self.head is None:
            return []
        return [
            (place, self.head.targets(text, self._tokenizer))
            for place, text in enumerate(batch.transcripts)
            if text is not None
        ]

    def _ctc_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Sums over recordings: -log p(units | sound), and what keeps embeddings in measure."""
        assert self.head is not None
        assert self._heard is not None
        heard, lengths = self._heard
        self._heard = None
        known = self._targets(batch)
        if not known:
            return heard.sum() * 0, heard.new_zeros(())
        places = [place for place, _ in known]
        device = heard.device
        with torch.autocast(device.type, enabled=False):
            heard, lengths = heard[places], lengths[places]
            ctc = functional.ctc_loss(
                self.head(heard).transpose(0, 1),  # [F, R, classes]
                torch.tensor([unit for _, units in known for unit in units], device=device),
                lengths,
                torch.tensor([len(units) for _, units in known], device=device),
                blank=BLANK,
                reduction="sum",
                zero_infinity=True,
            )
            if not isinstance(self.head, EmbeddingCtc):
                return ctc, ctc.new_zeros(())
            away = self.head.norm_loss(heard)[inside(lengths, heard.shape[1])].sum()
        return ctc, self.head.config.norm_weight * away
