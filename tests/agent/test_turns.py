"""When a turn ends, and when it was not over after all."""

import itertools

import numpy as np
import pytest
from tests.agent.score import LatePlayout, Stage

from mooer.agent.duplex import replay
from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    Flush,
    Remembered,
    TurnEnded,
    TurnReopened,
    UserStarted,
    UserStopped,
    UserText,
    Waterfall,
)
from mooer.agent.options import AgentOptions


def test_a_question_is_answered():
    stage = Stage({"what is it": "It is a cat."})
    told = stage.play((1.0, "what is it"))
    assert told.one(TurnEnded).text == "what is it"
    assert told.one(UserStarted).time_s == pytest.approx(1.0, abs=0.032)
    assert told.one(UserStopped).time_s == pytest.approx(1.75, abs=0.033)
    assert told.text(1) == "It is a cat."
    assert told.one(AnswerEnded).is_whole
    assert told.one(Remembered).text == "It is a cat."
    assert [turn.text for turn in stage.session.turns] == ["what is it", "It is a cat."]
    order = told.kinds(UserStarted, UserStopped, TurnEnded, AnswerStarted, AnswerSound, AnswerEnded)
    assert order == [
        "UserStarted", "UserStopped", "TurnEnded", "AnswerStarted", "AnswerSound", "AnswerEnded",
    ]  # fmt: skip


def test_a_whole_turn_is_answered_soon():
    """0.1 s until it is heard, 0.1 s for that; the turn model knows by 0.24 s."""
    told = Stage().play((1.0, "what is it"))
    ended = told.one(TurnEnded)
    assert ended.time_s == pytest.approx(1.75 + 0.25, abs=0.04)
    moments = told.one(Waterfall).moments
    order = ["speech_end", "vad", "turn", "first_token", "first_clause", "first_audio", "played"]
    times = [moments[name] for name in order]
    assert times == sorted(times)
    assert moments["first_token"] - moments["turn"] == pytest.approx(0.06, abs=0.01)


def test_an_unfinished_turn_waits_and_then_is_answered_at_once():
    """The answer is made while it is waited, and told when the silence has been long enough."""
    told = Stage().play((1.0, "give it to"))
    ended = told.one(TurnEnded)
    assert ended.time_s == pytest.approx(1.75 + 1.52, abs=0.1)
    assert told.all(AnswerSound)[0].time_s == pytest.approx(ended.time_s, abs=0.04)


def test_without_speculation_nothing_is_thought_before_the_turn_is_over():
    stage = Stage(options=AgentOptions(speculate=False))
    told = stage.play((1.0, "give it to"))
    first = told.all(AnswerSound)[0].time_s
    assert first - told.one(TurnEnded).time_s > 0.3


def test_a_pause_within_a_sentence_is_no_end():
    stage = Stage({"give it to me please": "Here you are."})
    told = stage.play((1.0, "give it to"), (2.6, "me please"))
    assert told.one(TurnEnded).text == "give it to me please"
    assert len(told.all(UserStopped)) == 2
    assert not told.all(TurnReopened)
    assert [turn.text for turn, *_ in [turns for turns, _ in stage.mind.asked][-1:]] == [
        "give it to me please"
    ]
    assert stage.mind.closed == len(stage.mind.asked)  # the speculation was stopped


def test_a_turn_that_goes_on_before_anything_was_played_is_reopened_with_all_its_sound():
    stage = Stage(
        {"what is it": "It is a cat, I believe.", "what is it called": "It is called Tom."}
    )
    stage.mind.first_s = 1.0
    told = stage.play((1.0, "what is it"), (2.2, "called"))
    first, second = told.all(TurnEnded)
    assert (first.turn, first.text) == (1, "what is it")
    assert (second.turn, second.text) == (1, "what is it called")
    assert told.one(TurnReopened).turn == 1
    void, kept = told.all(AnswerStarted)
    assert (void.turn, kept.turn) == (1, 1)
    assert not [e for e in told.all(AnswerSound) if e.answer == void.answer]
    assert [turn.text for turn in stage.session.turns] == ["what is it called", "It is called Tom."]


def test_sound_that_was_told_and_not_played_is_flushed_when_the_turn_goes_on():
    stage = Stage({"what is it": "It is a cat."})
    told = stage.play((1.0, "what is it"), (2.45, "called"), playout=LatePlayout(0.6))
    assert told.one(TurnReopened)
    void = told.all(AnswerStarted)[0].answer
    assert [e.answer for e in told.all(Flush)] == [void]
    assert stage.session.turns[0].text == "what is it called"
    assert len(stage.session.turns) == 2


def test_no_sound_before_speech_is_found_is_lost():
    """The first words are so quiet that nothing notices them; they are heard all the same."""
    stage = Stage()
    samples = stage.score((1.0, "what is it"))
    noticed = stage.parts.vad.step
    stage.parts.vad.step = lambda frames, state: (
        noticed(frames, state)[0] * (frames.mean(axis=1) > stage.words.sound("is")[0] - 1e-4),
        None,
    )
    events = replay(stage.session, samples).events
    (ended,) = [e for e in events if isinstance(e, TurnEnded)]
    assert ended.text == "what is it"


def test_a_click_is_no_turn():
    stage = Stage()
    samples = stage.score((1.0, "a"), end_s=3.0)
    samples[round(1.06 * 16_000) :] = 0
    assert not replay(stage.session, samples).events
    assert not stage.hear.calls


def test_noise_without_words_is_dropped():
    stage = Stage()
    stage.hear.words = type(stage.words)()  # knows no words
    stage.hear.words.heard = lambda samples: ""
    told = stage.play((1.0, "what is it"))
    assert not told.all(TurnEnded)
    assert not stage.mind.asked
    assert stage.session.is_quiet


def test_without_a_turn_model_silence_ends_a_turn():
    told = Stage(turn=None).play((1.0, "give it to"))
    assert told.one(TurnEnded).time_s == pytest.approx(1.75 + 0.7, abs=0.05)


def test_the_text_comes_while_the_user_speaks():
    told = Stage().play((1.0, "one two three four five six seven eight nine ten"))
    texts = [e.text for e in told.all(UserText)]
    assert len(texts) >= 3
    assert texts[0].startswith("one two three")
    assert [e.is_final for e in told.all(UserText)][-1]
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


def test_a_machine_that_cannot_keep_up_writes_no_partial_text():
    slow, quick = Stage(), Stage()
    slow.hear.takes_s = 0.6
    said = (1.0, " ".join(["word"] * 24))
    slow.play(said)
    quick.play(said)
    assert len([1 for _, is_final in slow.hear.calls if not is_final]) <= 3
    assert len([1 for _, is_final in quick.hear.calls if not is_final]) >= 4


def test_ten_minutes_of_monologue_are_heard_in_pieces():
    """Nine seconds of words and one of silence, sixty times; "and" tells that more is to come."""
    stage = Stage(options=AgentOptions(partial_s=None))
    said = [
        (1.0 + 10.0 * i, " ".join([*(f"w{(i * 7 + k) % 90}" for k in range(35)), "and"]))
        for i in range(60)
    ]
    told = stage.play(*said)
    assert told.one(TurnEnded).text == " ".join(text for _, text in said)
    assert max(length for length, _ in stage.hear.calls) < 28


def test_a_turn_without_any_pause_is_cut_and_joined():
    stage = Stage(options=AgentOptions(partial_s=None))
    words = [f"w{i}" for i in range(200)]  # 50 s
    told = stage.play((1.0, " ".join(words)))
    heard = told.one(TurnEnded).text.split()
    assert len(heard) >= 198  # a word at a cut may be in two halves
    assert set(heard) <= set(words)
    assert max(length for length, _ in stage.hear.calls) < 28


def test_an_hour_of_silence_costs_no_memory():
    stage = Stage()
    block = np.zeros(16_000, np.float32)
    for _ in range(3600):
        assert stage.session.push(block) == []
    assert stage.session.time_s == 3600
    assert stage.session._taking.tape.end - stage.session._taking.tape.start < 16_000


def test_manual_mode_ends_a_turn_by_hand():
    stage = Stage({"give it to": "Here."}, options=AgentOptions(manual=True))
    session = stage.session
    events = session.push(stage.score((1.0, "give it to"), end_s=4.0))
    assert events == []
    events = session.commit()
    events += session.push(stage.score(end_s=2.0))
    (ended,) = [e for e in events if isinstance(e, TurnEnded)]
    assert ended.text == "give it to"
    assert [e for e in events if isinstance(e, AnswerSound)]


def test_two_turns_by_hand_share_no_sound():
    stage = Stage(options=AgentOptions(manual=True, create_response=False))
    session, texts = stage.session, []
    for said in ("one two", "three four"):
        session.push(stage.score((0.2, said)))
        events = session.commit() + session.push(stage.score(end_s=0.5))
        texts += [e.text for e in events if isinstance(e, TurnEnded)]
    assert texts == ["one two", "three four"]


def test_commit_ends_an_open_turn_at_once():
    stage = Stage()
    session = stage.session
    events = session.push(stage.score((0.5, "give it to")))
    events += session.commit() + session.push(stage.score(end_s=0.3))
    (ended,) = [e for e in events if isinstance(e, TurnEnded)]
    assert ended.text == "give it to"


def test_cleared_sound_is_forgotten():
    stage = Stage()
    session = stage.session
    session.push(stage.score((0.5, "give it to")))
    session.clear()
    events = session.push(stage.score((0.3, "what is it"), end_s=4.0))
    (ended,) = [e for e in events if isinstance(e, TurnEnded)]
    assert ended.text == "what is it"


def test_lost_sound_is_silence():
    stage = Stage()
    events = stage.session.push(stage.score((0.5, "what is it")))
    events += stage.session.push(stage.score(end_s=0.1), start_s=500.0)
    assert stage.session.time_s == pytest.approx(500.1)
    assert [e.text for e in events if isinstance(e, TurnEnded)] == ["what is it"]
    events = stage.session.push(stage.score((0.5, "and now what"), end_s=4.0))
    (ended,) = [e for e in events if isinstance(e, TurnEnded)]
    assert ended.text == "and now what"
    assert ended.time_s > 501


def test_answers_on_request_only():
    stage = Stage(options=AgentOptions(create_response=False))
    told = stage.play((1.0, "what is it"))
    assert told.one(TurnEnded)
    assert not told.all(AnswerStarted)
    events = stage.session.respond("Be brief.") + stage.session.push(stage.score(end_s=1.0))
    assert [e for e in events if isinstance(e, AnswerSound)]
    assert "Be brief." in stage.mind.asked[0][1]


def test_minds_that_hear_get_the_sound_of_the_turn():
    stage = Stage()
    stage.mind.hears = True
    stage.play((1.0, "what is it"))
    (turns, _), *_ = stage.mind.asked
    assert stage.words.heard(turns[-1].samples) == "what is it"
