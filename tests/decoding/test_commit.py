"""What becomes final when a stream is heard again and again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.decoding.commit import LocalAgreement, num_agreed
from mooer.errors import ConfigError
from mooer.transcript import Word


def words(text, start_s=0.0):
    return [
        Word(start_s + i, start_s + i + 0.9, f" {one}", 0.9) for i, one in enumerate(text.split())
    ]


def text(words):
    return " ".join(word.text.strip() for word in words)


def test_what_two_hypotheses_agree_on_is_final_but_for_the_last_word():
    agreement = LocalAgreement()
    assert agreement.push(words("we are")) == []
    assert text(agreement.open) == "we are"
    assert text(agreement.push(words("we are going"))) == "we are"
    assert text(agreement.open) == "going"
    assert agreement.push(words("going")) == []  # agreed on, but the sound may end within it
    assert text(agreement.push(words("going home now"))) == "going"


def test_a_word_that_changes_stays_open_until_it_does_not():
    agreement = LocalAgreement()
    agreement.push(words("the cat is here"))
    assert text(agreement.push(words("the cap is here now"))) == "the"
    assert text(agreement.open) == "cap is here now"
    assert text(agreement.push(words("cap is here now too"))) == "cap is here now"


def test_marks_and_case_need_not_agree_and_are_those_of_the_latest():
    agreement = LocalAgreement()
    agreement.push(words("yes, We are going."))
    assert text(agreement.push(words("Yes. We are going to go"))) == "Yes. We are going"


def test_traditional_and_simplified_characters_agree():
    assert num_agreed([Word(0, 1, "漢", 1.0)], [Word(0, 1, "汉，", 1.0)]) == 1


def test_the_end_makes_everything_final():
    agreement = LocalAgreement()
    agreement.push(words("one two"))
    assert text(agreement.finish()) == "one two"
    assert agreement.open == ()
    assert agreement.push(words("one two three")) == []  # nothing of before is compared with


def test_words_are_made_final_by_time():
    agreement = LocalAgreement()
    agreement.push(words("one two three four"))
    assert text(agreement.settle(2.0)) == "one two"
    assert text(agreement.push(words("three four five"))) == "three four"


def test_words_of_which_too_little_is_heard_behind_stay_open():
    agreement = LocalAgreement()
    agreement.push(words("one two three four"), 2.0)
    assert text(agreement.push(words("one two three four"), 2.0)) == "one two"
    assert text(agreement.open) == "three four"


def test_what_nobody_said_is_forgotten():
    agreement = LocalAgreement()
    agreement.push(words("thank you"))
    agreement.drop()
    assert agreement.open == ()
    assert agreement.push(words("thank you all")) == []


def test_an_empty_hypothesis_takes_nothing_back_that_was_final():
    agreement = LocalAgreement()
    agreement.push(words("so we go on"))
    assert text(agreement.push(words("so we go"))) == "so we"
    assert agreement.push([]) == []
    assert agreement.open == ()
    assert agreement.push(words("go on")) == []


@pytest.mark.parametrize("agreeing", [1, 2, 3])
def test_as_many_hypotheses_must_agree_as_are_asked_for(agreeing):
    agreement = LocalAgreement(agreeing)
    for _ in range(agreeing - 1):
        assert agreement.push(words("a b c")) == []
    assert text(agreement.push(words("a b c"))) == "a b"


def test_no_hypothesis_at_all_cannot_agree():
    with pytest.raises(ConfigError, match="at least one"):
        LocalAgreement(0)


@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=8),
    st.integers(1, 3),
)
def test_a_recogniser_that_goes_on_from_the_final_words_never_loses_or_repeats_one(heard, agreeing):
    agreement = LocalAgreement(agreeing)
    final = []
    for whole in heard:
        tail = words(" ".join(whole[len(final) :]), len(final))
        before = list(final)
        final += agreement.push(tail)
        assert final[: len(before)] == before
        assert final[len(before) :] + list(agreement.open) == tail
    final += agreement.finish()
    starts = [word.start_s for word in final]
    assert starts == sorted(set(starts))
