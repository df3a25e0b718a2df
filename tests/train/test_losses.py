"""CTC beside the answers, and instead of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.tiny import ByteTokenizer
from tests.train.stand import StandIn, collate, utterance
from torch import nn

from mooer.models.ctc import CtcConfig, EmbeddingCtc, units_of
from mooer.train.losses import Objective, Scales


class WithHead(StandIn):
    """A stand-in that has a CTC head over its adapter."""

    def __init__(self) -> None:
        super().__init__()
        table = self.llm.get_input_embeddings().weight
        self.ctc = EmbeddingCtc(CtcConfig(), units_of(["ab cd ef gh"], ByteTokenizer()), table)

    def embed_audio(self, features, lengths):
        return self.adapter(*self.encoder(features, lengths))


def objective(model: nn.Module, width: int | None = None) -> Objective:
    return Objective(model, ByteTokenizer(), ctc_width=width).train()


def slow(number: int) -> tuple[str, torch.Tensor]:
    """An utterance with frames enough to be spelled."""
    text, features = utterance(number)
    return text, features.repeat_interleave(4, 0)


@pytest.fixture
def batch():
    return collate([slow(i) for i in range(4)])


def test_the_head_of_the_model_is_taken_before_bytes(batch):
    torch.manual_seed(0)
    own = objective(WithHead(), width=16)
    assert own.ctc is None
    assert own.head is own.model.ctc
    assert own.counts(batch).ctc == sum(len(f" {key.replace(' ', '  ')}") for key in batch.keys) - (
        sum(key.count(" ") for key in batch.keys)
    )
    bytes_too = objective(StandIn(), width=16)
    assert bytes_too.counts(batch).ctc == sum(len(key) for key in batch.keys)


def test_without_weight_for_answers_the_llm_is_not_asked(batch):
    torch.manual_seed(0)
    model = WithHead()

    def never(*args, **options):
        raise AssertionError("the LLM was asked")

    model.llm.forward = never
    loss, entropy, correct, ctc = objective(model)(batch, Scales(0.0, 0.1))
    loss.backward()
    assert (float(entropy), float(correct)) == (0.0, 0.0)
    assert float(ctc) > 0
    assert model.adapter.linear1.weight.grad.abs().sum() > 0
    assert model.ctc.blank.grad.abs().sum() > 0
    assert all(p.grad is None for p in model.llm.parameters())


def test_ctc_is_torchs_over_each_utterance_alone(batch):
    torch.manual_seed(0)
    model = WithHead()
    own = objective(model)
    with torch.no_grad():
        *_, together = own(batch, Scales(0.0, 1.0))
        alone = sum(own(collate([slow(i)]), Scales(0.0, 1.0))[3] for i in range(4))
    torch.testing.assert_close(together, alone)


def test_it_learns_to_spell(batch):
    torch.manual_seed(0)
    model = WithHead()
    own = objective(model)
    optimizer = torch.optim.AdamW(own.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss, *_, ctc = own(batch, Scales(0.0, 1 / own.counts(batch).ctc))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(ctc))
    assert losses[-1] < 0.5 * losses[0]


def test_what_is_not_known_teaches_nothing(batch):
    torch.manual_seed(0)
    own = objective(WithHead())
    texts = batch.transcripts
    unknown = replace(batch, transcripts=(None, *texts[1:]))
    changed = batch.features.clone()
    changed[0] = 1.0
    with torch.no_grad():
        *_, before = own(unknown, Scales(0.0, 1.0))
        *_, after = own(replace(unknown, features=changed), Scales(0.0, 1.0))
        *_, heard = own(replace(batch, features=changed), Scales(0.0, 1.0))
    torch.testing.assert_close(before, after)
    assert float(heard) != float(after)
    nothing = replace(batch, transcripts=(None,) * 4)
    assert own.counts(nothing).ctc == 0
    assert float(own(nothing, Scales(0.0, 1.0))[3]) == 0.0
