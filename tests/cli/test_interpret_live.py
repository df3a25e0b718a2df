"""`mooer interpret --live`, over a script, a voice that hums and a sound card that is none."""

import json
import os
import signal
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from tests.infer.interpreters import HummingVoicing
from tests.infer.streams import ScriptEar, open_session, sound, talk
from tests.speak.tones import ToneSpeaker

import mooer.infer
import mooer.infer.interpreting
import mooer.infer.speaking
import mooer.speak
from mooer.audio.wave import read_wave, write_wave
from mooer.cli import feed as feeding
from mooer.cli.main import COMMANDS, main
from mooer.infer.interpret import MAX_SPEED
from mooer.infer.interpreting import LiveInterpreter

SCRIPT = talk("good day to all.") + talk("it is late", 3.0)
SOUND = sound(5.0, (0.5, 2.1), (3.0, 4.2))


def in_capitals(_chunk, segment):
    return replace(segment, translation=segment.text.upper())


class SoundCard:
    """Stands in for sounddevice: its loudspeaker takes 10 ms whenever `beat` is called."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, error=None, open_error=None):
        self._error, self._open_error = error, open_error
        self.played = []
        self.is_closed = False

    def query_devices(self, device, kind):
        if self._error:
            raise self._error
        return {"default_samplerate": 24_000.0, "name": "Desk"}

    def OutputStream(self, *, samplerate, device, channels, dtype, callback):  # noqa: N802
        if self._open_error:
            raise self._open_error
        self._callback = callback
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        return self

    def start(self):
        self._thread.start()

    def beat(self, num=240):
        out = np.ones((num, 1), np.float32)
        self._callback(out, num, None, None)
        self.played.append(out[:, 0])

    def stop(self):
        self._ended.set()

    def close(self):
        self._ended.set()
        self._thread.join(5)
        self.is_closed = True

    def _run(self):
        while not self._ended.wait(0.0005):
            self.beat()


@pytest.fixture(autouse=True)
def parts(monkeypatch):
    monkeypatch.setitem(COMMANDS, "interpret", ("mooer.cli.interpret:interpret", "Speak it."))
    found = {}

    def load(name, **_):
        found["model"] = name

    def interpret_live(model, voicing, recognize, options):
        found["options"], found["to"] = options, recognize.to
        return LiveInterpreter(
            lambda instead: open_session(ScriptEar(SCRIPT), translate=instead(in_capitals)),
            voicing,
            "zh",
            options,
        )

    monkeypatch.setattr(mooer.infer, "load", load)
    monkeypatch.setattr(mooer.infer.interpreting, "interpret_live", interpret_live)
    monkeypatch.setattr(mooer.speak, "load_speaker", lambda *_, **__: ToneSpeaker())
    monkeypatch.setattr(
        mooer.infer.speaking,
        "voicing_in",
        lambda *_, live, hear: HummingVoicing() if live else None,
    )
    monkeypatch.setattr(feeding, "paced", lambda blocks, speed: blocks)  # nobody waits
    return found


@pytest.fixture
def clip(tmp_path):
    write_wave(tmp_path / "talk.wav", SOUND)
    return tmp_path / "talk.wav"


def run(*arguments):
    return main(["interpret", "--live", "--to", "zh", *map(str, arguments)])


def test_a_file_is_interpreted_into_a_file(clip, tmp_path, parts, capsys):
    out = tmp_path / "o.wav"
    assert run(clip, "-o", out, "--under", "-20") == 0
    captured = capsys.readouterr()
    assert captured.out == "GOOD DAY TO ALL.\nIT IS LATE\n"
    assert "o.wav is written" in captured.err
    assert parts["options"].place.align == "end"
    assert parts["model"] == "whisper-base"
    samples = read_wave(out)
    assert len(samples) >= 5.0 * 16_000
    heard = np.abs(samples) > 0.2
    assert heard.sum() / 16_000 == pytest.approx(2.6, abs=0.5)
    assert not heard[: round(2.1 * 16_000)].any()  # not before its sentence was over


def test_json_tells_of_sound_by_its_times(clip, tmp_path, capsys):
    assert run(clip, "-o", tmp_path / "o.wav", "--json", "-q") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert {"partial", "final", "said", "translated", "voiced", "end_point"} == set(kinds)
    first = next(event for event in events if event["event"] == "voiced")
    assert first["text"] == "GOOD DAY TO ALL."
    sound_s = first["end_s"] - first["start_s"]  # a busy machine falls behind, and speaks faster
    assert 1.6 / MAX_SPEED - 0.01 < sound_s < 1.61
    assert first["lag_s"] > 0


def test_it_is_heard_from_the_loudspeaker(clip, monkeypatch, capsys):
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert run(clip, "--bilingual") == 0
    assert capsys.readouterr().out == "good day to all.\nGOOD DAY TO ALL.\nit is late\nIT IS LATE\n"
    played = np.concatenate(card.played)
    sound_s = (played > 0.2).sum() / 24_000  # a busy machine falls behind, and speaks faster
    assert 2.6 / MAX_SPEED - 0.02 < sound_s < 2.62
    assert card.is_closed


def test_ctrl_c_ends_a_stream_and_leaves_a_whole_file(clip, tmp_path, monkeypatch, capsys):
    def paced(blocks, speed):
        for i, block in enumerate(blocks):
            if i == 28:  # behind the first sentence
                os.kill(os.getpid(), signal.SIGINT)
            yield block

    monkeypatch.setattr(feeding, "paced", paced)
    assert run(clip, "-o", tmp_path / "o.wav") == 0
    assert capsys.readouterr().out.startswith("GOOD DAY TO ALL.\n")
    assert (tmp_path / "o.wav").exists()


def test_without_a_loudspeaker_nothing_is_loaded(clip, monkeypatch, parts, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run(clip) == 1
    assert "pip install 'mooer[listen]'" in capsys.readouterr().err
    card = SoundCard(error=ValueError("No output device"))
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert run(clip) == 1
    assert "write a file by -o" in capsys.readouterr().err
    assert "model" not in parts


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--srt", "x.srt"], "--srt is for recordings"),
        (["--device", "2", "-o", "o.wav"], "--device is a microphone"),
        (["other.wav"], "one recording"),
        (["-o", "o.txt"], "suffix"),
        (["--under", "-18"], "--under is for files"),
    ],
)
def test_what_makes_no_sense(clip, monkeypatch, tmp_path, capsys, arguments, why):
    monkeypatch.chdir(tmp_path)
    assert run(clip, *arguments) == 2
    assert why in capsys.readouterr().err


def test_without_an_input_and_not_live_one_is_asked_for(capsys):
    assert main(["interpret", "-o", "o.wav"]) == 2
    assert "--live" in capsys.readouterr().err
