"""`mooer listen` as a person types it, over scripted speech."""

import io
import json
import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tests.infer.streams import ScriptEar, open_session, sound, talk

import mooer.infer
from mooer.audio.wave import write_wave
from mooer.cli import feed as feeding
from mooer.cli.feed import Feed, paced
from mooer.cli.main import main
from mooer.errors import AudioError
from mooer.transcript import Transcript

SCRIPT = talk("good morning to all of you.") + talk("it is late", 4.5)
SOUND = sound(7.0, (0.5, 2.9), (4.5, 5.7))


@pytest.fixture
def asked(monkeypatch):
    """What `mooer.infer.listen` was asked for."""
    found = SimpleNamespace(ear=ScriptEar(SCRIPT))

    def listen(name, *, live, num_threads, parts, **options):
        found.model, found.live, found.options, found.parts = name, live, options, parts
        found.session = open_session(found.ear, live, **options)
        return found.session

    monkeypatch.setattr(mooer.infer, "listen", listen)
    return found


@pytest.fixture
def clip(tmp_path):
    write_wave(tmp_path / "talk.wav", SOUND)
    return tmp_path / "talk.wav"


def run(*arguments):
    return main(["listen", *map(str, arguments)])


def test_a_file_gives_a_line_a_sentence(clip, asked, capsys):
    assert run(clip, "--fast", "--language", "en") == 0
    assert capsys.readouterr().out == "good morning to all of you.\nit is late\n"
    assert asked.options["language"] == "en"
    assert not asked.live.adaptive
    assert asked.live.stall_s is None


def test_a_part_of_a_speech_llm_is_handed_on(clip, asked):
    assert run(clip, "--fast", "--model", "mini", "--part", "draft=ctc") == 0
    assert (asked.model, asked.parts) == ("mini", {"draft": "ctc"})


def test_json_is_an_event_a_line(clip, asked, capsys):
    assert run(clip, "--fast", "--json", "--words") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {e["event"] for e in events} == {"partial", "final", "said", "end_point"}
    words = [w["text"] for e in events if e["event"] == "final" for w in e["words"]]
    said = [w["text"] for e in events if e["event"] == "said" for w in e["segment"]["words"]]
    assert [w.strip() for w in words] == said
    assert next(e["text"] for e in events if e["event"] == "partial") == "good m"


def test_out_is_written_as_for_recordings(clip, asked, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(clip, "--fast", "--words", "--out", out, "--format", "json,srt") == 0
    transcript = Transcript.from_json((out / "talk.json").read_text())
    assert [s.text for s in transcript.segments] == ["good morning to all of you.", "it is late"]
    assert transcript.source == str(clip)
    assert "it is late" in (out / "talk.srt").read_text()
    assert run(clip, "--fast", "--out", out, "--format", "json,srt") == 0
    assert "is there already" in capsys.readouterr().err


def test_it_is_played_at_the_speed_that_is_asked_for(clip, asked, capsys):
    began = time.monotonic()
    assert run(clip, "--speed", "10") == 0
    assert 0.6 < time.monotonic() - began < 5
    assert capsys.readouterr().out.endswith("it is late\n")


def test_pacing_waits_for_what_is_not_spoken_yet_and_never_for_what_is():
    now = [0.0]
    waits = []

    def sleep(seconds):
        waits.append(round(seconds, 3))
        now[0] += seconds

    blocks = paced(iter([np.zeros(1600)] * 4), 2.0, clock=lambda: now[0], sleep=sleep)
    next(blocks)
    next(blocks)
    now[0] += 0.3  # the one who hears is slow
    next(blocks)
    next(blocks)
    assert waits == [0.05, 0.05]


def test_ctrl_c_ends_it_with_all_that_was_said(asked, tmp_path, clip, capsys):
    timer = threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    out = tmp_path / "out"
    try:
        assert run(clip, "--speed", "2", "--out", out, "--format", "json") == 0
    finally:
        timer.cancel()
    said = capsys.readouterr().out
    assert said.startswith("good morning")
    assert "late" not in said
    [written] = out.iterdir()
    assert Transcript.from_json(written.read_text()).text == said.strip()


def test_silence_says_that_there_was_no_speech(asked, tmp_path, capsys):
    write_wave(tmp_path / "quiet.wav", np.zeros(16_000, np.float32))
    assert run(tmp_path / "quiet.wav", "--fast") == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no speech was found" in captured.err


def stdin_of(monkeypatch, data):
    stream = io.TextIOWrapper(io.BytesIO(data))
    monkeypatch.setattr(sys, "stdin", stream)


def test_a_container_comes_from_standard_input(asked, clip, monkeypatch, capsys):
    stdin_of(monkeypatch, clip.read_bytes())
    assert run("-", "--fast") == 0
    assert capsys.readouterr().out.endswith("it is late\n")


def test_raw_samples_come_from_standard_input_at_their_rate(asked, monkeypatch, capsys):
    samples = np.repeat((SOUND * 32767).astype("<i2"), 2)
    stdin_of(monkeypatch, samples.tobytes() + b"\x00")  # it ends within a sample
    assert run("-", "--raw", "32000") == 0
    assert capsys.readouterr().out.endswith("it is late\n")
    assert asked.session.time_s == pytest.approx(7.0, abs=0.01)


def test_a_reader_that_fails_is_told_after_what_was_said(asked, clip, monkeypatch, capsys):
    def broken(wave, speed):
        wave.close()
        yield SOUND[: 16_000 * 3]
        raise AudioError("the cable was pulled")

    monkeypatch.setattr(feeding, "played", broken)
    assert run(clip) == 1
    captured = capsys.readouterr()
    assert captured.out.startswith("good morning")
    assert "error: the cable was pulled" in captured.err


def test_a_feed_tells_that_nothing_comes():
    gate = threading.Event()

    def blocks():
        gate.wait(5)
        yield np.ones(3)

    feed = Feed(blocks())
    assert feed.get(0.01) is None
    assert not feed.is_over
    gate.set()
    assert len(feed.get(5)) == 3
    assert feed.get(5) is None
    assert feed.is_over
    assert feed.get(5) is None


# --- the microphone ------------------------------------------------------------------------------


class SoundCard:
    """Stands in for sounddevice: plays SOUND at once into the callback."""

    class PortAudioError(Exception):
        pass

    def __init__(self, *, error=None, open_error=None):
        self._error, self._open_error = error, open_error

    def query_devices(self, device, kind):
        if self._error:
            raise self._error
        return {"default_samplerate": 48_000.0, "name": "Desk"}

    def InputStream(self, *, samplerate, blocksize, device, channels, dtype, callback):  # noqa: N802
        if self._open_error:
            raise self._open_error
        self.opened = (samplerate, device, channels, dtype)
        card = self

        class Stream:
            active = True

            def __enter__(self):
                samples = np.repeat(SOUND, 3)[:, None]
                for start in range(0, len(samples), blocksize):
                    callback(samples[start : start + blocksize], blocksize, None, None)
                threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
                return self

            def __exit__(self, *reason):
                card.is_closed = True

        return Stream()


def test_the_microphone_is_heard_at_its_own_rate(asked, monkeypatch, tmp_path, capsys):
    card = SoundCard()
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    out = tmp_path / "out"
    assert run("--device", "3", "--out", out) == 0
    captured = capsys.readouterr()
    assert captured.out == "good morning to all of you.\nit is late\n"
    assert "listening to Desk; ctrl-C ends it" in captured.err
    assert card.opened == (48_000, 3, 1, "float32")
    assert card.is_closed
    [written] = out.iterdir()
    assert written.name.startswith("microphone-2")


def test_without_the_package_the_extra_is_named(asked, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert run() == 1
    assert "sounddevice is not installed: pip install 'mooer[listen]'" in capsys.readouterr().err
    assert not hasattr(asked, "model")  # no weights were loaded for it


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (SoundCard(error=ValueError("No input device matching 'x'")), "no microphone was found"),
        (SoundCard(open_error=SoundCard.PortAudioError("busy")), "Desk cannot be read (busy)"),
    ],
)
def test_without_a_sound_card_one_sentence_says_so(asked, monkeypatch, capsys, card, said):
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    assert run() == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("error:") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.wav"], "no such file"),
        (["CLIP", "--format", "srt"], "add --out DIR, or take --json"),
        (["CLIP", "--raw", "16000"], "give - as the file"),
        (["CLIP", "--device", "1"], "leave it out"),
        (["CLIP", "--silence", "-1"], "a pause of"),
        (["CLIP", "--step", "0"], "step_s must be above 0"),
        (["CLIP", "--to", "klingon"], "klingon"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(asked, clip, capsys, arguments, said):
    assert run(*[clip if one == "CLIP" else one for one in arguments]) == 2
    assert said in capsys.readouterr().err
