"""Patterns to parameters, freezing, groups and the schedule."""

from __future__ import annotations

import math

import pytest
import torch
from tests.tiny import ByteTokenizer
from tests.train.stand import StandIn

from mooer.errors import ConfigError
from mooer.train.losses import Objective
from mooer.train.parameters import blocks, freeze, names_of, optimizer_groups, select
from mooer.train.recipe import Group, Schedule
from mooer.train.schedule import factor


@pytest.fixture
def objective() -> Objective:
    return Objective(StandIn(dropout=0.5), ByteTokenizer(), ctc_width=16)


def test_words_and_patterns(objective: Objective) -> None:
    names = names_of(objective)
    assert select(names, ["adapter"]) == [n for n in names if n.startswith("adapter.")]
    assert select(names, ["ctc"]) == ["ctc.weight", "ctc.bias"]
    assert all(".layers.1." in name for name in select(names, ["llm.*.layers.1.*"]))
    assert len(set(names)) == len(names)


def test_a_pattern_without_a_match_shows_what_there_is(objective: Objective) -> None:
    with pytest.raises(ConfigError, match=r"'llm\.\*lora_\*x' matches no parameter"):
        select(names_of(objective), ["llm.*lora_*x"])


def test_what_is_frozen_neither_learns_nor_drops_out(objective: Objective) -> None:
    learning = freeze(objective, select(names_of(objective), ["adapter"]))
    assert {n for n, p in objective.named_parameters() if p.requires_grad} == {
        f"model.{name}" for name in learning
    }
    assert not objective.model.dropout.training
    assert not objective.model.llm.training
    assert objective.model.adapter.training


def test_what_learns_is_kept_in_float32(objective: Objective) -> None:
    objective.to(torch.bfloat16)
    freeze(objective, select(names_of(objective), ["adapter"]))
    kinds = {n: p.dtype for n, p in objective.named_parameters()}
    assert kinds["model.adapter.linear1.weight"] == torch.float32
    assert kinds["model.encoder.linear.weight"] == torch.bfloat16


def test_groups_have_their_rate_and_norms_do_not_decay(objective: Objective) -> None:
    freeze(objective, names_of(objective))
    groups = optimizer_groups(
        objective, [Group("encoder", 0.1), Group("llm.*embed*", 1.0, 0.0)], 1e-3, 0.01
    )
    found = {name: g for g in groups for name in g["names"]}
    assert found["encoder.linear.weight"]["lr"] == pytest.approx(1e-4)
    assert found["encoder.linear.bias"]["weight_decay"] == 0
    assert found["adapter.linear1.weight"]["weight_decay"] == 0.01
    assert found["llm.model.embed_tokens.weight"]["weight_decay"] == 0
    assert sorted(found) == sorted(names_of(objective))


def test_blocks_are_the_repeated_layers(objective: Objective) -> None:
    assert {type(block).__name__ for block in blocks(objective)} == {"Qwen2DecoderLayer"}
    assert len(blocks(objective)) == 2


def test_schedules() -> None:
    cosine = [factor(Schedule("cosine", final=0.1), i, 100) for i in range(100)]
    assert cosine[0] == 1.0
    assert cosine[50] == pytest.approx(0.55)
    assert cosine[-1] == pytest.approx(0.1, abs=1e-3)
    assert cosine == sorted(cosine, reverse=True)
    warm = Schedule("warmup_decay", warmup_steps=1000)
    assert factor(warm, 0, 5000) == 0.0  # as DeepSpeed's
    assert factor(warm, 99, 5000) == pytest.approx(math.log(100) / math.log(1000))
    assert factor(warm, 3000, 5000) == pytest.approx(0.5)
    assert factor(Schedule("constant"), 999, 1000) == 1.0
