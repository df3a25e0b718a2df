"""Models that come with the package: found, checked, and left alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mooer.errors import ConfigError, StoreError
from mooer.store import cache, entries, fetch, is_present, located, path, remove, verify, with_needs

TOOL = Path(__file__).parents[2] / "tools" / "catalog_files.py"
FILES = {"mooer.yaml": b"llm: {}", "lora/adapter_model.safetensors": b"tensors" * 99}


@pytest.fixture
def mini(tmp_path, home, monkeypatch):
    """The folder of a model that ships, with a catalog of it and of one that it needs."""
    folder = tmp_path / "weights" / "mini"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    said = subprocess.run(
        [sys.executable, TOOL, folder], capture_output=True, text=True, check=True
    ).stdout
    about = {"description": "d", "tasks": ["asr"], "licence": "MIT", "homepage": "https://x.org"}
    other = {"size_bytes": 1, "sha256": "0" * 64}
    models = {
        "mini": {**about, "shipped": True, "needs": ["base", "vad"], **yaml.safe_load(said)},
        "vad": {**about, "needs": ["base"], "files": {"a": other}},
        "base": {**about, "files": {"a": other}},
    }
    (tmp_path / "catalog.yaml").write_text(yaml.safe_dump(models))
    monkeypatch.setattr(entries, "CATALOG_PATH", tmp_path / "catalog.yaml")
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "weights")
    return folder


def test_it_is_there_and_nothing_is_written(mini, home):
    assert fetch("mini", offline=True) == located("store:mini") == path("mini") == mini
    assert is_present("mini")
    assert verify("mini") == []
    assert entries.find("mini").size_bytes == sum(map(len, FILES.values()))
    assert not home.exists()
    assert sorted(p.name for p in mini.iterdir()) == ["lora", "mooer.yaml"]


def test_it_is_not_removed(mini):
    with pytest.raises(StoreError, match=r"^mini comes with mooer and cannot be removed$"):
        remove("mini")
    assert is_present("mini")


def test_what_is_damaged_is_told(mini):
    weights = mini / "lora" / "adapter_model.safetensors"
    weights.write_bytes(bytes(len(weights.read_bytes())))
    assert verify("mini") == ["lora/adapter_model.safetensors is damaged (its sha256 differs)"]
    weights.unlink()
    assert not is_present("mini")
    with pytest.raises(StoreError, match="mini comes with mooer, but not all of it is here"):
        fetch("mini")


def test_what_a_model_needs_is_known():
    about = {"description": "d", "tasks": [], "licence": "MIT", "homepage": "h", "files": {}}
    found = entries.parse({"a": {**about, "needs": ["b"]}, "b": about})
    assert (found["a"].needs, found["b"].needs) == (("b",), ())
    with pytest.raises(ConfigError, match="a: needs unknown model 'bb': did you mean b"):
        entries.parse({"a": {**about, "needs": ["bb"]}, "b": about})


def test_needs_are_named_once(mini):
    assert with_needs(["vad", "mini", "vad"]) == ["vad", "mini", "base"]
    assert with_needs(["mini"]) == ["mini", "base", "vad"]
    with pytest.raises(StoreError, match="unknown model 'minni': did you mean mini"):
        with_needs(["minni"])


@pytest.mark.parametrize(
    "name", ["../a", "/a", "a/../b", "a/b/c", "a//b", "a/.b", ".a/b", "a/", ""]
)
def test_no_file_is_outside(name):
    model = {"description": "d", "tasks": [], "licence": "MIT", "homepage": "h", "shipped": True}
    files = {name: {"size_bytes": 1, "sha256": "0" * 64}}
    with pytest.raises(ConfigError, match="at most one folder in it"):
        entries.parse({"m": {**model, "files": files}})
    with pytest.raises(ConfigError, match="no folder in it"):
        entries.parse({"m": {**model, "shipped": False, "files": {"a/b": files[name]}}})
    with pytest.raises(ConfigError, match="shipped must be true or false, got 'no'"):
        entries.parse({"m": {**model, "shipped": "no", "files": {}}})


def test_models_of_the_package_are_there():
    for name, entry in entries.catalog().items():
        if entry.shipped:
            assert verify(name) == []
            assert {
                p.relative_to(path(name)).as_posix() for p in path(name).rglob("*") if p.is_file()
            } == {file.name for file in entry.files}
