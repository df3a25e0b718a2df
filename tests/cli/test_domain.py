"""`mooer domain build`, `mooer lm tune`, and the fusion options of commands."""

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from tests.fakes import LoudnessVad
from tests.infer.test_fusion import ManyMinded, Speller, sound
from typer.testing import CliRunner

from mooer import infer
from mooer.audio.wave import write_wave
from mooer.cli.domain import app as domain_app
from mooer.cli.fused import Asked, load_asked
from mooer.cli.tune import tune
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.lm.load import write_ngram
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.nbest import read_nbest
from mooer.errors import ConfigError
from mooer.infer import Recognizer
from mooer.infer.ctc_recognizer import CtcRecognizer
from mooer.infer.domain import read_domain, write_settings

tune_app = typer.Typer()
tune_app.command()(tune)


@pytest.fixture
def recognizer(monkeypatch):
    made = CtcRecognizer(Speller(), LoudnessVad(), name="letters", versions={})
    monkeypatch.setattr(infer, "load", lambda name, **_: SimpleNamespace(recognizer=made))
    return made


@pytest.fixture
def dev(tmp_path):
    rows = []
    for name, said in (("a", "今天很好"), ("b", "今天天气")):
        write_wave(tmp_path / f"{name}.wav", sound([said]))
        rows.append({"id": name, "audio": f"{name}.wav", "text": said, "language": "zh"})
    path = tmp_path / "dev.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "domain"
    made.mkdir()
    (made / "text.txt").write_text("今天天气很好\n今天天气\n今天很好\n你好世界\n", "utf-8")
    return made


def test_a_domain_is_built_tuned_and_used(folder, dev, recognizer):
    pytest.importorskip("matplotlib")
    done = CliRunner().invoke(
        domain_app, ["build", str(folder), "-m", "letters", "--order", "3", "--dev", str(dev)]
    )
    assert done.exit_code == 0, done.output
    domain = read_domain(folder)
    assert domain.settings.fusion.method == "shallow"
    assert domain.settings.fusion.lm_weight > 0
    assert "errors: 0" in done.stderr
    assert {p.name for p in folder.iterdir()} >= {
        "lm.bin",
        "prior.npy",
        "nbest.jsonl",
        "tuning.png",
    }
    fusion, hotwords = load_asked(Asked(domain=folder), recognizer)
    assert hotwords == ()
    options = infer.RecognizeOptions(fusion=fusion)
    [heard] = recognizer.hear_as([sound(["今天天气"])], options)
    assert "".join(word.text for word in heard.words).strip() == "今天天气"


def test_a_graph_is_for_ctc_models_alone(folder, monkeypatch):
    whisper = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    monkeypatch.setattr(infer, "load", lambda name, **_: SimpleNamespace(recognizer=whisper))
    done = CliRunner().invoke(domain_app, ["build", str(folder), "-m", "w", "--graph"])
    assert isinstance(done.exception, ConfigError)
    assert "rich-mini" in str(done.exception)


def test_lists_that_are_there_are_tuned_on_again(tmp_path, dev, recognizer):
    lm = tmp_path / "lm.bin"
    write_ngram(train_ngram(["今天天气", "今天很好"], TrainOptions(2)).tables, lm)
    lists = tmp_path / "n.jsonl"
    args = [str(dev), "--lm", str(lm), "--nbest", str(lists), "--json"]
    first = CliRunner().invoke(tune_app, args)
    assert first.exit_code == 0, first.output
    row = json.loads(first.stdout)
    assert row["errors"] < row["errors_before"]
    recognizer.model.log_probs = None  # must not be asked again
    again = CliRunner().invoke(tune_app, args)
    assert "there already" in again.stderr
    assert json.loads(again.stdout) == row
    failed = CliRunner().invoke(tune_app, [*args, "--fusion", "ilme"])
    assert "remove the file" in str(failed.exception)
    neither = CliRunner().invoke(tune_app, [str(dev)])
    assert "one of the two" in str(neither.exception)


def test_what_does_not_go_together_is_told(tmp_path, folder, recognizer):
    assert load_asked(Asked(), recognizer) == (None, ())
    for asked, message in (
        (Asked(method="shallow"), "name one by --lm"),
        (Asked(domain=folder, lm=tmp_path), "leave out --lm"),
        (Asked(domain=folder), "mooer domain build"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_asked(asked, recognizer)


def test_an_lm_of_another_script_is_refused(tmp_path, recognizer):
    lm = tmp_path / "lm.bin"
    write_ngram(train_ngram(["жук жужжит", "жук"], TrainOptions(2)).tables, lm)
    for method in ("shallow", "rescore"):
        with pytest.raises(ConfigError, match="no word with a letter that letters writes"):
            load_asked(Asked(lm=lm, method=method), recognizer)


def test_the_usual_method_is_that_of_the_recogniser(tmp_path, recognizer):
    lm = tmp_path / "lm.bin"
    write_ngram(train_ngram(["今天", "很好"], TrainOptions(2)).tables, lm)
    whisper = Recognizer(ManyMinded([]), LoudnessVad(), versions={})
    for one, usual in ((recognizer, ("shallow", 0.5, 3.0)), (whisper, ("rescore", 0.1, 0.5))):
        options = load_asked(Asked(lm=lm), one)[0].options
        assert (options.method, options.lm_weight, options.length_bonus) == usual
    fusion, _ = load_asked(Asked(lm=lm, source_lm=lm, method="lodr"), whisper)
    assert fusion.options.source_weight == 0.2
    with pytest.raises(ConfigError, match="search for CTC models"):
        load_asked(Asked(lm=lm, method="wfst"), whisper)
    assert np.isfinite(fusion.lm.logprobs(["今天"])[0])


def test_a_domain_with_a_graph_is_tuned_on_what_graphs_find(folder, dev, recognizer, caplog):
    for package in ("kaldifst", "kaldi_decoder", "matplotlib"):
        pytest.importorskip(package)
    args = ["build", str(folder), "-m", "letters", "--order", "3", "--graph", "--dev", str(dev)]
    done = CliRunner().invoke(domain_app, args)
    assert done.exit_code == 0, done.output
    assert "errors: 0" in done.stderr
    tuned = read_domain(folder).settings.fusion
    assert tuned.method == "wfst"
    assert 0 < tuned.length_bonus <= 5 * tuned.lm_weight or not tuned.length_bonus
    lists = read_nbest(folder / "nbest-wfst.jsonl")
    assert all("frames" in one.scores for each in lists for one in each.candidates)
    assert not (folder / "nbest.jsonl").exists()
    fusion, _ = load_asked(Asked(domain=folder), recognizer)
    [heard] = recognizer.hear_as([sound(["今天天气"])], infer.RecognizeOptions(fusion=fusion))
    assert "".join(word.text for word in heard.words).strip() == "今天天气"
    shallow = CliRunner().invoke(tune_app, [str(dev), "--domain", str(folder)])
    assert shallow.exit_code == 0
    write_settings(folder, replace(read_domain(folder).settings, fusion=FusionOptions("wfst", 9.0)))
    with caplog.at_level(logging.WARNING):
        fusion, _ = load_asked(Asked(domain=folder), recognizer)
    assert "build it again" in caplog.text
    assert fusion.options.lm_weight == tuned.lm_weight
    args = [str(dev), "--domain", str(folder), "--fusion", "wfst"]
    wrong = CliRunner().invoke(tune_app, [*args, "--nbest", str(folder / "nbest.jsonl")])
    assert "for wfst: remove the file" in str(wrong.exception)
