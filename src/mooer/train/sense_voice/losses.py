"""What SenseVoice learns by: CTC of the text, and cross-entropy of the labels before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from mooer.batch import IGNORE, Batch
from mooer.models.sense_voice import SenseVoice
from mooer.models.sense_voice_labels import BLANK, LANGUAGE_QUERIES, NUM_QUERIES, Vocabulary
from mooer.train.losses import Counts, Goal, Scales
from mooer.train.sense_voice.recipe import SenseVoiceModel


class SenseVoiceGoal(Goal):
    """The goal of SenseVoice. In a batch `ids` are query frames, and `labels` the four labels.

    Recordings whose text is not known, or that have fewer frames than pieces, teach no words; where
    nothing is said, blanks are taught.
    """

    model: SenseVoice

    def __init__(self, model: SenseVoice, vocabulary: Vocabulary, config: SenseVoiceModel) -> None:
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary
        self.config = config

    def counts(self, batch: Batch) -> Counts:
        """Labels that are known, and pieces of text."""
        labels = int((batch.labels != IGNORE).sum())
        return Counts(labels, sum(len(units) for _, units in self._targets(batch)))

    def forward(self, batch: Batch, scales: Scales) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss to differentiate, and sums: divergence of labels, labels said right, CTC."""
        logits, lengths = self.hear(batch)
        labels = logits[:, :NUM_QUERIES]
        entropy = label_loss(labels, batch.labels, self.config.label_smoothing)
        ctc = self._ctc(logits[:, NUM_QUERIES:], lengths - NUM_QUERIES, batch)
        loss = scales.tokens * entropy + scales.ctc * ctc
        correct = (labels.argmax(-1) == batch.labels).sum()
        return loss, entropy.detach(), correct.float(), ctc.detach()

    def hear(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits [B, 4 + F, V] and lengths [B]; while it learns, not every language is told."""
        language, style = batch.ids[:, 0], batch.ids[:, -1]
        if self.training:
            untold = torch.rand(len(batch)) < self.config.untold_language
            language = language.masked_fill(untold.to(language.device), LANGUAGE_QUERIES["auto"])
        found: tuple[Tensor, Tensor] = self.model(
            batch.features, batch.feature_lengths, language, style
        )
        return found

    def _targets(self, batch: Batch) -> list[tuple[int, list[int]]]:
        """Which recordings have a text, and its pieces."""
        return [
            (place, self.vocabulary.encode(text))
            for place, text in enumerate(batch.transcripts)
            if text is not None
        ]

    def _ctc(self, logits: Tensor, lengths: Tensor, batch: Batch) -> Tensor:
        """Sum of -log p(pieces | sound)."""
        known = self._targets(batch)
        if not known:
            return logits.sum() * 0
        places, device = [place for place, _ in known], logits.device
        with torch.autocast(device.type, enabled=False):
            return functional.ctc_loss(
                logits[places].float().log_softmax(-1).transpose(0, 1),  # [F, B, V]
                torch.tensor(
                    [one for _, units in known for one in units], dtype=torch.int64, device=device
                ),
                lengths[places],
                torch.tensor([len(units) for _, units in known], device=device),
                blank=BLANK,
                reduction="sum",
                zero_infinity=True,
            )


def label_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Sum over labels [B, 4] that are known of KL(wanted || said), logits [B, 4, V].

    Wanted is 1 - smoothing of the label, the rest spread evenly over all other classes (Szegedy
    et al. 2016, section 7); without smoothing that is the cross-entropy.
    """
    known = labels != IGNORE
    said = logits[known].float().log_softmax(-1)
    own = said.gather(-1, labels[known][:, None])[:, 0]
    if not smoothing:
        return -own.sum()
    other = smoothing / (said.shape[-1] - 1)
    entropy = (1 - smoothing) * math.log(1 - smoothing) + smoothing * math.log(other)
    cross = (1 - smoothing) * own + other * (said.sum(-1) - own)
    return (entropy - cross).sum()
