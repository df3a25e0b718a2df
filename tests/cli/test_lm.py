"""`mooer lm`, from a text to a model and its numbers."""

import json

import pytest

from mooer.cli import main as cli
from mooer.cli.main import main

TEXT = "We go, you go.\n我们去！\nyou see we go 去\n\ndon't go\n" * 3


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "lm", ("mooer.cli.lm:app", "Make language models."))


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path


def run(*arguments):
    return main(["lm", *map(str, arguments)])


def test_from_a_text_to_its_perplexity(tmp_path, text, capsys):
    arpa, binary = tmp_path / "lm.arpa", tmp_path / "lm.bin"
    assert run("train", text, "--order", 3, "--prune", "0 0 1", "-o", arpa) == 0
    said = capsys.readouterr().err
    assert "order 1: " in said
    assert "of 12 sentences with 42 units" in said
    assert run("convert", arpa, binary) == 0
    assert run("info", binary, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert values["format"] == "mooer binary"
    assert values["order"] == 3
    assert values["units"] == "auto"
    assert values["vocabulary"] == values["ngrams"][0] == 11
    found = []
    for model in (arpa, binary):
        assert run("score", model, text, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["num_sentences"] == 12
    assert found[0]["num_unknown"] == 0
    assert 1 < found[0]["perplexity"] < 10


def test_each_sentence_and_its_unknown_words(tmp_path, text, capsys):
    run("train", text, "-o", tmp_path / "lm.bin")
    (tmp_path / "dev.txt").write_text("You go!\nzebra\n")
    capsys.readouterr()
    assert run("score", tmp_path / "lm.bin", tmp_path / "dev.txt", "--sentences") == 0
    one, other = capsys.readouterr().out.splitlines()
    assert one.split("\t")[1:] == ["2", "0", "You go!"]
    assert other.split("\t")[1:] == ["1", "1", "zebra"]
    assert float(other.split("\t")[0]) < float(one.split("\t")[0]) < 0


def test_a_vocabulary_and_characters(tmp_path, text, capsys):
    (tmp_path / "words.txt").write_text("we go you\n")
    assert run("train", text, "--vocab", tmp_path / "words.txt", "-o", tmp_path / "a.bin") == 0
    assert "18 of them unknown" in capsys.readouterr().err
    assert run("train", text, "--units", "characters", "-o", tmp_path / "b.bin") == 0
    assert run("info", tmp_path / "b.bin") == 0
    assert "units: characters" in capsys.readouterr().out


def test_a_smaller_model(tmp_path, text, capsys):
    run("train", text, "-o", tmp_path / "lm.arpa.gz")
    assert run("prune", tmp_path / "lm.arpa.gz", "--threshold", 1e9, "-o", tmp_path / "s.arpa") == 0
    assert "0 4-grams, before" in capsys.readouterr().err
    assert "ngram 4=0" in (tmp_path / "s.arpa").read_text("utf-8")


def test_models_are_mixed(tmp_path, text, capsys):
    one, two, other = (tmp_path / name for name in ("a.bin", "b.arpa", "other.txt"))
    other.write_text("far away from here\nfar from it\n")
    run("train", text, "--order", 3, "-o", one)
    run("train", other, "--order", 2, "-o", two)
    assert run("mix", one, two, "--weights", "0.4,0.6", "-o", tmp_path / "m.arpa") == 0
    assert "shares 0.400, 0.600" in capsys.readouterr().err
    assert run("score", tmp_path / "m.arpa", other, "--json") == 0
    assert '"num_unknown": 0' in capsys.readouterr().out
    assert run("mix", one, two, "--dev", other, "-o", tmp_path / "d.bin") == 0
    second = capsys.readouterr().err.rsplit("shares ", 1)[1].split(", ")[1]
    assert float(second) > 0.9  # the text is the second one's


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ("mix", "{tmp}/a", "-o", "{tmp}/lm.bin", "--weights", "1", "--dev", "{text}"),
            2,
            "not both",
        ),
        (("train", "{text}", "-o", "{tmp}/lm.txt"), 2, "lm.txt says no format"),
        (("train", "{text}", "-o", "{tmp}/lm.bin", "--prune", "0,x"), 2, "is no list of numbers"),
        (("train", "{text}", "-o", "{tmp}/lm.bin", "--units", "word"), 2, "did you mean words"),
        (("train", "{tmp}/none.txt", "-o", "{tmp}/lm.bin"), 2, "cannot read"),
        (("info", "{text}"), 1, "line 1 is not as in an ARPA file"),
        (("score", "{tmp}/none.arpa", "{text}"), 1, "cannot be read"),
    ],
)
def test_what_goes_wrong(tmp_path, text, capsys, arguments, code, sentence):
    filled = [one.format(text=text, tmp=tmp_path) for one in arguments]
    assert run(*filled) == code
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "lm.bin").exists()
