"""When a turn ends, and when it was not over after all."""

import pytest
from tests.agent.score import Stage

from mooer.agent.events import (
    AnswerEnded,
    AnswerSound,
    AnswerStarted,
    Remembered,
    TurnEnded,
    UserStarted,
    UserStopped,
)


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
