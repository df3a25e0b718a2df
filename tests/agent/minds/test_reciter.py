"""A mind that always has something to say."""

import pytest

from mooer.agent.mind import Turn
from mooer.agent.minds import MINDS


@pytest.mark.parametrize(
    ("said", "begins", "least"), [("Tell me", "There was", 300), ("你好", "从前", 100)]
)
def test_it_recites_in_the_language_of_the_user(said, begins, least):
    mind = MINDS.load("reciter").open(num_threads=2)
    text = "".join(mind.answer([Turn("user", said)], system=""))
    assert text.startswith(begins)
    assert len(text) > least


def test_it_says_no_more_than_it_may():
    mind = MINDS.load("reciter").open()
    assert len(list(mind.answer([Turn("user", "Tell me")], system="", max_tokens=7))) == 7
