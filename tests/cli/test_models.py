"""`mooer models`: what it prints, where, and with which exit code."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest
import yaml
from typer.testing import CliRunner

from mooer.cli.models import app
from mooer.store import cache, entries

DATA = b"weights" * 1000


@pytest.fixture
def models(tmp_path, monkeypatch):
    """Two models, of which a local folder has only one."""
    file = {"size_bytes": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}
    body = {
        "description": "a model",
        "tasks": ["asr"],
        "licence": "MIT",
        "homepage": "https://example.org",
        "files": {"weights.bin": file},
    }
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(yaml.safe_dump({"good": body, "absent": body}, sort_keys=False))
    folder = tmp_path / "models" / "good"
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(DATA)
    monkeypatch.setattr(entries, "CATALOG_PATH", catalog)
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MOOER_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("MOOER_SOURCES", "local")
    return tmp_path / "home" / "models"


def run(*args):
    return CliRunner().invoke(app, [*args])


def test_list(models):
    result = run("list")
    assert result.exit_code == 0
    head, good, absent = result.stdout.splitlines()
    assert head.split() == ["model", "size", "here", "licence", "description"]
    assert good.split()[:4] == ["good", "7.0", "kB", "no"]
    assert absent.startswith("absent")
    run("fetch", "good")
    assert run("list").stdout.splitlines()[1].split()[3] == "yes"


def test_list_as_json(models):
    rows = json.loads(run("list", "--json").stdout)
    assert rows[0] == {
        "name": "good",
        "description": "a model",
        "tasks": ["asr"],
        "licence": "MIT",
        "homepage": "https://example.org",
        "size_bytes": len(DATA),
        "present": False,
        "path": str(models / "good"),
    }


def test_fetch_prints_the_folder(models):
    result = run("fetch", "good", "good")
    assert result.exit_code == 0
    assert result.stdout == f"{models / 'good'}\n"
    assert json.loads(run("fetch", "good", "--json").stdout) == [
        {"name": "good", "path": str(models / "good")}
    ]


def test_one_failure_does_not_stop_the_others(models):
    result = run("fetch", "absent", "good")
    assert result.exit_code == 1
    assert result.stdout == f"{models / 'good'}\n"
    assert "mooer: error: cannot fetch weights.bin of absent" in result.stderr
    result = run("fetch", "--all", "--json", "--offline")
    assert result.exit_code == 1
    good, absent = json.loads(result.stdout)
    assert good["path"]
    assert "cannot fetch" in absent["error"]


@pytest.mark.parametrize(
    "args", [("fetch",), ("fetch", "goood"), ("remove",), ("path", "goood"), ("verify", "goood")]
)
def test_wrong_usage(models, args):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "good" in result.stderr


def test_path(models):
    assert run("path", "good").exit_code == 1
    run("fetch", "good")
    result = run("path", "good")
    assert (result.exit_code, result.stdout) == (0, f"{models / 'good'}\n")


def test_verify_and_remove(models):
    assert "nothing has been fetched" in run("verify").stderr
    run("fetch", "good")
    result = run("verify")
    assert (result.exit_code, result.stdout) == (0, "good: good\n")
    (models / "good" / "weights.bin").write_bytes(bytes(len(DATA)))
    result = run("verify", "good")
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert "run `mooer models fetch good`" in result.stdout
    (row,) = json.loads(run("verify", "good", "--json").stdout)
    assert row["problems"]
    assert "freed" in run("remove", "good").stdout
    assert run("remove", "good").stdout == "good: was not there\n"
    assert json.loads(run("remove", "good", "--json").stdout)[0]["freed_bytes"] == 0


def test_a_model_that_comes_with_mooer(models, tmp_path, monkeypatch):
    raw = yaml.safe_load(entries.CATALOG_PATH.read_text())
    raw["mini"] = {**raw["good"], "shipped": True, "needs": ["good"]}
    other = tmp_path / "shipped.yaml"
    other.write_text(yaml.safe_dump(raw, sort_keys=False))
    monkeypatch.setattr(entries, "CATALOG_PATH", other)
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "weights")
    folder = tmp_path / "weights" / "mini"
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(DATA)

    assert run("list").stdout.splitlines()[3].split()[:4] == ["mini", "7.0", "kB", "yes"]
    assert run("path", "mini").stdout == f"{folder}\n"
    assert run("verify").stdout == "mini: good\n"
    assert run("fetch", "mini", "--offline").stdout == f"{folder}\n{models / 'good'}\n"
    result = run("remove", "mini", "good")
    assert result.exit_code == 1
    assert result.stderr == "mooer: error: mini comes with mooer and cannot be removed\n"
    assert result.stdout.startswith("good: removed")
    (folder / "weights.bin").write_bytes(b"")
    result = run("verify", "mini")
    assert (result.exit_code, "install mooer again" in result.stdout) == (1, True)


def test_table_on_a_terminal(models, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    assert "\x1b[" in run("list").stdout


@pytest.mark.parametrize("command", ["list", "fetch", "path", "remove", "verify"])
def test_help_has_an_example(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.stdout


def test_import_is_light():
    code = "import sys, mooer.cli.models, mooer.cli.doctor; print('yaml' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
