"""What a step minimises: cross-entropy of the answers, and on request CTC over the encoder.

Both are sums divided by counts over the whole step, all processes and accumulated batches
together, so that the gradient is that of one big batch however it was cut up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from mooer.batch import IGNORE, Batch

BLANK = 0  # of CTC; byte b is class b + 1
NUM_CLASSES = 257


class Decoder(Protocol):
    """The half of a tokenizer that turns ids into text."""

    def decode(self, ids: Any, *, skip_special_tokens: bool = ...) -> str:
        """Text of ids."""
        ...


@dataclass(frozen=True)
class Counts:
    """What the losses of a step are divided by."""

    tokens: int  # learned ids of the answers
    ctc: int = 0  # bytes of the transcripts

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tokens + other.tokens, self.ctc + other.ctc)


class Objective(nn.Module):
    """The model and its losses as one module, which DDP, FSDP or DeepSpeed wraps.

    The CTC head (Graves et al. 2006) reads the encoder's hidden frames and writes UTF-8 bytes of
    the answer's first line, in whatever language. It is used in training alone. Utterances with
    fewer frames than bytes teach it nothing.
    """

    def __init__(self, model: nn.Module, tokenizer: Decoder, *, ctc_width: int | None) -> None:
        super().__init__()
        self.model = model
        self.ctc = nn.Linear(ctc_width, NUM_CLASSES) if ctc_width else None
        self._tokenizer = tokenizer
        self._hidden: tuple[Tensor, Tensor] | None = None
        if self.ctc is not None:
            encoder: Any = model.encoder
            encoder.register_forward_hook(self._keep_hidden)

    def _keep_hidden(self, module: nn.Module, args: Any, output: tuple[Tensor, Tensor]) -> None:
        if self.training:
            self._hidden = output

    def counts(self, batch: Batch) -> Counts:
        """What a batch on the CPU adds to the divisors."""
        tokens = int((batch.labels[:, 1:] != IGNORE).sum())
        ctc = sum(map(len, self._transcripts(batch))) if self.ctc is not None else 0
        return Counts(tokens, ctc)

    def forward(
        self, batch: Batch, token_scale: float, ctc_scale: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss to differentiate, and sums: cross-entropy, learned ids said right, CTC.

        The loss is `token_scale * cross-entropy + ctc_scale * CTC`.
        """
        answer = self.model(batch)
        loss = answer.loss.float() * token_scale
        ctc = loss.new_zeros(())
        if self.ctc is not None:
            ctc = self._ctc_loss(batch)
            loss = loss + ctc_scale * ctc
        return loss, answer.loss.detach().float(), answer.num_correct.detach(), ctc.detach()

    def _transcripts(self, batch: Batch) -> list[bytes]:
        rows = [row[row != IGNORE].tolist() for row in batch.labels]
        texts = [self._tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        return [text.strip().split("\n")[0].encode() for text in texts]

    def _ctc_loss(self, batch: Batch) -> Tensor:
        """Sum over utterances of -log p(bytes | sound)."""
        assert self.ctc is not None
        assert self._hidden is not None
        hidden, lengths = self._hidden
        self._hidden = None
        transcripts = self._transcripts(batch)
        targets = torch.tensor([b + 1 for text in transcripts for b in text], device=hidden.device)
        target_lengths = torch.tensor([len(text) for text in transcripts], device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            logits = self.ctc(hidden.to(self.ctc.weight.dtype)).float()
            log_probs = logits.log_softmax(-1).transpose(0, 1)  # [F, B, classes]
            return functional.ctc_loss(
                log_probs,
                targets,
                lengths,
                target_lengths,
                blank=BLANK,
                reduction="sum",
                zero_infinity=True,
            )
