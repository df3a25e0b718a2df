"""`mooer doctor`: every problem has a remedy, and the exit code says whether there are any."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from mooer.cli import doctor as module
from mooer.cli.doctor import Check, doctor
from mooer.store import web


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The command on a machine where everything but the weights is in order."""
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MOOER_SOURCES", raising=False)
    app = typer.Typer()
    app.command()(doctor)
    return app


def run(app, *args):
    return CliRunner().invoke(app, [*args])


def report(app, *args):
    result = run(app, "--json", *args)
    found = json.loads(result.stdout)
    assert found["good"] is (result.exit_code == 0)
    return {check["name"]: check for check in found["checks"]}


def test_missing_weights_are_a_problem_with_a_remedy(app):
    result = run(app)
    assert result.exit_code == 1
    assert "mooer models fetch whisper-base" in result.stdout
    checks = report(app)
    assert checks["whisper-base"]["state"] == "problem"
    assert checks["gemma-3-270m"]["state"] == "note"
    assert checks["numpy"]["state"] == "good"
    assert "free" in checks["cache"]["value"]
    assert checks["cores"]["value"]


def test_every_problem_has_a_remedy(app):
    for check in report(app).values():
        assert check["mend"] or check["state"] != "problem"


def test_ready_when_the_weights_are_there(app, monkeypatch):
    monkeypatch.setattr("mooer.store.is_present", lambda name: True)
    monkeypatch.setattr(module, "_system", lambda: [Check("system", "cores", "2")])
    result = run(app)
    assert result.exit_code == 0, result.stdout
    assert result.stdout.splitlines()[-1] == "Ready: mooer transcribe FILE"
    assert "\x1b" not in result.stdout, "plain when piped"


def test_missing_and_old_packages(monkeypatch):
    wanted = ["numpy>=1000", "nothing-of-this-name>=1", "rich>=13", "also-not-there; extra == 'x'"]
    monkeypatch.setattr(module.metadata, "requires", lambda name: wanted)
    checks = {check.name: check for check in module._packages()}
    assert "older than 1000" in checks["numpy"].value
    assert checks["numpy"].mend == "pip install --upgrade 'numpy>=1000'"
    assert checks["nothing-of-this-name"].mend == "pip install nothing-of-this-name"
    assert checks["rich"].state == "good"
    assert checks["[x]"].mend == "if you want it: pip install 'mooer[x]'"
    assert checks["[x]"].state == "note"


def test_environment_hides_secrets(app, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_hush")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:hush@index.example/simple")
    result = run(app)
    assert "hush" not in result.stdout
    assert "https://***@index.example/simple" in result.stdout


def test_online_asks_the_sources(app, monkeypatch):
    web.forget_hosts()
    for name in ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT", "MOOER_INDEX_URL", "NPM_CONFIG_REGISTRY"):
        monkeypatch.setenv(name, "http://nowhere.invalid")
    monkeypatch.setenv("no_proxy", "*")
    checks = report(app, "--online")
    assert "cannot be reached" in checks["hf"]["value"]
    assert "HTTPS_PROXY" in checks["all"]["mend"]
    assert "hf" not in report(app)


def test_full_disk_and_little_memory_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MIN_FREE_BYTES", 1 << 60)
    monkeypatch.setattr(module, "_memory_bytes", lambda: (8_000_000_000, 200_000_000))
    assert module._disk("weights", tmp_path / "not" / "yet").state == "note"
    assert "close other programs" in module._memory("system").mend
