"""`mooer chat` as a person types it, over a scripted speech LLM."""

from __future__ import annotations

import io
import json
import logging
import sys

import numpy as np
import pytest
from tests.fakes import FakeSpeechLLM

import mooer.infer.chat
from mooer.audio.wave import write_wave
from mooer.cli.main import main


class Typed(io.StringIO):
    """Standard input of these lines; `on_terminal` or through a pipe."""

    def __init__(self, *lines, on_terminal=True):
        super().__init__("".join(f"{line}\n" for line in lines))
        self.isatty = lambda: on_terminal


@pytest.fixture(autouse=True)
def plain_log():
    logger = logging.getLogger("mooer")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers[:] = handlers


@pytest.fixture
def model(monkeypatch):
    fake = FakeSpeechLLM(["first answer", "second answer", "third answer"])
    monkeypatch.setattr(mooer.infer.chat, "open_model", lambda name, **options: fake)
    return fake


@pytest.fixture
def clips(tmp_path, monkeypatch):
    for name, seconds in (("a", 1), ("b b", 2), ("long", 31)):
        write_wave(tmp_path / f"{name}.wav", np.zeros(16_000 * seconds, np.float32))
    monkeypatch.chdir(tmp_path)


def asked(model):
    """The last user's turn of every prompt."""
    return [p.split("«im_start»user\n")[-1].split("«im_end»")[0] for p in model.prompts]


def converse(monkeypatch, *lines, arguments=(), on_terminal=True):
    monkeypatch.setattr(sys, "stdin", Typed(*lines, on_terminal=on_terminal))
    return main(["chat", "-m", "mini", *arguments])


def test_one_question(model, clips, capsys):
    assert main(["chat", "-m", "mini", "a.wav", "-p", "What is said here?"]) == 0
    assert capsys.readouterr() == ("first answer\n", "")
    assert asked(model) == ["[10]What is said here?"]
    assert model.is_closed


def test_two_recordings_in_order_or_where_they_are_marked(model, clips, capsys):
    assert main(["chat", "-m", "mini", "a.wav", "b b.wav", "-p", "Same?"]) == 0
    assert main(["chat", "-m", "mini", "b b.wav", "a.wav", "-p", "Is <audio> as <audio>?"]) == 0
    assert asked(model) == ["[10][20]Same?", "Is [20] as [10]?"]
    assert main(["chat", "-m", "mini", "a.wav", "b b.wav", "-p", "Is <audio> so?"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("mooer: error: the question has 1 <audio> for 2 recordings")
    assert err.count("\n") == 1


def test_no_recording(model, capsys):
    assert main(["chat", "-m", "mini", "-p", "Hi", "--system", "Be brief."]) == 0
    assert capsys.readouterr().out == "first answer\n"
    assert model.prompts[0].startswith("«im_start»system\nBe brief.«im_end»")
    assert main(["chat", "-m", "mini", "-p", ""]) == 2
    assert "nothing is asked" in capsys.readouterr().err


def test_options_reach_the_model(model):
    assert (
        main(["chat", "-m", "mini", "-p", "Hi", "--max-tokens", "7", "--temperature", "0.5"]) == 0
    )
    assert (model.options[0].max_new_tokens, model.options[0].temperature) == (7, 0.5)
    assert main(["chat", "-m", "mini", "-p", "Hi", "--max-tokens", "0"]) == 2
    assert main(["chat", "-m", "mini", "-p", "Hi", "--temperature", "-1"]) == 2


def test_json(model, clips, capsys):
    assert main(["chat", "-m", "mini", "a.wav", "-p", "什么？", "--system", "S", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == {
        "model": "mini",
        "turns": [
            {"role": "system", "content": "S", "audio": []},
            {"role": "user", "content": "什么？", "audio": ["a.wav"]},
            {"role": "assistant", "content": "first answer", "audio": []},
        ],
    }
    assert "什么？" in out
    assert err == ""


def test_recordings_that_cannot_be_heard(model, clips, capsys):
    assert main(["chat", "-m", "mini", "long.wav", "-p", "What?"]) == 1
    assert "long.wav is longer than 30 s" in capsys.readouterr().err
    assert main(["chat", "-m", "mini", "gone.wav", "-p", "What?"]) == 1
    assert "gone.wav does not exist" in capsys.readouterr().err
    assert model.prompts == []
    assert main(["chat", "-m", "mini", "-"]) == 2
    assert "standard input is read for questions" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing-known", "whisper"])
def test_a_bad_model_is_one_sentence(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "model.bin").touch()
    assert main(["chat", "-m", "mini", "-p", "Hi", "--model", name]) == 1
    err = capsys.readouterr().err
    assert err.startswith("mooer: error: ")
    assert err.count("\n") == 1
    assert ("cannot chat" if name == "whisper" else "unknown model") in err


def test_a_conversation(model, clips, monkeypatch, capsys):
    lines = ("What?", "", "Sure?", "/audio 'b b.wav'", "/audio a.wav", "Is <audio> as <audio>?")
    assert converse(monkeypatch, *lines, "/quit", "not this", arguments=["a.wav"]) == 0
    assert asked(model) == ["[10]What?", "Sure?", "Is [20] as [10]?"]
    assert model.prompts[1].startswith(model.prompts[0] + "first answer«im_end»\n")
    out, err = capsys.readouterr()
    assert out == "first answer\nsecond answer\nthird answer\n"
    assert "/audio FILE" in err


def test_a_recording_alone_and_a_new_beginning(model, clips, monkeypatch, capsys):
    lines = ("/audio a.wav", "", "/audio a.wav", "/new", "Hi")
    assert converse(monkeypatch, *lines, arguments=["--json"]) == 0
    assert asked(model) == ["[10]", "Hi"]
    assert model.prompts[1].count("«im_start»user") == 1
    out, err = capsys.readouterr()
    assert [turn["content"] for turn in json.loads(out)["turns"]] == ["Hi", "second answer"]
    assert "first answer\nsecond answer\n" in err


def test_what_fails_does_not_end_a_conversation(model, clips, monkeypatch, capsys):
    lines = ("/audio gone.wav", "/audio long.wav", "/audio", "/qit", "<audio>", "/usr/bin is?")
    assert converse(monkeypatch, *lines) == 0
    assert asked(model) == ["/usr/bin is?"]
    errors = [line for line in capsys.readouterr().err.split("\n") if "error: " in line]
    for words, line in zip(
        ("does not exist", "than 30 s", "needs the name", "did you mean /quit", "1 <audio> for 0"),
        errors,
        strict=True,
    ):
        assert words in line
    assert converse(monkeypatch, "/qit", "Hi", on_terminal=False) == 2
    assert len(model.prompts) == 1


def test_an_interrupt_breaks_an_answer_off(clips, monkeypatch, capsys):
    fake = FakeSpeechLLM(["abc\x03", "so", "\x03"])
    monkeypatch.setattr(mooer.infer.chat, "open_model", lambda name, **options: fake)
    assert converse(monkeypatch, "One?", "Two?", arguments=["a.wav"]) == 0
    out, err = capsys.readouterr()
    assert out == "abc\nso\n"
    assert "broken off" in err
    assert asked(fake) == ["[10]One?", "Two?"]
    assert "abc«im_end»" in fake.prompts[1]
    assert converse(monkeypatch, "Three?", on_terminal=False) == 130


def test_lines_of_a_pipe_are_turns(model, monkeypatch, capsys):
    assert converse(monkeypatch, "One?", "Two?", on_terminal=False) == 0
    assert capsys.readouterr() == ("first answer\nsecond answer\n", "")
