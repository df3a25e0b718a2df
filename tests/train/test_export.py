"""The models of a run: what of the encoder is written."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file
from tests.export.native import GATED, SIZES, save_released
from tests.models.folders import save_llm

from mooer.models.llm import LlmConfig
from mooer.models.load import load
from mooer.models.speech_llm import EncoderConfig, ModelConfig
from mooer.train import export
from mooer.train.build import network
from mooer.train.recipe import DataPart, Recipe, Source, Stage


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    root = tmp_path_factory.mktemp("base")
    save_llm(root / "llm")
    save_released(root / "whisper")
    return root


def recipe(base, *train, start=None):
    encoder = EncoderConfig("whisper", SIZES, str(base / "whisper"))
    return Recipe(
        ModelConfig(encoder, LlmConfig(str(base / "llm")), GATED, template="mini"),
        (Stage("only", train, 1),),
        start=start,
        data=DataPart(train=(Source("none.jsonl"),)),
    )


def run(recipe, out):
    """A run of one checkpoint, in which all that learned has moved; its last model's folder."""
    model = network(recipe)
    names = export.select(export.names_of(model), recipe.stages[0].train)
    state = {name: tensor + 0.25 for name, tensor in model.state_dict().items() if name in names}
    return export._write(recipe, out, state), state


def names(folder):
    path = folder / "encoder.safetensors"
    return set(load_file(path)) if path.exists() else set()


def assert_learned(folder, state):
    found = load(folder).state_dict()
    for name, tensor in state.items():
        assert torch.equal(found[name], tensor), name


def test_of_a_released_encoder_what_learned_is_written(base, tmp_path):
    folder, state = run(recipe(base, "adapter", "encoder.layers.1.*"), tmp_path / "a")
    # the added block is random at first, but for the zeros that keep it silent
    assert {name.rsplit(".")[1] for name in names(folder)} == {"1", "2"}
    assert_learned(folder, state)


def test_all_of_it_is_written_if_all_of_it_learned(base, tmp_path):
    folder, state = run(recipe(base, "adapter", "encoder"), tmp_path / "a")
    assert "embed_positions.weight" in names(folder)
    assert load(folder).config.encoder.weights is None
    assert_learned(folder, state)


def test_what_learned_in_an_earlier_run_is_kept(base, tmp_path):
    first, of_first = run(recipe(base, "encoder.layers.1.*"), tmp_path / "a")
    second, of_second = run(recipe(base, "adapter", start=str(first)), tmp_path / "b")
    assert names(second) == names(first)
    assert_learned(second, {**of_first, **of_second})


def test_nothing_is_written_of_an_encoder_as_it_was_released(base, tmp_path):
    plain = recipe(base, "adapter")
    options = {**SIZES, "extra_layers": 0}
    encoder = dataclasses.replace(plain.model.encoder, config=options)
    plain = dataclasses.replace(plain, model=dataclasses.replace(plain.model, encoder=encoder))
    folder, state = run(plain, tmp_path / "a")
    assert not names(folder)
    assert_learned(folder, state)
