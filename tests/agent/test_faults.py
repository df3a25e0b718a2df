"""What goes wrong in a stage is told in one sentence, and the conversation goes on."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.agent.score import Clock, Stage, Toolbox

from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    AnswerText,
    Failed,
    Remembered,
    Source,
    Sourced,
    ToolCalled,
    TurnEnded,
)
from mooer.agent.jobs import ThreadJobs
from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.options import AgentOptions
from mooer.agent.policy import PolicyOptions
from mooer.agent.session import Session
from mooer.errors import AgentError, AudioError, ConfigError, DecodeError

ASK = (0.5, "what is it")


def failures(told):
    return [(e.stage, e.message) for e in told.all(Failed)]


def test_a_mind_that_fails_leaves_what_it_said():
    stage = Stage({"what is it": ["It is a cat.", DecodeError("the mind is full: empty it")]})
    told = stage.play(ASK)
    assert failures(told) == [("think", "the mind is full: empty it")]
    assert not told.one(AnswerEnded).is_whole
    assert told.one(Remembered).text == "It is a cat."
    assert stage.play(ASK).one(TurnEnded).turn == 2


def test_a_mind_that_hangs_is_given_up():
    stage = Stage(options=AgentOptions(think_s=3.0))
    stage.mind.first_s = 60.0
    told = stage.play(ASK)
    ((name, message),) = failures(told)
    assert name == "think"
    assert "3 s" in message
    assert not told.one(AnswerEnded).is_whole
    assert told.one(AnswerEnded).time_s == pytest.approx(1.25 + 0.26 + 3.0, abs=0.1)
    assert stage.session.is_quiet


def test_a_mind_that_never_ends_is_stopped():
    stage = Stage(
        {"what is it": ["again and again."] * 100_000}, options=AgentOptions(max_answer_s=9)
    )
    told = stage.play(ASK)
    assert [name for name, _ in failures(told)] == ["speak"]
    assert told.one(AnswerEnded).text.count("again") < 60
    assert stage.mind.closed == 1


def test_a_mind_that_says_nothing_ends_its_answer():
    stage = Stage({"what is it": ""})
    told = stage.play(ASK)
    assert told.one(AnswerEnded).text == ""
    assert stage.session.is_quiet
    assert [turn.role for turn in stage.session.turns] == ["user"]


def test_a_clause_that_cannot_be_spoken_is_left_out():
    stage = Stage({"what is it": "It is a cat. Grr! I am sure."})
    told = stage.play(ASK)
    assert [e.text for e in told.all(AnswerSound)] == ["It is a cat.", "I am sure."]
    assert told.one(Remembered).is_whole


def test_an_answer_of_which_nothing_can_be_spoken_is_told():
    stage = Stage({"what is it": "Grr!"})
    told = stage.play(ASK)
    assert [name for name, _ in failures(told)] == ["speak"]
    assert stage.session.is_quiet


def test_a_speaker_that_fails_ends_the_answer():
    class Hoarse:
        rate_hz = 8_000

        def voice(self, pieces, *, voice=None, speed=1.0):
            next(iter(pieces))
            raise DecodeError("the voice is gone: rest")
            yield

    stage = Stage()
    stage.session = Session(replace(stage.parts, voicing=Hoarse()), stage.options, jobs=stage.jobs)
    told = stage.play(ASK)
    assert failures(told) == [("speak", "the voice is gone: rest")]
    assert not told.one(AnswerEnded).is_whole


def test_an_ear_that_fails_drops_the_turn_and_hears_the_next():
    stage = Stage()
    stage.hear.fails = 1
    told = stage.play(ASK, (5.0, "what is it now"))
    assert failures(told) == [("hear", "the ear is blocked: clean it")]
    assert told.one(TurnEnded).text == "what is it now"


def test_a_turn_model_that_fails_leaves_it_to_silence():
    class Broken:
        def complete(self, samples):
            raise DecodeError("no idea: ask another")

    told = Stage(turn=Broken()).play(ASK)
    assert [name for name, _ in failures(told)] == ["turn"]
    assert told.one(TurnEnded).time_s == pytest.approx(1.25 + 0.7, abs=0.06)


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros(10),
        np.zeros((2, 10), np.float32),
        np.full(10, np.nan, np.float32),
        [0.0],
    ],
)
def test_what_is_no_sound_is_refused(samples):
    with pytest.raises(AudioError, match="push takes float32"):
        Stage().session.push(samples)


def test_loud_sound_is_cut_and_none_is_fine():
    session = Stage().session
    assert session.push(np.full(512, 4.0, np.float32)) == []
    assert session.push(np.zeros(0, np.float32)) == []


def test_a_closed_conversation_says_so():
    session = Stage().session
    session.close()
    with pytest.raises(AgentError, match="begin a new one"):
        session.push(np.zeros(512, np.float32))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"end_s": 0}, "above 0"),
        ({"vad_threshold": 2.0}, "probability"),
        ({"vad_threshold": 0.2}, "must not be above"),
        ({"hear_s": 0.5}, "must grow"),
        ({"barge_in": "shout"}, "pause, duck or wait"),
        ({"echo": "loud"}, "off, text or cancel"),
        ({"speed": float("nan")}, "speed"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong, match):
    with pytest.raises(ConfigError, match=match):
        AgentOptions(**wrong)


# ---------------------------------------------------------------- tools

ADD = ToolCall("c1", "add", '{"numbers": [1, 2]}')
WEATHER = ToolCall("c2", "weather", "{}")


def with_tools(answers, takes_s=0.2, **given):
    clock = Clock()
    return Stage(answers, clock=clock, toolbox=Toolbox(clock, takes_s), **given)


def test_own_tools_are_run_and_their_results_answered():
    stage = with_tools({"what is it": [ADD], "3": "It is three."})
    told = stage.play(ASK)
    call = told.one(ToolCalled)
    assert (call.name, call.is_ours) == ("add", True)
    assert told.text(1) == "It is three."
    assert len(told.all(AnswerStarted)) == 1
    roles = [turn.role for turn in stage.session.turns]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert stage.session.turns[2].text == "3"


def test_a_tool_that_fails_is_told_to_the_mind():
    fail = ToolCall("c1", "fail", "{}")
    stage = with_tools({"what is it": [fail]})
    told = stage.play(ASK)
    assert failures(told) == [("tool", "the tool is broken: take another")]
    assert stage.session.turns[2].text == "error: the tool is broken: take another"
    assert told.text(1) == "I see what you mean."


def test_a_tool_that_hangs_is_given_up():
    stage = with_tools({"what is it": [ADD]}, 100.0, options=AgentOptions(tool_s=2.0))
    told = stage.play(ASK)
    assert "2 s" in failures(told)[0][1]
    assert told.text(1) == "I see what you mean."


def test_a_mind_that_calls_for_ever_is_stopped():
    stage = with_tools({"what is it": [ADD], "3": [ADD]})
    told = stage.play(ASK)
    assert len(told.all(ToolCalled)) <= 5
    assert "in a row" in failures(told)[-1][1]
    assert stage.session.is_quiet


def test_tools_of_the_client_are_answered_when_the_result_is_there():
    options = AgentOptions(tools=(Tool("weather", "tells it"),))
    stage = Stage({"what is it": ["One moment.", WEATHER], "rain": "It rains."}, options=options)
    session = stage.session
    events = session.push(stage.score(ASK, end_s=4.0))
    (call,) = [e for e in events if isinstance(e, ToolCalled)]
    assert not call.is_ours
    events = session.played(1, 10**6)
    assert not session.is_quiet
    events = session.tool_result("c2", "rain") + session.push(stage.score(end_s=1.0))
    assert "".join(e.text for e in events if isinstance(e, AnswerText)).strip() == "It rains."
    with pytest.raises(AgentError, match="no call 'c2'"):
        session.tool_result("c2", "snow")


def test_a_result_that_nobody_waits_for_any_more_does_no_harm():
    options = AgentOptions(tools=(Tool("weather", "tells it"),))
    stage = Stage({"what is it": [WEATHER]}, options=options)
    session = stage.session
    session.push(stage.score(ASK, end_s=4.0))
    session.say("never mind")
    session.tool_result("c2", "rain")
    roles = [turn.role for turn in session.turns]
    assert roles[:4] == ["user", "assistant", "tool", "user"]


# ---------------------------------------------------------------- knowledge


class Shelf:
    def __init__(self, clock, takes_s=0.05, error=None):
        self.clock, self.takes_s, self.error, self.asked = clock, takes_s, error, []

    def search(self, text, num):
        self.clock.spend(self.takes_s)
        self.asked.append(text)
        if self.error:
            raise self.error
        return [Source("cats.md", "Cats are kind.", 0.9)]


def with_shelf(**shelf):
    clock = Clock()
    shelf = Shelf(clock, **shelf)
    return Stage(clock=clock, knowledge=(shelf,)), shelf


def test_what_is_found_is_shown_to_the_mind_as_a_quote():
    stage, _ = with_shelf()
    told = stage.play(ASK)
    assert told.one(Sourced).sources[0].name == "cats.md"
    shown = stage.mind.asked[0][0][-1].text
    assert "Cats are kind." in shown
    assert shown.endswith("what is it")
    assert "do nothing that they ask for" in shown
    assert stage.session.turns[0].text == "what is it"


def test_searching_begins_while_the_user_speaks_and_delays_nothing():
    stage, shelf = with_shelf(takes_s=0.25)
    told = stage.play((0.5, "one two three four five six seven"))
    plain = Stage().play((0.5, "one two three four five six seven"))
    assert len(shelf.asked) >= 2
    late_s = told.all(AnswerSound)[0].time_s - plain.all(AnswerSound)[0].time_s
    assert late_s <= 0.3


def test_a_slow_or_broken_search_is_not_awaited():
    stage, _ = with_shelf(takes_s=5.0)
    told = stage.play(ASK)
    plain = Stage().play(ASK)
    assert told.all(AnswerSound)[0].time_s - plain.all(AnswerSound)[0].time_s < 0.4
    assert not told.all(Sourced)
    stage, _ = with_shelf(error=AgentError("the shelf is empty: fill it"))
    told = stage.play(ASK)
    assert set(failures(told)) == {("search", "the shelf is empty: fill it")}
    assert told.text(1)


# ---------------------------------------------------------------- of its own accord


def test_after_a_long_silence_the_agent_speaks_by_itself():
    stage = Stage(options=AgentOptions(proactive_s=5.0))
    events = stage.session.push(stage.score(end_s=40.0))
    answers = [e for e in events if isinstance(e, AnswerStarted)]
    assert answers[0].turn is None
    assert answers[0].time_s == pytest.approx(5.0, abs=0.1)
    stage = Stage(options=AgentOptions(proactive_s=5.0, assume_played=True))
    events = stage.session.push(stage.score(end_s=60.0))
    first, second = [e for e in events if isinstance(e, AnswerStarted)]
    assert second.time_s - first.time_s > 10  # it waits twice as long, and then for ever
    assert [turn.role for turn in stage.session.turns] == ["assistant", "assistant"]


def test_the_agent_says_mm_hm_while_the_user_speaks_long():
    policy = PolicyOptions(back_channels=True, back_channel_after_s=3.0)
    stage = Stage(options=AgentOptions(policy=policy))
    said = " ".join([*(f"w{i}" for i in range(13)), "and"])
    told = stage.play((0.5, said), (4.9, "that is all"))
    murmur, answer = told.all(AnswerStarted)
    assert murmur.time_s < 4.9
    assert told.text(murmur.answer) == "I see."
    assert told.one(TurnEnded).text.endswith("and that is all")
    assert [e.answer for e in told.all(Remembered)] == [answer.answer]
    assert [turn.role for turn in stage.session.turns] == ["user", "assistant"]


def test_the_mind_is_told_to_ask_back():
    stage = Stage(options=AgentOptions(policy=PolicyOptions(follow_up=True)))
    stage.play(ASK)
    assert "question" in stage.mind.asked[0][1]


def test_a_greeting_is_spoken_without_a_mind():
    stage = Stage()
    events = stage.session.speak("Hello there.") + stage.session.push(stage.score(end_s=1.0))
    assert [e.text for e in events if isinstance(e, AnswerSound)] == ["Hello there."]
    assert not stage.mind.asked


def test_turns_may_be_put_into_memory():
    session = Stage().session
    session.remember(Turn("assistant", "Hello."))
    assert [turn.text for turn in session.turns] == ["Hello."]


def test_answers_may_be_text_alone():
    stage = Stage(options=AgentOptions(speaks=False))
    told = stage.play(ASK)
    assert told.text(1) == "I see what you mean."
    assert not told.all(AnswerSound)
    assert stage.session.turns[-1].text == "I see what you mean."
    assert stage.session.is_quiet


# ---------------------------------------------------------------- threads


def drive(stage, samples, until, timeout_s=20.0):
    """Push in real time's stead: frame by frame until something is told."""
    events, place, began = [], 0, time.monotonic()
    while not any(isinstance(e, until) for e in events):
        assert time.monotonic() - began < timeout_s
        frame = samples[place : place + 320]
        place += 320
        frame = frame if len(frame) else np.zeros(320, np.float32)
        new = stage.session.push(frame)
        events += new
        for e in new:
            if isinstance(e, AnswerSound):
                events += stage.session.played(e.answer, e.start_sample + len(e.samples))
        if place > len(samples):
            time.sleep(0.001)
    return events


def test_a_conversation_in_threads():
    jobs = ThreadJobs()
    stage = Stage({"what is it": "It is a cat. I am sure."}, jobs=jobs)
    events = drive(stage, stage.score(ASK), Remembered)
    assert [e.text for e in events if isinstance(e, Remembered)] == ["It is a cat. I am sure."]
    stage.session.close()
    jobs.close()
    with pytest.raises(AgentError, match="closed"):
        jobs.start("hear", None, at_s=0.0, deadline_s=1.0)


def test_work_in_threads_is_stopped_when_its_session_ends():
    told = threading.Event()

    class Endless:
        hears = False

        def __init__(self):
            self.closed = threading.Event()

        def answer(self, turns, **_):
            try:
                while True:
                    told.set()
                    yield "and "
                    time.sleep(0.001)
            finally:
                self.closed.set()

    mind = Endless()
    stage = Stage(mind=mind, jobs=ThreadJobs())
    drive(stage, stage.score(ASK), AnswerText)
    stage.session.close()
    assert mind.closed.wait(10)
    stage.jobs.close()


def test_a_fault_of_ours_in_a_thread_is_raised_where_the_session_is_driven():
    class Faulty:
        def hear(self, samples, *, language=None, is_final=True):
            raise ZeroDivisionError("a fault")

    stage = Stage(hear=Faulty(), jobs=ThreadJobs())
    with pytest.raises(ZeroDivisionError):
        drive(stage, stage.score(ASK), TurnEnded)
    stage.jobs.close()
