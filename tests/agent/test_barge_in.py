"""The user speaks while an answer is played."""

import numpy as np
import pytest
from tests.agent.score import AGENT_RATE, AGENT_WORD_S, RATE, Stage

from mooer.agent.duplex import replay
from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    BackChannel,
    Flush,
    Remembered,
    Resumed,
    TurnEnded,
    UserStarted,
    Volume,
)
from mooer.agent.options import AgentOptions
from mooer.agent.playout import Playout

LONG = "One two three four five. Six seven eight nine ten. Eleven twelve thirteen."
ANSWERS = {"count for me": LONG, "no stop it": "As you like."}
COUNT = (0.5, "count for me")


def played_at(told, time_s, answer=1):
    """Samples of an answer that were played at a time, by the track of the agent."""
    first = told.all(AnswerSound)[0].time_s
    return (time_s - first) * AGENT_RATE


@pytest.mark.parametrize("policy", ["pause", "wait"])
def test_an_interruption_ends_the_answer_and_memory_holds_what_was_heard(policy):
    stage = Stage(ANSWERS, options=AgentOptions(barge_in=policy))
    told = stage.play(COUNT, (4.0, "no stop it"))
    flush = told.one(Flush)
    assert not told.all(Resumed)
    remembered = told.all(Remembered)[0]
    assert (remembered.answer, remembered.is_whole) == (1, False)
    num_words = int(remembered.played_samples / AGENT_RATE / AGENT_WORD_S + 0.5)
    assert remembered.text == " ".join(LONG.split()[:num_words])
    assert remembered.played_samples == pytest.approx(played_at(told, flush.time_s), abs=400)
    assert [turn.text for turn in stage.session.turns] == [
        "count for me", remembered.text, "no stop it", "As you like.",
    ]  # fmt: skip
    assert [turn.is_cut for turn in stage.session.turns] == [False, True, False, False]
    assert stage.mind.asked[-1][0][1].text == remembered.text


def test_sound_stops_soon_after_the_onset_of_an_interruption():
    stage = Stage(ANSWERS)
    told = stage.play(COUNT, (4.0, "no stop it"))
    assert told.one(Flush).time_s - 4.0 < 0.15
    agent = told.recording[:, 1]
    after = agent[round(4.2 * RATE) : round(4.9 * RATE)]
    assert np.abs(after).max() < 0.01
    assert np.abs(agent[round(3.8 * RATE) : round(4.0 * RATE)]).max() > 0.3


def test_a_back_channel_pauses_the_answer_and_it_goes_on_from_that_sample():
    stage = Stage(ANSWERS)
    told = stage.play(COUNT, (3.0, "okay"))
    assert told.one(BackChannel).text == "okay"
    flush, resumed = told.one(Flush), told.one(Resumed)
    assert resumed.start_sample == pytest.approx(played_at(told, flush.time_s), abs=400)
    assert resumed.time_s - flush.time_s < 0.7
    assert told.one(TurnEnded).text == "count for me"
    assert not [e for e in told.all(UserStarted) if e.time_s > 2.5]
    remembered = told.one(Remembered)
    assert (remembered.text, remembered.is_whole) == (LONG, True)
    total = sum(len(e.samples) for e in told.all(AnswerSound) if e.time_s < resumed.time_s)
    again = sum(len(e.samples) for e in told.all(AnswerSound) if e.time_s >= resumed.time_s)
    assert remembered.played_samples == resumed.start_sample + again <= total + again


def test_with_the_policy_to_wait_a_back_channel_stops_nothing():
    stage = Stage(ANSWERS, options=AgentOptions(barge_in="wait"))
    told = stage.play(COUNT, (3.0, "okay"))
    assert told.one(BackChannel).text == "okay"
    assert not told.all(Flush)
    assert told.one(Remembered).text == LONG


def test_with_the_policy_to_duck_a_back_channel_softens_the_answer_and_stops_nothing():
    stage = Stage(ANSWERS, options=AgentOptions(barge_in="duck"))
    told = stage.play(COUNT, (3.0, "okay"))
    assert told.one(BackChannel).text == "okay"
    assert not told.all(Flush)
    soft, loud = told.all(Volume)
    assert soft.time_s - 3.0 < 0.15
    assert (soft.gain_db, loud.gain_db) == (-12.0, 0.0)
    agent = np.abs(told.recording[:, 1])
    before, softened, after = (
        agent[round(a * RATE) : round((a + 0.2) * RATE)].max()
        for a in (2.7, soft.time_s + 0.1, loud.time_s + 0.1)
    )
    assert softened == pytest.approx(before * 10 ** (-12 / 20), rel=0.05)
    assert after == pytest.approx(before, rel=0.05)
    assert told.one(Remembered).text == LONG


def test_with_the_policy_to_duck_longer_speech_stops_the_answer():
    options = AgentOptions(barge_in="duck", words_s=9.0)
    told = Stage(ANSWERS, options=options).play(COUNT, (3.0, "okay but listen to me for a while"))
    assert told.one(Flush).time_s == pytest.approx(3.0 + 0.9, abs=0.1)
    assert told.one(Volume).time_s - 3.0 < 0.15
    assert not told.all(Remembered)[0].is_whole


def test_a_quiet_back_channel_does_not_even_pause():
    stage = Stage(ANSWERS)
    samples = stage.score(COUNT, (3.0, "okay"))
    stage.words.sound("okay")
    late = samples[round(2.5 * RATE) :]
    whisper = stage.words.heard
    late[late > 0] *= 0.25  # 12 dB
    stage.words.heard = lambda heard: (
        "okay" if heard[heard > 0.01].mean() < 0.06 else whisper(heard)
    )
    events = replay(stage.session, samples).events
    assert [e.text for e in events if isinstance(e, BackChannel)] == ["okay"]
    assert not [e for e in events if isinstance(e, Flush)]


def test_noise_while_the_answer_is_spoken_is_nobody():
    stage = Stage(ANSWERS)
    stage.words._words.append("(noise)")
    heard = stage.words.heard
    stage.words.heard = lambda samples: heard(samples).replace("(noise)", "").strip()
    told = stage.play(COUNT, (3.0, "(noise) (noise)"))
    assert not told.all(BackChannel)
    assert told.one(Resumed)
    assert told.one(Remembered).text == LONG


def test_long_speech_is_an_interruption_before_it_ends():
    stage = Stage(ANSWERS)
    told = stage.play(COUNT, (3.0, "okay but listen to me for a while now please sir"))
    remembered = told.all(Remembered)[0]
    assert not remembered.is_whole
    assert remembered.time_s == pytest.approx(3.0 + 1.2, abs=0.1)
    assert told.all(TurnEnded)[1].text.startswith("okay but listen")


def test_an_answer_does_not_stand_still_for_long_because_hearing_is_slow():
    stage = Stage(ANSWERS)
    told = stage.session.push(stage.score(COUNT, end_s=2.5))
    told += stage.session.played(1, 2000)
    stage.hear.takes_s = 9.0
    told += stage.session.push(stage.score((0.5, "okay"), end_s=4.0))
    flush, resumed = (next(e for e in told if isinstance(e, kind)) for kind in (Flush, Resumed))
    assert resumed.time_s - flush.time_s == pytest.approx(1.5 + 0.12, abs=0.1)


def test_words_that_are_heard_late_end_the_answer_all_the_same():
    stage = Stage(ANSWERS)
    told = stage.session.push(stage.score(COUNT, end_s=2.5))
    told += stage.session.played(1, 2000)
    stage.hear.takes_s = 2.5
    told += stage.session.push(stage.score((0.5, "no stop it"), end_s=8.0))
    names = [type(e).__name__ for e in told if isinstance(e, (Flush, Resumed, TurnEnded))]
    assert names[1:4] == ["Flush", "Resumed", "Flush"]
    assert [e.text for e in told if isinstance(e, TurnEnded)][1] == "no stop it"


def test_an_answer_that_is_still_made_is_stopped():
    stage = Stage({"count for me": [LONG, LONG, LONG]})
    stage.mind.word_s = 0.4
    told = stage.play(COUNT, (7.0, "no stop it"))
    ended = told.all(AnswerEnded)[0]
    assert (ended.answer, ended.is_whole) == (1, False)
    assert stage.mind.closed == 2
    assert len(ended.text.split()) < 39


def test_the_agents_own_voice_is_no_interruption():
    """The microphone hears words of the answer while they are spoken."""
    for echo, is_cut in (("off", True), ("text", False)):
        stage = Stage(ANSWERS, options=AgentOptions(echo=echo))
        told = stage.play(COUNT, (3.0, "three four five. Six"))
        assert bool(told.all(Flush)) == is_cut
        assert (not told.all(Remembered)[0].is_whole) == is_cut


def test_answers_may_be_heard_out_before_the_next_one():
    stage = Stage(ANSWERS, options=AgentOptions(interrupt_response=False))
    told = stage.play(COUNT, (3.0, "no stop it"))
    assert not told.all(Flush)
    first, second = told.all(Remembered)
    assert (first.text, second.text) == (LONG, "As you like.")
    assert told.all(AnswerStarted)[1].time_s >= first.time_s


def test_a_key_breaks_the_answer_off():
    stage = Stage(ANSWERS)
    session = stage.session
    session.push(stage.score(COUNT, end_s=3.0))
    session.played(1, 6000)
    events = session.interrupt()
    assert [type(e).__name__ for e in events] == ["Flush"]
    events = session.played(1, 6400)
    (remembered,) = events
    assert (remembered.text, remembered.played_samples) == ("One two three", 6400)
    assert session.is_quiet


def test_a_client_that_does_not_report_after_a_flush_is_not_awaited_for_long():
    stage = Stage(ANSWERS)
    session = stage.session
    session.push(stage.score(COUNT, end_s=3.0))
    session.played(1, 6000)
    session.interrupt()
    events = session.push(stage.score(end_s=0.6))
    assert [e.played_samples for e in events if isinstance(e, Remembered)] == [6000]


def test_truncating_says_what_was_heard():
    stage = Stage(ANSWERS)
    session = stage.session
    session.push(stage.score(COUNT, end_s=3.0))
    session.played(1, 8000)
    events = session.truncate(1, 4900)  # 0.6125 s: two words, and not half of the third
    assert [e.text for e in events if isinstance(e, Remembered)] == ["One two"]
    assert session.turns[-1].text == "One two"
    assert session.turns[-1].is_cut


def test_a_client_that_reports_nothing_is_assumed_to_play_in_time():
    stage = Stage(ANSWERS, options=AgentOptions(assume_played=True))
    events = stage.session.push(stage.score(COUNT, (4.0, "no stop it"), end_s=9.0))
    texts = [e.text for e in events if isinstance(e, Remembered)]
    assert texts[1] == "As you like."
    first = next(e.time_s for e in events if isinstance(e, AnswerSound))
    flush = next(e.time_s for e in events if isinstance(e, Flush))
    num_words = int((flush - first) / AGENT_WORD_S + 0.5)
    assert abs(len(texts[0].split()) - num_words) <= 1


def test_reports_that_make_no_sense_do_no_harm():
    stage = Stage(ANSWERS)
    session = stage.session
    session.push(stage.score(COUNT, end_s=3.0))
    assert session.played(99, 100) == []
    session.played(1, 5000)
    session.played(1, 400)
    session.played(1, -7)
    session.interrupt()
    session.played(1, 10**9)
    told = session.push(stage.score(end_s=1.0))
    assert all(e.played_samples < 10**6 for e in told if isinstance(e, Remembered))
    assert session.turns[-1].is_cut


class DriftingPlayout(Playout):
    """A client whose loudspeaker has a clock of its own: `ratio` samples for one of the user's."""

    def __init__(self, ratio):
        super().__init__(RATE)
        self.ratio, self.owed = ratio, 0.0

    def pull(self, num_samples):
        self.owed += num_samples * self.ratio
        num = int(self.owed)
        self.owed -= num
        return np.resize(super().pull(num), num_samples)


@pytest.mark.parametrize("ratio", [0.97, 1.03])
def test_a_clock_that_drifts_changes_nothing_of_what_is_remembered(ratio):
    whole = Stage(ANSWERS).play(COUNT, end_s=12.0, playout=DriftingPlayout(ratio))
    assert whole.one(Remembered).text == LONG
    said = COUNT, (4.0, "no stop it")
    cut = Stage(ANSWERS).play(*said, playout=DriftingPlayout(ratio))
    remembered = cut.all(Remembered)[0]
    assert not remembered.is_whole
    steady = Stage(ANSWERS).play(*said).all(Remembered)[0]
    apart = remembered.played_samples / steady.played_samples
    assert apart == pytest.approx(ratio, abs=0.015)  # what was heard, and not what time says


def test_typed_words_break_the_answer_off():
    stage = Stage(ANSWERS)
    session = stage.session
    session.push(stage.score(COUNT, end_s=3.0))
    session.played(1, 5000)
    events = session.say("no stop it") + session.push(stage.score(end_s=1.0))
    names = [type(e).__name__ for e in events]
    assert names.index("Flush") < names.index("TurnEnded") < names.index("AnswerStarted")
    assert session.turns[-1].text == "no stop it"


def test_a_word_that_is_no_order_does_not_interrupt_and_an_order_does():
    """What is heard in half a second is seldom right: only what means to stop the speaker does."""
    for word, is_cut in (("Ember", False), ("Wait!", True), ("为什么", True)):
        stage = Stage(ANSWERS)
        told = stage.play(COUNT, (3.0, word))
        assert (not told.all(Remembered)[0].is_whole) == is_cut
        assert len(told.all(BackChannel)) == 0


def test_over_an_answer_the_language_is_that_of_the_conversation():
    stage = Stage(ANSWERS)
    languages = []
    hear = stage.hear.hear
    stage.hear.hear = lambda samples, *, language=None, is_final=True: (
        languages.append(language) or hear(samples, language="zh", is_final=is_final)
    )
    stage.play(COUNT, (3.0, "okay"))
    assert languages[0] is None
    assert languages[-1] == "zh"
