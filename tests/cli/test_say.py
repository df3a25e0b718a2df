import io
import json
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from tests.speak.tones import ToneSpeaker

from mooer.audio.wave import read_wave
from mooer.cli import main as command_line
from mooer.cli.loudspeaker import Loudspeaker, find_output
from mooer.cli.main import main
from mooer.speak import SPEAKERS

TEXT = "Good morning to you. 今天天气很好，我们去公园。 It is **3.5** degrees."


@pytest.fixture(autouse=True)
def tones(monkeypatch):
    """The only speaker there is hums, and needs no weights."""
    monkeypatch.setitem(command_line.COMMANDS, "say", ("mooer.cli.say:say", "Say a text."))
    monkeypatch.setitem(SPEAKERS._rows, "tones", "tests.speak.tones:ToneSpeaker")
    made = []

    def make(self, num_threads):
        self.said = []
        made.append(self)

    monkeypatch.setattr(ToneSpeaker, "__init__", make)
    return made


def say(*arguments):
    return main(["say", "-m", "tones", *map(str, arguments)])


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "opus", "ogg", "aac"])
def test_a_text_becomes_a_file(tmp_path, suffix, capsys):
    out = tmp_path / f"a.{suffix}"
    assert say(TEXT, "-o", out) == 0
    seconds = len(read_wave(out)) / 16_000
    assert 5.0 < seconds < 8.0
    assert f"{out}: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [out]


def test_a_wav_file_tells_its_length(tmp_path):
    out = tmp_path / "a.wav"
    assert say("Good morning.", "-o", out) == 0
    data = out.read_bytes()
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    assert (
        int.from_bytes(data[40:44], "little") == len(data) - 44 == 2 * int(2.4 * 13 / 24 * 24_000)
    )


def test_options_reach_the_speaker(tmp_path, tones):
    assert (
        say(
            "5 and more.",
            "-o",
            tmp_path / "a.wav",
            "--voice",
            "low:1+high:3",
            "--speed",
            1.2,
            "--language",
            "Chinese",
        )
        == 0
    )
    assert tones[0].said == [("5 and more.", "zh", "low:0.25+high:0.75", 1.2)]


def test_words_and_report(tmp_path, capsys):
    words, out = tmp_path / "a.json", tmp_path / "a.wav"
    assert say(TEXT, "-o", out, "--words", words, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert "".join(clause["text"] for clause in report["clauses"]) == TEXT
    assert report["seconds"] == pytest.approx(len(read_wave(out)) / 16_000, abs=0.01)
    assert report["clauses"][-1]["end_s"] == report["seconds"]
    told = json.loads(words.read_text("utf-8"))
    assert told["segments"][0]["text"] == "Good morning to you."
    times = [word["start_s"] for segment in told["segments"] for word in segment["words"]]
    assert times == sorted(times)
    assert len(times) == 4 + 11 + 4
    assert say(TEXT, "-o", out, "--words", tmp_path / "a.srt") == 0
    assert "-->" in (tmp_path / "a.srt").read_text("utf-8")


def test_a_file_and_standard_input(tmp_path, monkeypatch, tones):
    text = tmp_path / "a.txt"
    text.write_bytes(b"\xef\xbb\xbfFirst line here.\nSecond line here.\n\xff")
    assert say("--file", text, "-o", tmp_path / "a.wav") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("First line here.\nSecond line here.\n"))
    assert say("--file", "-", "-o", tmp_path / "b.wav") == 0
    lines = ["First line here.", "Second line here."]
    assert [[said[0] for said in speaker.said] for speaker in tones] == [lines, lines]


def test_standard_output_can_be_piped_on(tmp_path, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    assert say("Good morning.", "-o", "-") == 0
    assert len(read_wave(out.buffer.getvalue())) == pytest.approx(1.3 * 16_000, abs=10)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "give the text itself"),
        (("hi", "--file", "x"), 2, "give the text itself"),
        (("--file", "nowhere.txt", "-o", "a.wav"), 2, "no such file: 'nowhere.txt'"),
        (("hi", "-o", "a.doc"), 2, "cannot tell the format"),
        (("hi", "-o", "a.wav", "--words", "a.doc"), 2, "unknown format 'doc'"),
        (("hi", "-o", "-", "--json"), 2, "standard output"),
        (("hi", "-o", "a.wav", "--voice", "a:x"), 2, "is no voice"),
        (("hi", "-o", "a.wav", "--language", "Elvish"), 2, "Elvish"),
        (("😀!", "-o", "a.wav"), 1, "nothing to say"),
        (("hi", "-o", "no/such/folder/a.wav"), 1, "cannot write"),
    ],
)
def test_what_is_wrong_is_told_in_one_sentence(
    tmp_path, monkeypatch, capsys, arguments, code, message
):
    monkeypatch.chdir(tmp_path)
    assert say(*arguments) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("error:") == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_model_and_the_voices_of_one(capsys):
    assert main(["say", "hi", "-o", "a.wav", "-m", "tone"]) == 2
    assert "did you mean tones?" in capsys.readouterr().err
    assert say("--voices") == 0
    assert capsys.readouterr().out.split() == ["low", "mid", "high"]


def test_interrupted_it_leaves_what_was_said(tmp_path, monkeypatch):
    speak = ToneSpeaker.speak

    def slow(self, text, *rest, **options):
        if len(self.said) == 2:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
            time.sleep(5)
        return speak(self, text, *rest, **options)

    monkeypatch.setattr(ToneSpeaker, "speak", slow)
    out, words = tmp_path / "a.mp3", tmp_path / "a.txt"
    text = "This is one sentence. " * 5
    assert say(text, "-o", out, "--words", words) == 130
    said_s = 2.1 + 0.3 + 2.1
    assert len(read_wave(out)) / 16_000 == pytest.approx(said_s, abs=0.15)
    assert words.read_text("utf-8").count("This is one sentence.") == 2


def test_verified(tmp_path, monkeypatch, capsys):
    heard = iter(["good evening", "Good morning."])

    class Model:
        def transcribe(self, samples, *, rate_hz, language):
            assert (rate_hz, language) == (24_000, "en")
            return type("Transcript", (), {"text": next(heard)})

    monkeypatch.setattr("mooer.infer.load", lambda name, num_threads: Model())
    assert say("Good morning.", "-o", tmp_path / "a.wav", "--verify", "--json") == 0
    [clause] = json.loads(capsys.readouterr().out)["clauses"]
    assert (clause["heard"], clause["error_rate"], clause["num_takes"]) == ("Good morning.", 0.0, 2)


# --- the sound card ------------------------------------------------------------------------------


class SoundCard:
    """Stands in for sounddevice: takes samples from the callback in a thread of its own."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, error=None, open_error=None):
        self._error, self._open_error = error, open_error
        self.played = []
        self.ended = ""

    def query_devices(self, device, kind):
        assert kind == "output"
        if self._error:
            raise self._error
        return {"default_samplerate": 48_000.0, "name": "Desk"}

    def OutputStream(self, *, samplerate, device, channels, dtype, callback):  # noqa: N802
        if self._open_error:
            raise self._open_error
        assert (samplerate, channels, dtype) == (48_000, 1, "float32")
        self.device = device
        card, running = self, threading.Event()

        def run():
            while running.is_set():
                out = np.full((4_800, 1), np.nan, np.float32)
                callback(out, len(out), None, None)
                card.played.append(out[:, 0])
                time.sleep(0.001)

        class Stream:
            thread = threading.Thread(target=run)

            def start(self):
                running.set()
                self.thread.start()

            def _end(self, how):
                running.clear()
                self.thread.join()
                card.ended += how

            def stop(self):
                self._end("stopped ")

            def abort(self):
                self._end("aborted ")

            def close(self):
                card.ended += "closed"

        return Stream()


def test_without_a_file_it_is_played_to_the_end(monkeypatch, capsys):
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert say("Good morning to you. And good night.", "--device", "3") == 0
    played = np.concatenate(card.played)
    assert np.isfinite(played).all()
    loud = np.flatnonzero(np.abs(played) > 0.01)
    assert (loud[-1] - loud[0]) / 48_000 >= 2.0 + 0.3 + 1.5 - 0.01
    assert card.ended == "stopped closed"
    assert card.device == 3
    assert "played: 3.8 s" in capsys.readouterr().err


def test_what_waits_to_be_played_is_bounded(monkeypatch):
    monkeypatch.setattr("mooer.cli.loudspeaker._MOST_WAITING_S", 1.0)
    monkeypatch.setattr("mooer.cli.loudspeaker._POLL_S", 0.001)
    waiting = []
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    speaker = Loudspeaker(find_output(), 24_000)
    with speaker:
        for _ in range(5):
            speaker.play(np.full(24_000, 0.5, np.float32))
            waiting.append(sum(map(len, speaker._held)))
    assert max(waiting) <= 2 * 48_000
    assert (np.concatenate(card.played) > 0.4).sum() == pytest.approx(5 * 48_000, rel=0.01)


def test_ctrl_c_stops_the_sound_at_once(monkeypatch):
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)

    def interrupted(self, *rest, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(ToneSpeaker, "speak", interrupted)
    assert say("Good morning.") == 130
    assert card.ended == "aborted closed"


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (None, "sounddevice is not installed: pip install 'mooer[listen]', or write a file by -o"),
        (SoundCard(error=ValueError("No output device")), "no loudspeaker was found"),
        (SoundCard(open_error=SoundCard.PortAudioError("busy")), "cannot be opened (busy)"),
    ],
)
def test_without_a_sound_card_one_sentence_says_what_to_do(monkeypatch, capsys, card, said):
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert say("Good morning.") == 1
    err = capsys.readouterr().err
    assert said in err
    assert "-o speech.wav" in err
    assert err.count("error:") == 1
