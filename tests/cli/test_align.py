"""`mooer align` as a person types it, over a model that hears loudness."""

import json

import numpy as np
import pytest
from tests.fakes import LetterCtc

from mooer.audio.wave import write_wave
from mooer.cli.main import main
from mooer.engines.llm_ctc import LlmCtc
from mooer.infer import aligners, attended
from mooer.transcript import Segment, Transcript

TEXT = "Good morning!\nWe have 2 dogs.\n"


@pytest.fixture
def model(monkeypatch):
    model = LetterCtc()
    monkeypatch.setattr(aligners, "load_aligner", lambda *args, **kwargs: model)
    monkeypatch.setattr(attended, "load_reader", lambda **kwargs: Stranger())
    return model


class Stranger:
    """A reader that knows no language, so that words keep the times of the CTC model."""

    def knows(self, language):
        return False


@pytest.fixture
def clip(tmp_path, model):
    samples, _ = model.say([0.4, "good", "morning", 0.5, "we", "have", "two", "dogs", 0.6])
    write_wave(tmp_path / "talk.wav", samples)
    return tmp_path / "talk.wav"


def run(*arguments):
    return main(["align", *map(str, arguments)])


def test_a_word_a_line(clip, capsys):
    assert run(clip, "Good morning! We have 2 dogs.") == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[3] for line in lines] == ["Good", "morning!", "We", "have", "2", "dogs."]
    assert all(float(a) < float(b) and 0.8 < float(p) < 1 for a, b, p, _ in lines)
    assert float(lines[0][0]) == pytest.approx(0.42, abs=0.021)


class LlmLetters(LetterCtc, LlmCtc):
    """Stands in for the CTC head of a speech LLM."""


def test_words_by_the_head_of_a_speech_llm_keep_its_times(clip, capsys, monkeypatch):
    monkeypatch.setattr(aligners, "load_aligner", lambda *args, **kwargs: LlmLetters())
    monkeypatch.setattr(attended, "load_reader", lambda **kwargs: pytest.fail("asked"))
    assert run(clip, "Good morning!", "--model", "mini") == 0
    assert "Good" in capsys.readouterr().out


def test_a_file_of_lines_to_subtitles(clip, tmp_path, capsys):
    text = tmp_path / "talk.txt"
    text.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert run(clip, text, "--format", "srt") == 0
    out = capsys.readouterr().out
    assert out.startswith("1\n00:00:00,4")
    assert "\nWe have 2 dogs.\n" in out
    out = tmp_path / "out"
    assert run(clip, text, "--format", "vtt,tsv,txt,json", "--out", out) == 0
    names = ["talk.json", "talk.tsv", "talk.txt", "talk.vtt"]
    assert sorted(p.name for p in out.iterdir()) == names
    assert run(clip, text, "--format", "json", "--out", out) == 0
    assert "is there already" in capsys.readouterr().err


def test_json_is_a_transcript(clip, capsys):
    assert run(clip, TEXT, "--json") == 0
    found = Transcript.from_json(capsys.readouterr().out)
    assert [s.text for s in found.segments] == TEXT.splitlines()
    assert found.source == str(clip)
    assert found.model == "rich-mini"


def test_a_transcript_gets_word_times(clip, tmp_path, capsys):
    segments = (Segment(0.3, 1.0, "Good morning!", "en"), Segment(1.2, 2.5, "We have two.", "en"))
    given = tmp_path / "talk.json"
    given.write_text(Transcript(segments, "en", 3.0, model="whisper-base").to_json())
    assert run(clip, given, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [len(s["words"]) for s in found["segments"]] == [2, 3]
    assert found["model"] == "whisper-base"


def test_a_text_of_another_recording_is_told_once_and_by_the_exit_code(clip, capsys):
    assert run(clip, "Fish jump quick.") == 1
    err = capsys.readouterr().err
    assert err.count("the text is not what is said in the recording") == 1
    assert run(clip, "Good morning!\nFish jump quick.\nWe have two dogs.") == 0
    assert "1 of 3 segments of the text are not heard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "code", "sentence"),
    [
        ("", 2, "the text is empty"),
        (" \n", 2, "the text is empty"),
        ("!!!", 2, "the text is empty"),
        ("missing.txt", 2, "no such file: 'missing.txt'"),
        ("Привет как дела", 2, "cannot spell most words"),
        ("good morning " * 60, 1, "more than 2."),
    ],
)
def test_bad_texts(clip, capsys, text, code, sentence):
    assert run(clip, text) == code
    err = capsys.readouterr().err
    assert sentence in err
    assert "Traceback" not in err


def test_bad_recordings(model, clip, tmp_path, capsys):
    write_wave(tmp_path / "silent.wav", np.zeros(32_000, np.float32))
    assert run(tmp_path / "silent.wav", "good morning") == 1
    assert "is silent" in capsys.readouterr().err
    assert run(tmp_path / "none.wav", "good morning") == 2
    assert "no such file" in capsys.readouterr().err
    assert run(tmp_path, "good morning") == 2
    assert "is several recordings" in capsys.readouterr().err
    (tmp_path / "words.txt").write_bytes(b"\xff\xfe\x00")
    assert run(clip, tmp_path / "words.txt") == 2
    assert "not a text in UTF-8" in capsys.readouterr().err
    assert run("-", "-") == 2
    assert "cannot both be standard input" in capsys.readouterr().err
    (tmp_path / "broken.json").write_text("{")
    assert run(clip, tmp_path / "broken.json") == 1
    assert "not JSON" in capsys.readouterr().err
