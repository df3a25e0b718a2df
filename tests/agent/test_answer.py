"""What of an answer was heard, by what was played of it."""

import numpy as np
import pytest

from mooer.agent.answer import Answer, Clause, Round
from mooer.speak.spoken import Spoken, SpokenWord


def spoken(text, words=()):
    return Spoken(text, np.zeros(8_000, np.float32), 8_000, tuple(words))


EVEN = [SpokenWord(w, i * 0.25, (i + 1) * 0.25) for i, w in enumerate(["The", "cat", "sat", "up"])]


@pytest.mark.parametrize(
    ("num", "text"),
    [
        (0, ""),
        (900, ""),
        (1_001, "The"),
        (2_900, "The"),
        (3_001, "The cat"),
        (8_000, "The cat sat, up."),
    ],
)
def test_words_count_from_their_half_on(num, text):
    assert Clause(0, 8_000, spoken("The cat sat, up.", EVEN)).heard(num) == text


def test_marks_stay_with_what_is_heard_before_them():
    assert Clause(0, 8_000, spoken("The cat sat, up.", EVEN)).heard(5_100) == "The cat sat"


def test_chinese_is_heard_by_characters():
    words = [SpokenWord(c, i * 0.2, (i + 1) * 0.2) for i, c in enumerate("你好世界吗")]
    assert Clause(0, 8_000, spoken("你好，世界吗？", words)).heard(4_100) == "你好，世"


def test_without_times_of_words_the_length_of_the_text_tells():
    assert Clause(0, 8_000, spoken("The cat sat up.")).heard(4_000) == "The"
    assert Clause(0, 8_000, spoken("你好世界")).heard(4_000) == "你好"


def test_an_answer_is_heard_clause_by_clause():
    answer = Answer(1, 1, 8_000, is_spoken=True)
    answer.rounds.append(Round(answer, text="The cat sat, up. And then?"))
    answer.add(spoken("The cat sat, up.", EVEN))
    answer.add(spoken("And then?"))
    answer.told = answer.num_samples
    answer.played = 8_000
    assert answer.heard == "The cat sat, up."
    answer.played, answer.is_made = 16_000, True
    assert answer.heard == "The cat sat, up. And then?"
    answer.forget_sound()
    assert not list(answer.sound_from(0))
    assert answer.heard == "The cat sat, up. And then?"
