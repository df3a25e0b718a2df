"""`mooer serve` as a person types it."""

import pytest

import mooer.serve.run
from mooer.cli.main import main


@pytest.fixture
def asked(monkeypatch):
    found = []
    monkeypatch.setattr(mooer.serve.run, "serve", found.append)
    monkeypatch.delenv("MOOER_API_KEY", raising=False)
    return found


def run(*arguments):
    return main(["serve", *map(str, arguments)])


def test_options_are_settings(asked, tmp_path):
    names = ("--model", "a", "--model", "b", "--speaker", "none", "--device", "cpu")
    assert run(*names, "--port", 9000) == 0
    [settings] = asked
    assert settings.device == "cpu"
    assert settings.models == ("a", "b")
    assert (settings.port, settings.speaker, settings.host) == (9000, None, "127.0.0.1")


def test_options_go_before_the_file(asked, tmp_path):
    file = tmp_path / "serve.yaml"
    file.write_text("port: 7000\nworkers: 2\nlimits: {max_running: 3}\n")
    assert run("--config", file, "--port", 9000, "--set", "limits.max_waiting=5") == 0
    [settings] = asked
    assert (settings.port, settings.workers) == (9000, 2)
    assert (settings.limits.max_running, settings.limits.max_waiting) == (3, 5)


def test_the_environment_has_a_key(asked, monkeypatch):
    monkeypatch.setenv("MOOER_API_KEY", "secret")
    assert run("--public") == 0
    assert asked[0].has_keys


def test_a_public_server_without_keys_does_not_start(monkeypatch, capsys):
    monkeypatch.delenv("MOOER_API_KEY", raising=False)
    assert run("--public") == 2
    assert "--new-key" in capsys.readouterr().err


def test_a_new_key_is_shown_once(asked, tmp_path, capsys):
    keys = tmp_path / "keys.txt"
    assert run("--new-key", "anna", "--keys", keys) == 0
    key = capsys.readouterr().out.strip()
    assert key.startswith("mk-")
    assert key not in keys.read_text()
    assert asked == []
    assert run("--new-key", "anna", "--keys", keys) == 2
    assert run("--new-key", "ben") == 2
    assert run("--admin") == 2


def test_what_makes_no_sense(asked, tmp_path, capsys):
    assert run("--set", "limits.max_runing=5") == 2
    assert "max_running" in capsys.readouterr().err
    assert run("--port", 99999) == 2
