"""What heads learn by: units of frames, CTC with less blank, classes of recordings, events."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mooer.batch import IGNORE, LabelledBatch
from mooer.models.rich import RichModel, Told
from mooer.tasks.rich import LabellerConfig
from mooer.text.units import BLANK
from mooer.train.losses import Counts, Goal, Scales


class RichGoal(Goal):
    """The goal of heads on a frozen encoder.

    What is counted as tokens are frames whose unit is known, and labels that are known.
    """

    model: RichModel

    def __init__(self, model: RichModel) -> None:
        super().__init__()
        self.model = model

    def counts(self, batch: LabelledBatch) -> Counts:
        """Frames and labels that are known, and units of what is said."""
        tokens = 0
        if self.model.speller is not None:
            tokens += int((batch.frame_units != IGNORE).sum())
        if self.model.labeller is not None:
            tokens += sum(int((labels != IGNORE).sum()) for labels in batch.classes.values())
            tokens += int((~batch.events.isnan()).any(-1).sum())
        units = sum(len(one) for one in batch.units if one) if self.model.speller else 0
        return Counts(tokens, units)

    def forward(
        self, batch: LabelledBatch, scales: Scales
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Loss to differentiate, and sums: cross-entropy, what was told right, CTC."""
        hidden, lengths = self.model.hear(batch.features, batch.feature_lengths)
        entropy = correct = ctc = hidden.new_zeros(())
        if self.model.speller is not None:
            log_probs = self.model.speller(hidden, lengths)
            entropy, correct = frame_loss(log_probs, batch.frame_units)
            if scales.ctc:
                ctc = _ctc(log_probs, batch, lengths, self.model.speller.config.blank_discount)
        if self.model.labeller is not None:
            told = self.model.labeller(hidden, lengths)
            more, hits = label_loss(told, batch, self.model.labeller.config)
            entropy, correct = entropy + more, correct + hits
        loss = scales.tokens * entropy + scales.ctc * ctc
        return loss, entropy.detach(), correct.detach(), ctc.detach()


def frame_loss(log_probs: Tensor, frame_units: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of -log p of the units [B, F] that are known, and of frames where it is the highest."""
    known = frame_units != IGNORE
    if not known.any():
        return log_probs.sum() * 0, log_probs.new_zeros(())
    scores, wanted = log_probs[:, : known.shape[1]][known], frame_units[known]
    entropy = functional.nll_loss(scores, wanted, reduction="sum")
    return entropy, (scores.detach().argmax(-1) == wanted).sum().float()


def label_loss(told: Told, batch: LabelledBatch, config: LabellerConfig) -> tuple[Tensor, Tensor]:
    """Sum over known labels of weighted cross-entropies, and how many labels are told right.

    Events are binary each; of their mean over the events, the sum over recordings. One is right if
    the event with the highest score is there.
    """
    device = batch.features.device
    entropy, correct = torch.zeros((), device=device), torch.zeros((), device=device)
    for name, scores in told.classes.items():
        labels = batch.classes[name]
        known = labels != IGNORE
        if known.any():
            weight = config.weights.get(name, 1.0)
            entropy = entropy + weight * functional.cross_entropy(
                scores[known].float(),
                labels[known],
                reduction="sum",
                label_smoothing=config.smoothing,
            )
            correct = correct + (scores[known].detach().argmax(-1) == labels[known]).sum()
    known = ~batch.events.isnan().any(-1)
    if told.events is not None and known.any():
        scores, wanted = told.events[known].float(), batch.events[known]
        each = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
        entropy = entropy + config.weights.get("events", 1.0) * each.sum()
        best = scores.detach().argmax(-1, keepdim=True)
        correct = correct + wanted.gather(1, best).sum()
    return entropy, correct


def _ctc(log_probs: Tensor, batch: LabelledBatch, lengths: Tensor, blank_discount: float) -> Tensor:
    places = [i for i, units in enumerate(batch.units) if units]
    if not places:
        return log_probs.sum() * 0
    device = log_probs.device
    units = [torch.tensor(batch.units[i], device=device) for i in places]
    return ctc_loss(log_probs[places], units, lengths[places], blank_discount)


def ctc_loss(
    log_probs: Tensor, units: list[Tensor], lengths: Tensor, blank_discount: float = 0.0
) -> Tensor:
    """CTC of log-probabilities [B, F, V] whose paths favour units over blanks by e^discount.

    Plain CTC soon spells by single frames among blanks, which tell when a word is said, but not
    from when to when (Huang et al. 2024, "Less Peaky and More Accurate CTC Forced Alignment by
    Label Priors", who divide by priors of all labels; here by that of the blank alone). The value
    is the cross-entropy of the frames with how probable each class is on the paths; its gradient
    is that of CTC. Recordings with fewer frames than units teach nothing.
    """
    device = log_probs.device
    # Only what is said and the blank are on any path: of thousands of classes these few count, and
    # what a frame's numbers are divided by does not change which paths are likely.
    said = torch.cat(units)
    used, targets = torch.unique(torch.cat([said.new_tensor([BLANK]), said]), return_inverse=True)
    some = log_probs.index_select(-1, used)
    shifted = some.detach().clone()
    shifted[..., 0] -= blank_discount  # BLANK is the lowest class
    sizes = torch.tensor([len(one) for one in units], device=device)
    with torch.enable_grad():
        leaf = shifted.log_softmax(-1).requires_grad_()
        value = functional.ctc_loss(
            leaf.transpose(0, 1),
            targets[1:],
            lengths,
            sizes,
            blank=0,
            reduction="none",
            zero_infinity=True,
        )
        (gradient,) = torch.autograd.grad(value.sum(), leaf)
    counted = torch.arange(log_probs.shape[1], device=device)[None, :] < lengths[:, None]
    counted &= (value > 0)[:, None]
    on_paths = (leaf.detach().exp() - gradient).clamp_(0, 1) * counted[..., None]
    return -(on_paths * some).sum()
