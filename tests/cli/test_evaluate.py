"""`mooer evaluate` with a fake model."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mooer.audio.wave import write_wave
from mooer.cli.evaluate import evaluate
from mooer.errors import AudioError, ConfigError
from mooer.infer import speakers
from mooer.infer.speakers import Diarization
from mooer.subtitles.rttm import Turn
from mooer.transcript import Segment, Transcript

app = typer.Typer()
app.command()(evaluate)


class Fake:
    def transcribe(self, source, *, language=None):
        if "bad" in str(source):
            raise AudioError("broken header")
        return Transcript((Segment(0, 1, "hello", "en"),), "en", 1.0)


@pytest.fixture
def loaded():
    """Names of models and what they were loaded with."""
    return []


@pytest.fixture
def invoke(monkeypatch, loaded):
    # The whole room is replaced: the real one imports the engines.
    def load(name, *, parts):
        loaded.append((name, parts))
        return Fake()

    monkeypatch.setitem(sys.modules, "mooer.infer", SimpleNamespace(load=load))
    return lambda *args: CliRunner().invoke(app, [str(arg) for arg in args])


def manifest(tmp_path, *names):
    path = tmp_path / "set.jsonl"
    rows = [{"audio": f"{n}.wav", "text": "Hello", "language": "en"} for n in names]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_device_is_passed_on(tmp_path, invoke, loaded):
    path = manifest(tmp_path, "a")
    for words in ((), ("--device", "cpu")):
        assert invoke(path, "-m", "fake", *words).exit_code == 0
    assert loaded == [("fake", {"device": "auto"}), ("fake", {"device": "cpu"})]


def test_a_table_and_reports(tmp_path, invoke):
    report, html = tmp_path / "out" / "r.json", tmp_path / "r.html"
    done = invoke(manifest(tmp_path, "a", "b"), "-m", "fake", "--report", report, "--html", html)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[2].startswith("| set | en | 2 | 0.0 (0.0–0.0) |")
    assert "evaluated 2/2" in done.stderr
    assert json.loads(report.read_text())["sets"]["set"]["wer"] == 0
    assert html.read_text().startswith("<!doctype html>")
    assert [p.name for p in report.parent.iterdir()] == ["r.json"]


def test_failures_are_told_by_the_exit_code(tmp_path, invoke):
    done = invoke(manifest(tmp_path, "a", "bad"), "-m", "fake", "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["failures"][0]["id"] == "bad"
    assert "failed: set/bad: broken header" in done.stderr


def test_wrong_usage_is_told_before_a_model_is_loaded(tmp_path, invoke, monkeypatch):
    monkeypatch.setitem(sys.modules, "mooer.infer", SimpleNamespace(load=None))
    done = invoke(manifest(tmp_path, "a"), "-m", "fake", "--task", "asrr")
    assert isinstance(done.exception, ConfigError)
    assert invoke().exit_code == 2  # no manifest named


def test_an_earlier_run_is_resumed(tmp_path, invoke):
    report = tmp_path / "r.json"
    path = manifest(tmp_path, "a", "bad")
    head = {"schema": "mooer.evaluation/1", "model": "fake", "task": "asr", "to": None}
    head |= {"language": None, "use_language": False}
    row = {"set": "set", "id": "bad", "hypothesis": "hello", "detected_language": "en"}
    row |= {"audio_s": 1.0, "wall_s": 0.1}
    partial = tmp_path / "r.json.partial.jsonl"
    partial.write_text(json.dumps({"head": head}) + "\n" + json.dumps(row) + "\n")
    done = invoke(path, "-m", "fake", "--report", report)
    assert done.exit_code == 0, done.output
    assert "going on after 1 finished" in done.stderr
    assert not partial.exists()


def test_help_has_examples(invoke):
    assert "mooer evaluate test.jsonl" in invoke("--help").stdout


def test_speakers_are_scored(tmp_path, monkeypatch):
    write_wave(tmp_path / "a.wav", np.zeros(32_000, np.float32))
    path = tmp_path / "talks.jsonl"
    row = {"audio": "a.wav", "segments": [["anna", 0, 1], ["ben", 1, 2]]}
    path.write_text(json.dumps(row) + "\n")
    turns = (Turn(0, 1.1, "S1"), Turn(1.1, 2, "S2"))
    heard = SimpleNamespace(diarize=lambda blocks, num=None: Diarization(turns, 2.0))
    monkeypatch.setattr(speakers, "load_diarizer", lambda: heard)

    def invoke(*args):
        return CliRunner().invoke(app, [str(path), "--task", "diarization", *map(str, args)])

    done = invoke("--report", tmp_path / "out" / "r.json")
    assert done.exit_code == 0, done.output
    assert "| talks | 1 | 5.0 | 0.0 | 0.0 | 5.0 | 1 of 1 |" in done.stdout
    assert json.loads((tmp_path / "out" / "r.json").read_text())["sets"]["talks"][
        "der"
    ] == pytest.approx(0.05)
    assert json.loads(invoke("--json", "--collar", 0.25).stdout)["sets"]["talks"]["der"] == 0
    assert isinstance(invoke("--html", tmp_path / "x.html").exception, ConfigError)
    path.write_text(path.read_text() + json.dumps({**row, "audio": "missing.wav"}) + "\n")
    done = invoke()
    assert done.exit_code == 1
    assert "failed: talks/missing" in done.stderr
