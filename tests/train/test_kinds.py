"""Kinds of recipes by their key."""

import pytest

from mooer.errors import ConfigError
from mooer.train.kinds import kind_of
from mooer.train.recipe import Recipe
from mooer.train.rich.recipe import RichRecipe


def test_the_kind_is_a_key_of_the_recipe(tmp_path):
    path = tmp_path / "a.yaml"
    for text, recipe in (
        ("seed: 1", Recipe),
        ("kind: speech_llm", Recipe),
        ("kind: rich", RichRecipe),
    ):
        path.write_text(text)
        assert kind_of(path).recipe is recipe
    path.write_text("kind: rch")
    with pytest.raises(ConfigError, match="unknown kind 'rch': did you mean rich"):
        kind_of(path)
    with pytest.raises(ConfigError, match="cannot read"):
        kind_of(tmp_path / "none.yaml")
