"""Frozen dataclasses to YAML and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.config import from_mapping, override, read_yaml, to_mapping, to_yaml, write_yaml
from mooer.errors import ConfigError


@dataclass(frozen=True)
class Lora:
    rank: int
    targets: tuple[str, ...] = ("q_proj",)


@dataclass(frozen=True)
class Stage:
    lr: float = 1e-3
    name: str = "one"

    def __post_init__(self) -> None:
        if self.lr < 0:
            raise ConfigError(f"lr must not be negative, got {self.lr}")


@dataclass(frozen=True)
class Recipe:
    name: str = "tiny"
    steps: int = 10
    bf16: bool = False
    lora: Lora | None = None
    stages: tuple[Stage, ...] = (Stage(),)
    strategy: Literal["none", "ddp"] = "none"
    weights: dict[str, float] = field(default_factory=dict)
    betas: tuple[float, float] = (0.9, 0.999)
    folder: Path = Path("out")
    seed: int | str = 0
    extra: dict[str, Any] = field(default_factory=dict)


def read(text: str, path: Path) -> Recipe:
    file = path / "recipe.yaml"
    file.write_text(text, encoding="utf-8")
    return read_yaml(Recipe, file)


def test_yaml_back_and_forth(tmp_path: Path) -> None:
    recipe = Recipe(
        name="no",  # a boolean in YAML 1.1, a word in 1.2
        lora=Lora(4, ("q", "v")),
        stages=(Stage(1e-4), Stage(2.0, "1e-4")),
        weights={"a": 1.0, "中": 0.5},
        folder=Path("a/b"),
        seed="12",
        extra={"x": [1, {"y": None}]},
    )
    write_yaml(recipe, tmp_path / "r.yaml")
    assert read_yaml(Recipe, tmp_path / "r.yaml") == recipe


@given(
    st.builds(
        Recipe,
        name=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])),
        steps=st.integers(),
        bf16=st.booleans(),
        weights=st.dictionaries(st.text("abc.-:1e_ "), st.floats(allow_nan=False)),
        seed=st.one_of(st.integers(), st.text("0123456789.e-+_ xnotrueyf~")),
    )
)
def test_whatever_is_written_is_read_back(tmp_path_factory: Any, recipe: Recipe) -> None:
    file = tmp_path_factory.getbasetemp() / "r.yaml"
    file.write_text(to_yaml(recipe), encoding="utf-8")
    assert read_yaml(Recipe, file) == recipe


def test_yaml_1_2_scalars(tmp_path: Path) -> None:
    recipe = read(
        "name: no\nstages: [{lr: 1e-4}, {lr: 5}]\nextra: {a: 2026-01-02, b: 007}", tmp_path
    )
    assert recipe.name == "no"
    assert [stage.lr for stage in recipe.stages] == [1e-4, 5.0]
    assert isinstance(recipe.stages[1].lr, float)
    assert recipe.extra == {"a": "2026-01-02", "b": "007"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step: 1", "unknown key step: did you mean steps?"),
        ("lora: {ranks: 1}", "unknown key lora.ranks: did you mean rank?"),
        ("lora: {}", "lora.rank is missing"),
        ("steps: 1.5", "steps must be int, got float 1.5"),
        ("steps: true", "steps must be int, got bool True"),
        ("bf16: 1", "bf16 must be bool, got int 1"),
        ("bf16: yes", "bf16 must be bool, got str 'yes'"),
        ("name: 3", "name must be str, got int 3"),
        ("name:", "name must be str, got nothing (null)"),
        ("lora: 3", "lora must be a section (key: value), got int 3"),
        ("strategy: dpp", "strategy must be one of none, ddp, got str 'dpp'"),
        ("betas: [0.9]", "betas must be a list of 2, got list [0.9]"),
        ("weights: {a: x}", "weights.a must be float, got str 'x'"),
        ("stages: [{}, {lr: fast}]", "stages.1.lr must be float, got str 'fast'"),
        ("stages: {lr: 1}", "stages must be a list"),
        ("stages: [{lr: -1}]", "stages.0: lr must not be negative"),
        ("seed: [1]", "seed must be int or str, got list [1]"),
        ("steps: 1\nsteps: 2", "key 'steps' comes twice, line 2"),
        ("- 1", "write `key: value` lines"),
        ("a: [", "is not YAML"),
        ("name: !!python/object/apply:os.getcwd []", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path / "recipe.yaml") in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_yaml(Recipe, tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert read_yaml(Recipe, tmp_path / "empty.yaml") == Recipe()


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("steps=4", "steps", 4),
        ("name=4", "name", "4"),
        ("name=a=b", "name", "a=b"),
        ("seed=4", "seed", 4),
        ("seed=x", "seed", "x"),
        ("bf16=true", "bf16", True),
        ("stages.0.lr=1e-4", "stages.0.lr", 1e-4),
        ("stages=[{lr: 2}]", "stages.0.lr", 2.0),
        ("strategy=ddp", "strategy", "ddp"),
        ("lora.rank=8", "lora.rank", 8),  # a section that was None is made
        ("lora={rank: 3}", "lora.rank", 3),
        ("betas=[0, 0.5]", "betas.1", 0.5),
        ("weights.x=2", "weights.x", 2.0),
        ("extra.a.b=[1]", "extra.a.b.0", 1),
        ("folder=/tmp/x", "folder", "/tmp/x"),
    ],
)
def test_override(setting: str, path: str, value: Any) -> None:
    node: Any = to_mapping(override(Recipe(), [setting]))
    for part in path.split("."):
        node = node[int(part)] if isinstance(node, list) else node[part]
    assert node == value
    assert type(node) is type(value)


def test_overrides_follow_each_other_and_null_takes_away() -> None:
    assert override(Recipe(), ["steps=1", "steps=2"]).steps == 2
    assert override(Recipe(lora=Lora(1)), ["lora=null"]).lora is None


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("steps", "is no setting"),
        ("step=1", "did you mean steps?"),
        ("lora.rnk=1", "unknown key lora.rnk"),
        ("steps=x", "steps must be int, got str 'x'"),
        ("stages.3.lr=1", "'3' is no place in a list of 1"),
        ("steps.a=1", "steps is no section, it holds int 10"),
        ("stages=[", "is not YAML"),
    ],
)
def test_a_wrong_override(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        override(Recipe(), [setting])
    assert message in str(caught.value)


def test_defaults_and_any_are_kept() -> None:
    assert from_mapping(Recipe, {"extra": {"a": (1,)}}).extra == {"a": (1,)}
