"""How long a silence ends a turn, where voice and words say different things."""

import pytest
from tests.agent.score import Clock, FakeMind, Stage

from mooer.agent.endings import needed_silence_s, probability_of_end
from mooer.agent.events import Failed, TurnEnded
from mooer.agent.options import AgentOptions
from mooer.agent.user_turn import Attempt
from mooer.errors import DecodeError

SAID_S = 1.75  # when "what is it" is over


class Reader(FakeMind):
    """Knows after which words a sentence may end."""

    ends_takes_s, chance, told = 0.05, 0.5, ()

    def ends(self, text):
        self.clock.spend(self.ends_takes_s)
        self.told = (*self.told, text)
        if isinstance(self.chance, Exception):
            raise self.chance
        return self.chance


def ended_s(chance, *, takes_s=0.05, text="what is it", **options):
    clock = Clock()
    mind = Reader(clock)
    mind.chance, mind.ends_takes_s = chance, takes_s
    stage = Stage(options=AgentOptions(**options), clock=clock, mind=mind)
    told = stage.play((1.0, text))
    assert set(mind.told) <= {text}
    return told.one(TurnEnded).time_s - SAID_S, told


def test_words_that_may_end_so_do_not_delay_a_turn():
    assert ended_s(0.5)[0] == pytest.approx(0.26, abs=0.05)


def test_words_that_want_others_wait_though_the_voice_has_fallen():
    after_s, _ = ended_s(0.001)
    assert after_s > AgentOptions().doubt_s
    assert after_s == pytest.approx(1.29, abs=0.05)
    assert ended_s(0.001, doubt_s=0.5)[0] == pytest.approx(0.67, abs=0.05)


def test_a_pause_after_such_words_is_no_end():
    clock = Clock()
    mind = Reader(clock)
    mind.chance = 0.001
    told = Stage(clock=clock, mind=mind).play((1.0, "what is it"), (2.9, "called"))
    assert told.one(TurnEnded).text == "what is it called"
    assert mind.told == ("what is it", "what is it called")


def test_who_tells_too_late_is_not_waited_for():
    assert ended_s(0.5, takes_s=9.0)[0] == pytest.approx(1.6, abs=0.05)


def test_one_that_fails_leaves_it_to_the_voice():
    after_s, told = ended_s(DecodeError("the page is torn: turn it"))
    assert after_s == pytest.approx(0.26, abs=0.05)
    assert [failed.stage for failed in told.all(Failed)] == ["words"]


def test_words_are_not_asked_about_where_silence_alone_decides():
    clock = Clock()
    mind = Reader(clock)
    Stage(options=AgentOptions(turn_model=False), clock=clock, mind=mind).play((1.0, "what is it"))
    assert mind.told == ()


@pytest.mark.parametrize(("text", "waits"), [("what is it", False), ("give it to", True)])
def test_without_a_mind_that_tells_the_last_word_does(text, waits):
    attempt = Attempt(0, by_voice=0.95, is_read=True)
    needed_s = needed_silence_s(attempt, text, AgentOptions())
    assert needed_s == 0.2 if not waits else needed_s > 1.2


def test_the_less_probable_an_end_the_longer_it_is_waited_for():
    options = AgentOptions()
    silences = [
        needed_silence_s(Attempt(0, by_voice=voice, is_read=True), "so", options)
        for voice in (0.0, 0.001, 0.1, 0.3, 0.6, 1.0)
    ]
    assert silences == sorted(silences, reverse=True)
    assert max(silences) <= options.max_silence_s


def test_nothing_is_surer_than_can_be_known():
    assert 0 < probability_of_end(0.0, 0.0) < probability_of_end(1.0, 1.0) < 1
