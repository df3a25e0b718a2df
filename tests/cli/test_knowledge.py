"""`mooer knowledge`, with an embedder of letters and with the real one."""

import json

import pytest
from tests.agent.knowledge.shelf import LetterEmbedder, shelf
from typer.testing import CliRunner

from mooer.cli.knowledge import app
from mooer.errors import ConfigError, StoreError

run = CliRunner().invoke


@pytest.fixture
def notes(tmp_path):
    return shelf(
        tmp_path / "notes", library_md="# Hours\nThe library opens at nine.", tea_txt="绿茶很好喝。"
    )


@pytest.fixture
def embedder(monkeypatch):
    monkeypatch.setattr(
        "mooer.agent.knowledge.folder.open_embedder", lambda threads: LetterEmbedder()
    )


def told(*arguments):
    result = run(app, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_it_builds_and_searches(notes, embedder):
    assert "2 files, 2 passages (2 files read, 2 passages embedded" in told("build", notes)
    assert "(0 files read, 0 passages embedded" in told("build", notes)
    first = told("search", notes, "when does the library open").splitlines()[0]
    assert first.startswith("1. library.md (Hours) (")
    found = json.loads(told("search", notes, "绿茶", "-n", 1, "--json").splitlines()[-1])
    assert [one["name"] for one in found] == ["tea.txt"]


def test_json_says_what_was_left_out(notes, embedder):
    (notes / "bad.txt").write_bytes(b"\x00")
    found = json.loads(told("build", notes, "--json").splitlines()[-1])
    assert found["left_out"] == {"bad.txt": "binary, no text"}
    assert found["num_passages"] == 2


def test_anew_forgets_and_removes_no_other_file(notes, tmp_path, embedder):
    told("build", notes)
    assert "(2 files read" in told("build", notes, "--anew")
    with pytest.raises(ConfigError, match="no index"):
        told("build", notes, "--index", notes / "tea.txt", "--anew")
    assert (notes / "tea.txt").exists()


def test_without_an_index_it_says_how_to_make_one(notes, embedder):
    with pytest.raises(StoreError, match="mooer knowledge build"):
        told("search", notes, "x")


@pytest.mark.real
def test_meaning_is_found_across_languages(notes):
    told("build", notes)
    assert told("search", notes, "图书馆什么时候开门？").startswith("1. library.md")
    assert told("search", notes, "a warm drink").startswith("1. tea.txt")
