import json

import pytest
import typer
from tests.speak.tones import ToneSpeaker

from mooer.cli.main import main
from mooer.cli.synth import as_text, synth
from mooer.errors import ConfigError, ManifestError
from mooer.infer.synthesise import SynthReport
from mooer.speak import SPEAKERS


def run(*arguments):
    app = typer.Typer(rich_markup_mode=None)
    app.command()(synth)
    return app([str(argument) for argument in arguments], standalone_mode=False)


def manifest(folder):
    text = (folder / "set" / "manifest.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def tones(monkeypatch):
    """The only speaker there is hums."""
    monkeypatch.setitem(SPEAKERS._rows, "kokoro-82m", "tests.speak.tones:ToneSpeaker")
    monkeypatch.setattr("mooer.speak.load.fetch", lambda name: name)
    monkeypatch.setattr(
        ToneSpeaker, "__init__", lambda self, folder, **_: setattr(self, "said", [])
    )


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [{"id": f"p-{i}", "zh": f"第{i}句话。", "en": [f"Sentence {i}."]} for i in range(3)]
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def test_a_text_file_becomes_a_set(tones, texts, tmp_path, capsys):
    run(texts, "--out", tmp_path / "set", "--voices", "3", "--format", "opus", "--noise")
    rows = manifest(tmp_path)
    assert [row["id"] for row in rows] == [
        f"p-{i}-{code}" for i in range(3) for code in ("zh", "en")
    ]
    assert all((tmp_path / "set" / row["audio"]).stat().st_size > 500 for row in rows)
    told = capsys.readouterr().out
    assert "6 clips" in told
    assert "synthetic speech (0 clips by earlier runs)" in told
    assert "real-time factor" in told
    run(texts, "--out", tmp_path / "set", "--voices", "3", "--format", "opus", "--noise", "--json")
    again = json.loads(capsys.readouterr().out)
    assert (again["num_before"], again["new_seconds"], again["rtf"]) == (6, 0.0, None)


def test_one_language_and_so_many_hours(tones, texts, tmp_path, capsys):
    run(texts, "-o", tmp_path / "set", "--languages", "Chinese", "--hours", "0.002", "--json")
    told = json.loads(capsys.readouterr().out)
    assert 7.2 <= told["seconds"] < 9
    rows = manifest(tmp_path)
    assert {row["language"] for row in rows} == {"zh"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (["--speed", "fast"], ConfigError, "0.85-1.2"),
        (["--speed", "0.1-9"], ConfigError, "speeds must be"),
        (["--format", "mp3"], ConfigError, "flac or opus"),
        (["--languages", "de"], ManifestError, "nothing to speak"),
        (["--speaker", "kokoro"], ConfigError, "kokoro-82m"),
    ],
)
def test_wrong_options_are_told(tones, texts, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        run(texts, "--out", tmp_path / "set", *options)


def test_the_report_says_what_was_left_out():
    report = SynthReport(3, 9.0, 1, 6.0, 3.0, 2, [{"id": "a", "reason": "nothing"}])
    assert "real-time factor 0.500 with 2 workers" in as_text(report)
    assert "1 lines could not be spoken" in as_text(report)


def test_it_is_a_command(capsys):
    assert main(["data", "synth", "--help"]) == 0
    assert "Example: mooer data synth" in capsys.readouterr().out
