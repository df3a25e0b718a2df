"""A conversation in a folder."""

import json
import sys
import wave

import numpy as np
import pytest
from tests.agent.parrot import Parrot, tone

from mooer.agent.duplex import Recorded, converse
from mooer.agent.events import (
    AnswerSound,
    Remembered,
    Source,
    Sourced,
    ToolCalled,
    TurnEnded,
    TurnReopened,
    UserStarted,
    UserStopped,
    Waterfall,
)
from mooer.agent.recorder import Recorder, Story, event_dict
from mooer.errors import OutputError
from mooer.transcript import Transcript


def hold(folder, session=None):
    user = Recorded([np.zeros(8000, "f4"), tone(1.0)], tail_s=1.0)
    with Recorder(folder, source="talk.wav", model="parrot") as recorder:
        for frame in converse(session or Parrot(), user):
            recorder.push(frame.user, frame.agent)
            recorder.note(frame.events)
            last_s = frame.time_s
    return last_s


def test_all_files_are_written_and_agree(tmp_path):
    pytest.importorskip("matplotlib")
    last_s = hold(tmp_path / "talk")
    with wave.open(str(tmp_path / "talk" / "conversation.wav")) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 16_000)
        assert file.getnframes() == pytest.approx(last_s * 16_000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    spoken = np.flatnonzero(np.abs(both[:, 0]) > 1000) / 16_000
    heard = np.flatnonzero(np.abs(both[:, 1]) > 1000) / 16_000
    assert spoken[-1] == pytest.approx(1.5, abs=0.01)
    assert heard[0] == pytest.approx(1.5 + 0.7, abs=0.06)
    transcript = Transcript.from_json((tmp_path / "talk" / "transcript.json").read_text())
    user, agent = transcript.segments
    assert (user.speaker, user.text, user.language) == ("user", "hello there", "en")
    assert (user.start_s, user.end_s) == (pytest.approx(0.5, abs=0.03), pytest.approx(1.5, 0.02))
    assert (agent.speaker, agent.text) == ("agent", "so it is")
    assert agent.start_s == pytest.approx(heard[0], abs=0.05)
    assert agent.end_s == pytest.approx(heard[-1], abs=0.05)
    assert "agent: so it is" in (tmp_path / "talk" / "transcript.txt").read_text()
    rows = (tmp_path / "talk" / "events.jsonl").read_text().splitlines()
    names = [json.loads(row)["event"] for row in rows]
    assert names[:2] == ["user_started", "user_stopped"]
    assert "waterfall" in names
    falls = json.loads((tmp_path / "talk" / "waterfall.json").read_text())
    assert falls["summary"]["voice_to_voice"]["num"] == 1
    assert (tmp_path / "talk" / "waterfall.png").stat().st_size > 1000


def test_a_turn_that_goes_on_is_told_once():
    story = Story()
    for event in (
        UserStarted(1.0),
        UserStopped(2.0),
        TurnEnded(2.2, 1, "Thank you.", "en"),
        TurnReopened(2.5, 1),
        UserStarted(2.4),
        UserStopped(4.0),
        TurnEnded(4.2, 1, "Thank you, and now?", "en"),
    ):
        story.add(event)
    (one,) = story.segments()
    assert (one.start_s, one.end_s, one.text) == (1.0, 4.0, "Thank you, and now?")


def test_without_matplotlib_the_rest_is_written(tmp_path, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    hold(tmp_path)
    assert (tmp_path / "waterfall.json").exists()
    assert "mooer[plot]" in caplog.text


def test_a_recording_that_is_broken_off_can_be_read(tmp_path):
    recorder = Recorder(tmp_path)
    for _ in range(3):
        recorder.push(tone(1.0), tone(1.0))
    with wave.open(str(tmp_path / "conversation.wav")) as file:
        assert file.getnframes() >= 32_000
    recorder.close()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file cannot be recorded to.*--record"):
        Recorder(tmp_path / "file")


def test_events_are_plain_values():
    sound = event_dict(AnswerSound(1.0, 2, np.zeros(5, "f4"), 24_000, 7, "so"))
    assert sound["num_samples"] == 5
    assert "samples" not in sound
    sourced = event_dict(Sourced(1.0, 2, (Source("tea.md", "hot", 0.5),)))
    assert sourced["sources"] == [{"name": "tea.md", "text": "hot", "score": 0.5}]
    assert event_dict(Waterfall(1.0, 2, {"vad": 0.5}))["moments"] == {"vad": 0.5}
    called = event_dict(ToolCalled(1.0, 2, "c1", "clock", "{}", True))
    assert json.loads(json.dumps(called)) == called


def story(*events):
    found = Story()
    for event in events:
        found.add(event)
    return found


def test_what_was_heard_is_told_with_its_sources_and_once():
    found = story(
        UserStarted(1.0),
        UserStopped(2.0),
        UserStarted(2.3),  # a pause within the turn
        UserStopped(3.0),
        TurnEnded(3.5, 1, "how hot is tea", "en"),
        Sourced(3.6, 1, (Source("tea.md", ""), Source("tea.md", ""), Source("hot.md", ""))),
        AnswerSound(4.0, 1, np.zeros(1, "f4"), 24_000, 0, ""),
        Waterfall(4.1, 1, {"played": 4.0}),
        Remembered(5.0, 1, "Very", 12_000, False),
        Remembered(6.0, 1, "Very hot.", 24_000, True),
        Remembered(7.0, 2, "", 0, False),  # of this nothing was heard
    )
    user, agent = found.segments()
    assert (user.start_s, user.end_s) == (1.0, 3.0)
    assert (agent.start_s, agent.end_s, agent.text) == (4.0, 5.0, "Very hot.")
    assert found.text() == (
        "00:01.0 user: how hot is tea\n00:04.0 agent: Very hot.  [tea.md; hot.md]\n"
    )


def test_a_turn_of_text_and_silence_have_no_length():
    assert story().language() == "und"
    [turn] = story(TurnEnded(3.5, 1, "你好", "zh")).segments()
    assert (turn.start_s, turn.end_s, turn.language) == (3.5, 3.5, "zh")
