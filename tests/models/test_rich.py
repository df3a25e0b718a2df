"""Heads on a frozen encoder: padding, tables of units, pooling."""

import pytest
import torch
from tests.models.rich import LABELLER, SPELLER, UNITS

from mooer.errors import ConfigError
from mooer.models.rich import Labeller, Speller, UnitTable, loudest
from mooer.tasks.rich import LabellerConfig, RichConfig, SpellerConfig

WIDTH = 16


@pytest.fixture
def speller():
    torch.manual_seed(0)
    return Speller(SPELLER, UNITS, WIDTH).eval()


@pytest.fixture
def labeller():
    torch.manual_seed(0)
    return Labeller(LABELLER, WIDTH).eval()


def padded(one, num_frames):
    """With NaN after its end."""
    rest = torch.full((1, num_frames - one.shape[1], one.shape[2]), torch.nan)
    return torch.cat([one, rest], 1)


@torch.no_grad()
@pytest.mark.parametrize("num_frames", [1, 2, 5, 8])
def test_a_speller_gives_each_frame_whatever_is_padded(speller, num_frames):
    one = torch.randn(1, num_frames, WIDTH)
    alone = speller(one, torch.tensor([num_frames]))
    assert alone.shape == (1, num_frames, 1 + len(UNITS))
    torch.testing.assert_close(alone.exp().sum(-1), torch.ones(1, num_frames))
    together = speller(padded(one, 11), torch.tensor([num_frames]))
    torch.testing.assert_close(together[:, :num_frames], alone)


@torch.no_grad()
def test_a_labeller_does_not_hear_padding(labeller):
    one = torch.randn(1, 5, WIDTH)
    alone = labeller(one, torch.tensor([5]))
    padding = labeller(padded(one, 9), torch.tensor([5]))
    assert {name: tuple(x.shape) for name, x in alone.classes.items()} == {
        "language": (1, 2),
        "emotion": (1, 3),
    }
    for name, scores in alone.classes.items():
        torch.testing.assert_close(padding.classes[name], scores)
    torch.testing.assert_close(padding.events, alone.events)
    torch.testing.assert_close(padding.frames[:, :5], alone.frames)


def test_the_loudest_frames_speak_for_a_recording():
    scores = torch.tensor([[[0.0], [9.0], [100.0]]])
    assert float(loudest(scores, torch.tensor([2]))) == pytest.approx(9.0, abs=0.01)
    assert float(loudest(scores[:, :1], torch.tensor([1]))) == 0.0


def test_an_unseen_character_is_known_by_its_reading_alone():
    torch.manual_seed(0)
    table = UnitTable(SPELLER, UNITS)
    weight, bias = table.merged()
    unseen = UNITS.names.index("号") + 1
    torch.testing.assert_close(weight[unseen], table.toned[2] + table.plain[1])
    assert float(bias[unseen].detach()) == SPELLER.unseen_bias
    (weight[unseen] ** 2).sum().backward()
    assert not table.own.grad[unseen].any()
    assert table.plain.grad[1].any()
    x = torch.randn(3, SPELLER.embedding_width)
    torch.testing.assert_close(table(x), x @ weight.T + bias)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SpellerConfig(kernel=4), "kernel must be odd"),
        (lambda: LabellerConfig({"mood": ("a", "b")}), "unknown head 'mood'"),
        (lambda: LabellerConfig({"gender": ("a", "a")}), "two classes or more"),
        (lambda: LabellerConfig({}, weights={"age": 1.0}), "'age', which is no head"),
        (RichConfig, "needs a speller or a labeller"),
    ],
)
def test_wrong_sizes_are_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()
