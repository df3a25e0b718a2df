"""What is read ahead, and what is used once before the first answer."""

from dataclasses import replace

import pytest
from tests.agent.score import Clock, FakeMind, Stage
from tests.speak.tones import ToneSpeaker

from mooer.agent.events import AnswerSound, Failed
from mooer.agent.mind import Turn
from mooer.agent.options import AgentOptions
from mooer.agent.warming import warm_up
from mooer.errors import AgentError
from mooer.speak import voicing_of

SAID = "one two three four five six seven eight nine ten"


class Reader(FakeMind):
    """Keeps what it has read; what is new in a prompt takes time."""

    word_s, error = 0.02, None

    def __init__(self, clock):
        super().__init__(clock, first_s=0.0)
        self.read_so_far = []

    def read(self, turns, *, system, tools=()):
        if self.error:
            raise self.error
        words = turns[-1].text.split()
        new = [word for word in words if word not in self._known()]
        self.clock.spend(0.05 * len(new))
        self.read_so_far.append((words, system, tuple(turns[:-1])))

    def _known(self):
        return self.read_so_far[-1][0] if self.read_so_far else []

    def answer(self, turns, *, system, tools=(), max_tokens=200):
        new = [word for word in turns[-1].text.split() if word not in self._known()]
        self.clock.spend(0.05 * len(new))
        yield from super().answer(turns, system=system, tools=tools, max_tokens=max_tokens)


def play(**options):
    clock = Clock()
    mind = Reader(clock)
    stage = Stage(options=AgentOptions(instructions="Be kind.", **options), clock=clock, mind=mind)
    return stage, mind, stage.play((1.0, SAID))


def test_what_was_said_so_far_is_read_while_the_user_goes_on():
    stage, mind, told = play()
    assert len(mind.read_so_far) >= 2
    words, system, before = mind.read_so_far[-1]
    assert SAID.startswith(" ".join(words))
    assert (system, before) == (mind.asked[0][1], ())
    _, _, late = play(speculate=False)  # nothing is done ahead then
    assert told.all(AnswerSound)[0].time_s < late.all(AnswerSound)[0].time_s - 0.1
    assert stage.session.turns[0].text == SAID


def test_nothing_is_read_that_will_not_be_answered_unasked():
    _, mind, _ = play(create_response=False)
    assert not mind.read_so_far


def test_a_mind_that_fails_to_read_still_answers(monkeypatch):
    monkeypatch.setattr(Reader, "error", AgentError("the page is torn: turn it"))
    _, _, told = play()
    assert {event.stage for event in told.all(Failed)} == {"think"}
    assert told.all(AnswerSound)


@pytest.mark.parametrize("language", [None, "zh"])
def test_every_model_is_used_once_in_each_language(language):
    stage = Stage()
    warm_up(stage.parts, AgentOptions(instructions="Be kind.", language=language))
    asked = [(turns[0].language, system) for turns, system in stage.mind.asked]
    assert asked == [(one, "Be kind.") for one in ([language] if language else ["zh", "en"])]
    assert len(stage.hear.calls) == 1
    assert stage.clock.now_s > 0.2


def test_a_speaker_says_nothing_in_a_language_that_it_has_not(caplog):
    stage, speaker = Stage(), ToneSpeaker()
    speaker.languages = ("en",)
    warm_up(replace(stage.parts, voicing=voicing_of(speaker)), AgentOptions())
    assert not caplog.records


def test_a_mind_elsewhere_is_not_asked_and_one_that_hears_is_given_a_sound():
    stage = Stage()
    warm_up(stage.parts, AgentOptions(), asks=False)
    assert not stage.mind.asked
    stage.mind.hears = True
    warm_up(stage.parts, AgentOptions())
    said: Turn = stage.mind.asked[0][0][0]
    assert said.samples is not None
