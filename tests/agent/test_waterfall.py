"""What an answer waited for, one wait after the other."""

import json
import sys
from itertools import pairwise

import pytest

from mooer.agent.events import AnswerStarted, Waterfall
from mooer.agent.waterfall import draw, fall_of, falls_of, percentiles, summary, to_json
from mooer.errors import MissingExtra

MOMENTS = {
    "speech_end": 10.0,
    "vad": 10.2,
    "asr_final": 10.5,
    "turn": 10.3,
    "retrieval": 9.0,  # begun on partial text
    "first_token": 10.8,
    "first_clause": 11.0,
    "first_audio": 11.25,
    "played": 11.3,
}


def test_waits_follow_each_other_and_add_up():
    fall = fall_of(MOMENTS)
    assert fall.total_s == pytest.approx(1.3)
    assert [wait.name for wait in fall.waits][:4] == ["retrieval", "vad", "turn", "asr_final"]
    waited = {wait.name: round(wait.duration_s, 3) for wait in fall.waits}
    assert waited["retrieval"] == 0.0  # it cost nothing
    assert waited["turn"] == 0.1
    assert waited["asr_final"] == 0.2
    for before, after in pairwise(fall.waits):
        assert after.start_s == pytest.approx(before.start_s + before.duration_s)


def test_an_answer_to_text_begins_at_its_first_moment():
    fall = fall_of({"first_token": 3.0, "first_audio": 3.4})
    assert fall.origin_s == 3.0
    assert fall.total_s == pytest.approx(0.4)
    assert not fall.is_played
    assert fall_of({}).total_s == 0.0


def test_the_last_that_is_told_of_an_answer_counts():
    events = [
        AnswerStarted(10.3, 2, 1),
        Waterfall(11.0, 2, {"speech_end": 10.0, "vad": 10.2}),
        Waterfall(11.3, 2, MOMENTS),
        Waterfall(5.0, 1, {"speech_end": 4.0, "played": 5.0}),
    ]
    first, second = falls_of(events)
    assert (first.answer, first.turn, first.total_s) == (1, None, 1.0)
    assert (second.answer, second.turn, len(second.waits)) == (2, 1, 8)


def test_only_what_was_heard_counts_in_the_percentiles():
    heard = [fall_of({"speech_end": 0.0, "vad": 0.2, "played": t}) for t in (1.0, 2.0)]
    unheard = fall_of({"speech_end": 0.0, "vad": 0.9})
    found = summary([*heard, unheard])
    assert found["voice_to_voice"] == {"num": 2, "median": 1.5, "p95": 1.95, "max": 2.0}
    assert found["vad"]["median"] == 0.2
    assert percentiles([]) == {"num": 0}
    data = json.loads(to_json([*heard, unheard]))
    assert [one["is_played"] for one in data["answers"]] == [True, True, False]
    assert data["summary"] == found


def test_a_picture_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    falls = [fall_of({"speech_end": 0.0, "vad": 0.2, "played": 1.0 + n}, n) for n in range(50)]
    path = draw(falls, tmp_path / "waterfall.png")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"mooer\[plot\]"):
        draw([fall_of(MOMENTS)], tmp_path / "waterfall.png")
