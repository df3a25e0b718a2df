"""`mooer interpret` as a person types it, over a script and a voice that hums."""

import json

import numpy as np
import pytest
from tests.infer.interpreters import HummingVoicing, Script, said, talk
from tests.speak.tones import ToneSpeaker

import mooer.infer
import mooer.infer.speaking
import mooer.speak
from mooer.audio.wave import read_wave, write_wave
from mooer.cli.main import COMMANDS, main

SEGMENTS = [
    said(1.0, 3.0, "大家好", "hello all of you"),
    said(6.0, 8.0, "很晚了", "it is late"),
]


class Loaded:
    """Stands in for `infer.Model`."""

    translates = True

    def __init__(self, segments):
        self.recognizer = Script(segments)


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setitem(COMMANDS, "interpret", ("mooer.cli.interpret:interpret", "Speak it."))


@pytest.fixture
def asked(monkeypatch):
    """What is loaded, by name."""
    found = {"voicing": HummingVoicing(), "segments": SEGMENTS}

    def load(name, **options):
        found["model"], found["options"] = name, options
        return Loaded(found["segments"])

    def load_speaker(name, **_):
        found["speaker"] = name
        return ToneSpeaker()

    def voicing_in(speaker, language, voice, *, live, hear):
        real_voicing_in(speaker, language, voice, live=live, hear=hear)
        return found["voicing"]

    real_voicing_in = mooer.infer.speaking.voicing_in
    monkeypatch.setattr(mooer.infer, "load", load)
    monkeypatch.setattr(mooer.speak, "load_speaker", load_speaker)
    monkeypatch.setattr(mooer.infer.speaking, "voicing_in", voicing_in)
    return found


@pytest.fixture
def clip(tmp_path):
    write_wave(tmp_path / "talk.wav", talk(10.0, (1.0, 3.0), (6.0, 8.0)))
    return tmp_path / "talk.wav"


def run(*arguments):
    return main(["interpret", *map(str, arguments)])


def loud(path, start_s, end_s):
    samples = read_wave(path)[round(start_s * 16_000) : round(end_s * 16_000)]
    return float(np.abs(samples).mean())


def test_a_file_with_subtitles_beside_it(clip, tmp_path, asked, capsys):
    out = tmp_path / "talk.en.wav"
    assert run(clip, "-o", out, "--format", "srt,vtt") == 0
    captured = capsys.readouterr()
    assert captured.out == "hello all of you\nit is late\n"
    assert "model: mini" in captured.err
    assert asked["model"] == "mini"
    assert len(read_wave(out)) == 160_000
    assert loud(out, 1.1, 2.5) == pytest.approx(0.3, rel=0.01)
    assert loud(out, 3.0, 5.9) < 1e-3
    srt = (tmp_path / "talk.en.srt").read_text()
    assert "00:00:01,000 --> 00:00:02,600\nhello all of you" in srt
    assert (tmp_path / "talk.en.vtt").exists()
    assert run(clip, "-o", out, "--format", "srt,vtt") == 0
    assert "1 of 1 are there already" in capsys.readouterr().err


def test_behind_its_sentence_in_both_languages_under_another_name(clip, tmp_path, asked, capsys):
    srt = tmp_path / "both.srt"
    arguments = ("-o", tmp_path / "o.mp3", "--srt", srt, "--bilingual", "--align", "end")
    assert run(clip, *arguments, "--under", "-18") == 0
    assert capsys.readouterr().out == "大家好\nhello all of you\n很晚了\nit is late\n"
    assert "00:00:03,000 --> 00:00:04,600\n大家好\nhello all of you" in srt.read_text()
    assert loud(tmp_path / "o.mp3", 1.2, 2.8) > 0.05  # the original


def test_several_go_to_a_folder_and_one_that_fails_stops_none(clip, tmp_path, asked, capsys):
    (tmp_path / "bad.wav").write_text("no sound")
    out = tmp_path / "spoken"
    assert run(tmp_path / "bad.wav", clip, "-o", out, "--sound", "flac") == 1
    captured = capsys.readouterr()
    assert "== talk\nhello all of you" in captured.out
    assert "1 of 2 inputs failed:" in captured.err
    assert [one.name for one in out.iterdir()] == ["talk.flac"]


def test_json(clip, tmp_path, asked, capsys):
    assert run(clip, "-o", tmp_path / "o.wav", "--json", "-q") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "mooer.interpretation/1"
    assert (found["to"], found["duration_s"], found["warnings"]) == ("en", 10.0, [])
    first, _ = found["sentences"]
    assert first["translation"] == "hello all of you"
    assert (first["heard_start_s"], first["heard_end_s"], first["lag_s"]) == (1.0, 2.6, -2.0)
    assert first["outcome"] == "spoken"


def test_ctrl_c_leaves_what_was_spoken(clip, tmp_path, asked, capsys):
    class Interrupted(HummingVoicing):
        def voice(self, pieces, **options):
            if self.asked:
                raise KeyboardInterrupt
            return super().voice(pieces, **options)

    asked["voicing"] = Interrupted()
    assert run(clip, "-o", tmp_path / "o.wav", "--format", "srt") == 130
    assert "o.part.wav holds the first 6 s" in capsys.readouterr().err
    assert len(read_wave(tmp_path / "o.part.wav")) == pytest.approx(96_000, abs=100)
    assert "hello all of you" in (tmp_path / "o.part.srt").read_text()
    assert not (tmp_path / "o.wav").exists()


def test_silence(tmp_path, asked, capsys):
    write_wave(tmp_path / "nothing.wav", np.zeros(48_000, np.float32))
    asked["segments"] = []
    assert run(tmp_path / "nothing.wav", "-o", tmp_path / "o.wav") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no speech was found" in captured.err
    assert len(read_wave(tmp_path / "o.wav")) == 48_000


def test_chinese_is_spoken_by_the_model_that_translates_into_it(clip, tmp_path, asked):
    assert run(clip, "--to", "Chinese", "-o", tmp_path / "o.wav", "-q") == 0
    assert asked["model"] == "whisper-base"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], "-o talk.en.wav"),
        (["-o", "x.docx"], "suffix"),
        (["-o", "o.wav", "--to", "klingon"], "klingon"),
        (["-o", "o.wav", "--language", "ja", "--to", "zh"], "cannot translate"),
        (["-o", "o.wav", "--voice", "nobody"], "unknown voice 'nobody'"),
        (["-o", "o.wav", "--align", "middle"], "--align"),
        (["-o", "o.wav", "--under", "6"], "-18"),
        (["-o", "o.wav", "--speed", "9"], "0.5 to 2"),
        (["-o", "o.wav", "--srt", "x.txt"], "--srt"),
        (["-o", "folder/", "--sound", "midi"], "--sound"),
        (["-o", "o.wav", "--format", "doc"], "doc"),
        (["-o", "o.wav", "--device", "2"], "--live"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_heard(
    clip, tmp_path, asked, capsys, monkeypatch, arguments, why
):
    monkeypatch.chdir(tmp_path)
    assert run(clip, *arguments) == 2
    assert why in capsys.readouterr().err
    assert "model" not in asked


def test_nothing_is_written_over_itself(clip, asked, capsys):
    assert run(clip, "-o", clip, "--force") == 2
    assert "over itself" in capsys.readouterr().err


def test_two_do_not_go_into_one(clip, tmp_path, asked, capsys):
    write_wave(tmp_path / "other.wav", talk(2.0))
    assert run(clip, tmp_path / "other.wav", "-o", tmp_path / "o.wav") == 2
    assert "name a folder" in capsys.readouterr().err
