import json

import pytest
import typer
from tests.fakes import speech

from mooer.audio.wave import write_wave
from mooer.cli.label import label
from mooer.cli.main import main
from mooer.errors import ConfigError, ManifestError
from mooer.infer.label import Labellers
from mooer.transcript import Segment, Transcript


def run(*arguments):
    app = typer.Typer(rich_markup_mode=None)
    app.command()(label)
    return app([str(argument) for argument in arguments], standalone_mode=False)


@pytest.fixture
def asked(monkeypatch):
    """What was asked of `load_labellers`, which gives labellers without models."""
    found = {}

    def load(model, **options):
        found.update(options, model=model)

        def recognise(path):
            return Transcript((Segment(0.0, 2.0, "we went home", "en"),), "en", 2.0)

        return Labellers(
            recognise,
            judge=lambda samples: 3.0 if found["quality"] else 0.0,
            hear_again=lambda samples, language: "we went alone home",
            names={"recogniser": model},
        )

    monkeypatch.setattr("mooer.infer.labellers.load_labellers", load)
    return found


@pytest.fixture
def clips(tmp_path):
    (tmp_path / "clips").mkdir()
    for name in "ab":
        write_wave(tmp_path / "clips" / f"{name}.wav", speech((2.0, 0.3)))
    return tmp_path / "clips"


def test_a_folder_becomes_a_manifest_and_a_report(asked, clips, tmp_path, capsys):
    out = tmp_path / "o.jsonl"
    run(clips, "--out", out, "--max-disagreement", "0.5", "--language", "English")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["audio"]) for row in rows] == [
        ("a", "clips/a.wav"),
        ("b", "clips/b.wav"),
    ]
    told = capsys.readouterr().out
    assert "kept 2 of 2 utterances, 0.1 of 0.1 min (100 %)" in told
    assert "real-time factor" in told
    assert asked["second"] == "same"
    assert asked["llm"] == "qwen2.5-0.5b"
    assert asked["language"] == "en"


def test_a_stricter_threshold_filters_again(asked, clips, tmp_path, capsys):
    out = tmp_path / "o.jsonl"
    run(clips, "--out", out, "--max-disagreement", "0.5")
    run(clips, "--out", out, "--max-disagreement", "0.1")
    assert out.read_text() == ""
    told = capsys.readouterr().out
    assert "kept 0 of 2" in told
    assert "agreement: 2 (4 s), 2 by it alone" in told
    assert "also heard: we went alone home" in told
    assert "2 recordings were measured by earlier runs" in told


def test_what_is_turned_off_is_not_loaded(asked, clips, tmp_path):
    options = ["--second", "none", "--to", "none", "--min-quality", "0", "--max-disagreement", "1"]
    run(clips, "--out", tmp_path / "o.jsonl", *options)
    assert (asked["second"], asked["llm"], asked["quality"]) == (None, None, False)
    row = json.loads((tmp_path / "o.jsonl").read_text().splitlines()[0])
    assert "agreement" not in row
    assert "dnsmos" not in row


def test_other_languages_are_dropped(asked, clips, tmp_path, capsys):
    run(clips, "--out", tmp_path / "o.jsonl", "--keep-languages", "zh", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["dropped"]["language"]["num"] == 2


def test_a_failed_input_is_exit_code_1(asked, clips, tmp_path, monkeypatch, capsys):
    from mooer.errors import AudioError

    def load(model, **options):
        def recognise(path):
            raise AudioError("holds no sound")

        return Labellers(recognise)

    monkeypatch.setattr("mooer.infer.labellers.load_labellers", load)
    assert run(clips, "--out", tmp_path / "o.jsonl") == 1
    assert "failed: a: holds no sound" in capsys.readouterr().out


def test_wrong_inputs_and_options_are_told_before_models_are_loaded(asked, clips, tmp_path):
    with pytest.raises(ManifestError):
        run(tmp_path / "none.jsonl", "--out", tmp_path / "o.jsonl")
    with pytest.raises(ConfigError):
        run(clips, "--out", tmp_path / "o.jsonl", "--keep-languages", "klingon")
    assert not asked


def test_it_is_a_command(capsys):
    assert main(["data", "label", "--help"]) == 0
    assert "Example: mooer data label" in capsys.readouterr().out
