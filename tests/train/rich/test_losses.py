"""CTC whose blanks are discounted, frames, labels: against torch's own and by their meaning."""

import pytest
import torch
from torch.nn import functional

from mooer.train.rich.losses import ctc_loss, frame_loss


def sample(num_frames=12, num_classes=5, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, num_frames, num_classes, generator=random, dtype=torch.float64)


UNITS = [torch.tensor([1, 1, 3]), torch.tensor([2, 4])]
LENGTHS = torch.tensor([12, 7])


def test_without_a_discount_the_gradient_is_that_of_ctc():
    scores = sample().requires_grad_()
    ctc_loss(scores.log_softmax(-1), UNITS, LENGTHS).backward()
    theirs = sample().requires_grad_()
    functional.ctc_loss(
        theirs.log_softmax(-1).transpose(0, 1),
        torch.cat(UNITS),
        LENGTHS,
        torch.tensor([3, 2]),
        reduction="sum",
    ).backward()
    torch.testing.assert_close(scores.grad, theirs.grad)


@pytest.mark.parametrize("discount", [0.0, 3.0])
def test_a_discount_leaves_fewer_blanks(discount):
    scores = torch.zeros(1, 12, 4, dtype=torch.float64).requires_grad_()
    optimizer = torch.optim.Adam([scores], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        ctc_loss(
            scores.log_softmax(-1), [torch.tensor([1, 2])], torch.tensor([12]), discount
        ).backward()
        optimizer.step()
    path = scores[0].argmax(-1).tolist()
    kept = [one for i, one in enumerate(path) if one and (i == 0 or path[i - 1] != one)]
    assert kept == [1, 2]
    assert (path.count(0) < 3) == (discount > 0)


def test_too_few_frames_teach_nothing():
    scores = sample(4).requires_grad_()
    ctc_loss(
        scores.log_softmax(-1), [torch.tensor([1, 1, 1]), torch.tensor([2])], torch.tensor([4, 3])
    ).backward()
    assert not scores.grad[0].any()
    assert scores.grad[1, :3].any()
    assert not scores.grad[1, 3:].any()


def test_frames_that_are_not_known_teach_nothing():
    scores = sample(4).requires_grad_()
    wanted = torch.tensor([[1, -100, 2], [-100, -100, -100]])
    entropy, correct = frame_loss(scores.log_softmax(-1), wanted)
    expected = functional.cross_entropy(scores[0, [0, 2]], torch.tensor([1, 2]), reduction="sum")
    torch.testing.assert_close(entropy, expected)
    assert 0 <= float(correct) <= 2
    entropy.backward()
    assert not scores.grad[1].any()
    assert not scores.grad[0, 1].any()
    nothing, _ = frame_loss(sample(4), torch.full((2, 4), -100))
    assert float(nothing) == 0.0
