"""`mooer talk` as a person uses it, with a session whose manners are known and a scripted card."""

import io
import json
import os
import queue
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from tests.agent.parrot import Parrot, tone

from mooer.agent.events import (
    AnswerSound,
    AnswerStarted,
    BackChannel,
    Failed,
    Flush,
    Remembered,
    Source,
    Sourced,
    TurnEnded,
    TurnReopened,
    UserStarted,
    UserText,
    Waterfall,
)
from mooer.agent.options import AgentOptions
from mooer.audio.wave import write_wave
from mooer.cli import agent_parts, conversing, keys
from mooer.cli import main as command_line
from mooer.cli.agent_parts import Agent
from mooer.cli.conversing import Conversation, Ends, hold
from mooer.cli.keys import END, INTERRUPT
from mooer.cli.main import main
from mooer.cli.sound_card import Loudspeaker, Unheard
from mooer.cli.talk_view import JsonLines, Lines, Terminal
from mooer.errors import AudioError, ModelError


@pytest.fixture(autouse=True)
def commands(monkeypatch):
    monkeypatch.setitem(command_line.COMMANDS, "talk", ("mooer.cli.talk:talk", ""))


@pytest.fixture
def opened(monkeypatch):
    """What was asked for, and the session that was given."""
    found = SimpleNamespace(manners={"think_s": 0.1, "silence_s": 0.2, "answer_s": 0.5})

    def open_agent(wanted):
        found.wanted = wanted

        def open_session(options, jobs):
            found.session, found.jobs = Parrot(**found.manners), jobs
            return found.session

        return Agent("parrot", AgentOptions(), open_session, found.manners.pop("greeting", ""))

    monkeypatch.setattr(agent_parts, "open_agent", open_agent)
    return found


def run(*arguments):
    return main(["talk", *map(str, arguments)])


class Card:
    """Stands in for sounddevice: a microphone that gives `sound`, a loudspeaker that pulls."""

    class PortAudioError(Exception):
        pass

    def __init__(self, sound=None, *, rate_hz=16_000, missing="", busy="", dies_after=None):
        self.sound = np.zeros(0, "f4") if sound is None else sound
        self.rate_hz, self.missing, self.busy = rate_hz, missing, busy
        self.dies_after = dies_after
        self.heard = []

    def query_devices(self, device=None, kind=None):
        if kind == self.missing:
            raise ValueError("No device")
        found = {
            "name": f"Desk {kind or 'both'}",
            "default_samplerate": float(self.rate_hz),
            "max_output_channels": 2,
            "max_input_channels": 1,
        }
        return found if kind else [found]

    def _stream(self, kind, callback, blocksize, **options):
        if self.busy == kind:
            raise self.PortAudioError("Device unavailable")
        return Stream(self, kind, callback, blocksize)

    def InputStream(self, **options):  # noqa: N802
        return self._stream("input", **options)

    def OutputStream(self, **options):  # noqa: N802
        return self._stream("output", **options)


class Stream:
    def __init__(self, card, kind, callback, blocksize):
        self.card, self.kind, self.callback, self.size = card, kind, callback, blocksize
        self.active = False

    def start(self):
        self.active = True
        threading.Thread(target=getattr(self, f"_{self.kind}"), daemon=True).start()

    def _input(self):
        sound = self.card.sound
        place = 0
        while self.active:
            block = np.zeros((self.size, 1), np.float32)
            part = sound[place : place + self.size]
            block[: len(part), 0] = part
            self.callback(block, self.size, None, None)
            place += self.size
            time.sleep(self.size / self.card.rate_hz)
            if self.card.dies_after is not None and place > self.card.dies_after:
                self.active = False

    def _output(self):
        while self.active:
            block = np.zeros((self.size, 2), np.float32)
            self.callback(block, self.size, None, None)
            self.card.heard.append(block[:, 0].copy())
            time.sleep(self.size / self.card.rate_hz)

    def abort(self):
        self.active = False

    def close(self):
        self.active = False

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *reason):
        self.close()


def with_card(monkeypatch, card):
    monkeypatch.setitem(sys.modules, "sounddevice", card)
    return card


def press_ctrl_c(after_s):
    threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_a_spoken_turn_is_answered_by_the_sound_card_and_recorded(
    opened, monkeypatch, tmp_path, capsys
):
    sound = np.concatenate([np.zeros(3200, "f4"), tone(0.4)])
    card = with_card(monkeypatch, Card(sound))
    press_ctrl_c(2.2)
    assert run("--record", tmp_path / "talk") == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert lines[0] == "you: hello there"
    assert "agent: so it is" in lines
    assert any(" s = vad" in line for line in lines)  # where the time went
    assert "listening to Desk input, speaking by Desk output; ctrl-C ends it" in captured.err
    assert np.abs(np.concatenate(card.heard)).max() > 0.1
    assert opened.session.is_closed
    assert opened.session.reports[-1] == (1, 12_000)  # all of the answer, to the sample
    assert {path.name for path in (tmp_path / "talk").iterdir()} >= {
        "conversation.wav",
        "transcript.json",
        "transcript.txt",
        "events.jsonl",
        "waterfall.json",
    }


def test_typed_lines_are_turns_and_wait_for_each_other(opened, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("how are you\nand now\n"))
    assert run("--text", "--mute") == 0
    assert opened.session.said == ["how are you", "and now"]
    assert opened.wanted.changes == (("echo", "text"), ("speaks", False))
    out = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert out == ["you: how are you", "agent: so it is", "you: and now", "agent: so it is"]


def test_a_recording_is_heard_at_the_speed_of_life(opened, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mooer.cli.talk._TAIL_S", 0.3)
    write_wave(tmp_path / "a.wav", tone(0.4))
    assert run("--file", tmp_path / "a.wav", "--mute", "--json") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [e["event"] for e in events][:3] == ["user_started", "user_stopped", "turn_ended"]
    assert events[-1]["event"] == "remembered"
    assert opened.jobs is None  # threads, not virtual time


def test_a_recording_may_be_heard_faster_than_life(opened, tmp_path, capsys):
    write_wave(tmp_path / "a.wav", tone(0.4))
    assert run("--file", tmp_path / "a.wav", "--fast", "--record", tmp_path / "out") == 0
    assert "agent: so it is" in capsys.readouterr().out
    assert opened.jobs is not None
    assert (tmp_path / "out" / "conversation.wav").exists()


def test_what_was_asked_for_is_handed_on(opened, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    arguments = ["--mind", "mini", "--speaker", "espeak", "--voice", "a:0.5+b:0.5", "--tools"]
    more = ["--language", "zh", "--knowledge", tmp_path, "--persona", tmp_path / "a.yaml"]
    assert run("--text", "--mute", *arguments, *more) == 0
    wanted = opened.wanted
    assert (wanted.mind, wanted.speaker, wanted.tools) == ("mini", "espeak", True)
    assert (wanted.voice, wanted.language) == ("a:0.5+b:0.5", "zh")
    assert (wanted.knowledge, wanted.persona) == (tmp_path, tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--text", "--file", "a.wav"], "give one of them"),
        (["--fast"], "name one by --file"),
        (["--text", "--device", "1"], "--device is a microphone"),
        (["--file", "nothing.wav"], "no such file: 'nothing.wav'"),
    ],
)
def test_options_that_contradict_each_other_are_named(opened, capsys, arguments, said):
    assert run(*arguments) == 2
    assert said in capsys.readouterr().err
    assert not hasattr(opened, "wanted")


@pytest.mark.parametrize(
    ("card", "arguments", "said"),
    [
        (Card(missing="input"), [], "no microphone was found"),
        (Card(missing="output"), [], "no loudspeaker was found"),
        (Card(missing="output"), ["--text"], "add --mute"),
        (Card(busy="input"), [], "allow this one to use it"),
        (Card(busy="output"), [], "the loudspeaker Desk output cannot be opened"),
        (Card(dies_after=2000), [], "the microphone Desk input gives no sound any more"),
        (None, [], "sounddevice is not installed: pip install 'mooer[listen]'"),
    ],
)
def test_what_is_amiss_with_the_sound_card_is_one_sentence(
    opened, monkeypatch, capsys, card, arguments, said
):
    with_card(monkeypatch, card)
    assert run(*arguments) == 1
    err = capsys.readouterr().err
    assert said in err
    assert err.count("error:") == 1


def test_devices_are_listed(opened, monkeypatch, capsys):
    with_card(monkeypatch, Card())
    assert run("--list-devices") == 0
    assert capsys.readouterr().out == "  0  Desk both  (microphone, loudspeaker, 16000 Hz)\n"


def test_weights_that_cannot_be_had_leave_the_card_alone(monkeypatch, capsys):
    def fail(wanted):
        raise ModelError("no such mind")

    with_card(monkeypatch, Card())
    monkeypatch.setattr(agent_parts, "open_agent", fail)
    assert run() == 1
    assert "no such mind" in capsys.readouterr().err


# --- parts ----------------------------------------------------------------------------------------


class Script:
    """A feed of blocks that are there already."""

    def __init__(self, *blocks):
        self._blocks = list(blocks)
        self.is_over = False

    def get(self, timeout_s):
        if not self._blocks:
            self.is_over = True
            return None
        return self._blocks.pop(0)


class Typing:
    def __init__(self, *found):
        self._found = list(found)

    def get(self):
        return self._found.pop(0) if self._found else None


def test_a_key_stops_the_sound_at_once(capsys):
    session, ear = Parrot(think_s=0.0, silence_s=0.1, answer_s=5.0), Unheard()
    talk = Conversation(session, ear, Lines())
    quiet = np.zeros(1600, "f4")
    hold(talk, Script(tone(0.4), *[quiet] * 5), 16_000, threading.Event())
    assert ear.playout.is_playing
    hold(talk, Script(quiet), 16_000, threading.Event(), typed=Typing(INTERRUPT))
    assert not ear.playout.is_playing


def test_a_microphone_of_another_rate_is_resampled():
    session = Parrot()
    talk = Conversation(session, Unheard(), JsonLines())
    hold(talk, Script(*[tone(0.5, 48_000)] * 4), 48_000, threading.Event())
    assert session.time_s == pytest.approx(2.0, abs=0.05)


def test_it_ends_when_nothing_is_to_come():
    talk = Conversation(Parrot(), Unheard(), JsonLines())
    feed = Script(*[np.zeros(1600, "f4")] * 100)
    hold(talk, feed, 16_000, threading.Event(), typed=Typing(END), ends=Ends(tail_s=0.5))
    assert talk.quiet_s == pytest.approx(0.5, abs=0.11)
    over = threading.Event()
    hold(talk, feed, 16_000, threading.Event(), ends=Ends(tail_s=0.5, after=over))
    assert feed.is_over  # the recording was not


def test_a_microphone_that_gives_exact_zeros_is_told_once(caplog):
    zeros = [np.zeros(16_000, "f4")] * 12
    hold(Conversation(Parrot(), Unheard(), Lines()), Script(*zeros), 16_000, threading.Event())
    assert not caplog.records
    talk = Conversation(Parrot(), Unheard(), Lines(), is_microphone=True)
    hold(talk, Script(*zeros), 16_000, threading.Event())
    [record] = caplog.records
    assert record.message.startswith("the microphone gives")


def test_what_was_heard_is_beside_what_was_said(monkeypatch):
    with_card(monkeypatch, Card(rate_hz=48_000))
    speaker = Loudspeaker(instead="mute")
    speaker.playout.take(AnswerSound(0.0, 1, tone(0.5, 48_000), 48_000, 0, ""))
    for _ in range(60):
        out = np.zeros((480, 2), np.float32)
        speaker._play(out, 480, None, None)
    np.testing.assert_array_equal(out[:, 0], out[:, 1])
    heard = speaker.heard(3200)
    assert len(heard) == 3200
    assert np.abs(heard).max() > 0.1
    assert len(speaker.heard(16_000)) == 16_000  # what is not there is silence
    for _ in range(200):
        speaker._play(np.zeros((480, 2), np.float32), 480, None, None)
    speaker.heard(160)
    assert len(speaker._ready) <= 3200  # the clocks differ: no more is held


def test_a_loudspeaker_that_goes_is_told(monkeypatch):
    with_card(monkeypatch, Card())
    with Loudspeaker(instead="mute") as speaker:
        speaker.heard(10)
        speaker._stream.active = False
        with pytest.raises(AudioError, match="the loudspeaker Desk output is gone"):
            speaker.heard(10)


def test_keys_and_lines_are_told_apart(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a \x1bq"))
    assert list(keys.typed_keys()) == [INTERRUPT, INTERRUPT]
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello \n\nyou\n"))
    assert list(keys.typed_lines()) == ["hello", INTERRUPT, "you"]
    with keys.single_keys() as has_keys:
        assert not has_keys  # it is no terminal
    typed, found = keys.Typed(lambda: iter(["a"])), queue.Queue()
    deadline = time.monotonic() + 5
    while found.qsize() < 2 and time.monotonic() < deadline:
        if (one := typed.get()) is not None:
            found.put(one)
    assert [found.get(), found.get()] == ["a", END]


STORY = [
    UserStarted(0.1),
    UserText(0.5, "how"),
    TurnEnded(1.0, 1, "how hot", "en"),
    TurnReopened(1.1, 1),
    TurnEnded(2.0, 1, "how hot is tea", "en"),
    AnswerStarted(2.1, 1, 1),
    Sourced(2.1, 1, (Source("tea.md", "hot"), Source("tea.md", "hotter"))),
    AnswerSound(2.5, 1, np.zeros(9, "f4"), 24_000, 0, "Very hot."),
    Waterfall(2.5, 1, {"speech_end": 1.8, "vad": 2.0}),
    Waterfall(2.6, 1, {"speech_end": 1.8, "vad": 2.0, "played": 2.6}),
    Waterfall(2.7, 1, {"speech_end": 1.8, "vad": 2.0, "played": 2.6}),
    BackChannel(3.0, "mm-hm"),
    Flush(3.5, 1),
    Remembered(3.6, 1, "Very", 5, False),
    Failed(4.0, "speak", "the speaker is gone"),
]
SHOWN = [
    "you: how hot is tea",
    "from tea.md",
    "0.80 s = vad 0.20 + played 0.60",
    "you: mm-hm (the answer goes on)",
    "agent: Very —",
]


def test_turns_are_shown_when_they_stand(capsys):
    with Lines() as view:
        for event in STORY:
            view.show(event)
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert sorted(shown) == sorted(SHOWN)
    assert shown[-1] == SHOWN[-1]


def test_a_terminal_shows_the_state_below(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal() as view:
        monkeypatch.setattr(view._console, "_force_terminal", True)
        for event in STORY:
            view.show(event)
    for line in SHOWN:
        assert line in screen.getvalue()


def test_every_event_is_a_line_of_json(capsys):
    with JsonLines() as view:
        for event in STORY:
            view.show(event)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == len(STORY)
    assert rows[7]["num_samples"] == 9


def test_silence_lasts_as_long_as_it_takes(monkeypatch):
    blocks = conversing.silence()
    began = time.monotonic()
    for _ in range(5):
        assert not next(blocks).any()
    assert time.monotonic() - began >= 0.09
    over = threading.Event()
    found = conversing.then_silence((block for block in [np.ones(3)]), over)
    assert next(found).all()
    assert not over.is_set()
    assert not next(found).any()
    assert over.is_set()
