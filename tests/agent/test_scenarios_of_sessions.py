"""Scenarios with real sessions on fake models: what is scored is what the policy does."""

import pytest
from tests.agent.score import WORD_S, Stage

from mooer.agent import scenarios
from mooer.agent.events import BackChannel, Resumed, Waterfall
from mooer.agent.scenarios import Cue, Scenario
from mooer.agent.score import outcome_of, perform
from mooer.agent.waterfall import falls_of

LONG = "I could tell you of that all day long, and of much more than that, if you like it so."
ANSWERS = {"tell me a story": LONG, "no stop": "Very well."}


@pytest.fixture(autouse=True)
def silent_room(monkeypatch):
    monkeypatch.setattr(scenarios, "_ROOM_DB", -400.0)  # the fakes hear words by their loudness


def cue(stage, role, text, delay_s, after="start"):
    return Cue(
        role,
        stage.words.sound(text),
        delay_s,
        after,
        text=text,
        end_s=len(text.split()) * WORD_S,
    )


def run(kind, *said):
    stage = Stage(ANSWERS)
    cues = [cue(stage, "turn", "tell me a story", 0.5)]
    cues += [cue(stage, kind, text, delay_s, "answer") for text, delay_s in said]
    found = perform(stage.session, Scenario("a", kind, "en", tuple(cues), tail_s=3.0))
    return found, outcome_of(found)


def test_the_waits_add_up_to_the_latency_that_is_heard():
    found, outcome = run("turn_taking")
    assert outcome.took_over
    [fall] = falls_of(found.events)
    assert fall.is_played
    assert fall.total_s == pytest.approx(outcome.latency_s, abs=0.06)  # frames of 20 and 32 ms
    assert {wait.name for wait in fall.waits} >= {"vad", "turn", "first_token", "first_audio"}


def test_an_interruption_stops_it_in_time_and_is_answered():
    _, outcome = run("interruption", ("no stop", 1.0))
    assert (outcome.paused, outcome.ended) == (False, True)
    assert outcome.stop_s <= 0.2
    assert outcome.took_over


def test_a_back_channel_does_not():
    found, outcome = run("back_channel", ("yeah", 1.0))
    assert not outcome.ended
    assert not outcome.took_over
    told = {type(event) for event in found.events}
    assert BackChannel in told
    assert (Resumed in told) is outcome.paused
    assert Waterfall in told
