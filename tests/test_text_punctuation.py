"""Marks by pauses."""

import pytest

from mooer.text.punctuation import capitalised, has_marks, marks_by_pauses


def marked(words, pauses_s, language):
    words = words.split()
    return " ".join(
        w + m for w, m in zip(words, marks_by_pauses(words, pauses_s, language), strict=True)
    )


@pytest.mark.parametrize(
    ("words", "pauses_s", "language", "wanted"),
    [
        ("你 好 我 是", [0.0, 0.3, 0.1], "zh", "你 好， 我 是。"),
        ("你 好 吗 好", [0.0, 0.1, 0.7], "zh", "你 好 吗？ 好。"),
        ("你 好", [0.7], "yue", "你。 好。"),
        ("はい そう", [0.4], "ja", "はい、 そう。"),
        ("ja gut dann", [0.4, 0.9], "de", "ja, gut. dann."),
        ("一 百 二 十", [0.0, 0.4, 0.1], "zh", "一 百 二 十。"),
        ("twenty five six", [0.3, 0.7], "en", "twenty five. six."),
        ("สวัสดี ครับ", [0.9], "th", "สวัสดี ครับ"),
        ("hello", [], "und", "hello"),
        ("hello", [], "en", "hello."),
    ],
)
def test_a_short_pause_is_a_comma_and_a_long_one_a_stop(words, pauses_s, language, wanted):
    assert marked(words, pauses_s, language) == wanted


def test_no_words_have_no_marks():
    assert marks_by_pauses([], [], "en") == []


@pytest.mark.parametrize(
    ("text", "has"),
    [
        ("don't", False),
        ("U.S", False),
        ("好。", True),
        ("你好，我", True),
        ("so -", True),
        ("", False),
    ],
)
def test_what_stands_inside_a_word_is_no_mark(text, has):
    assert has_marks(text) == has


def test_capitals_begin_sentences_unless_there_are_some():
    words = ["so", "i'm", "here", "it", "is"]
    marks = ["", "", ".", "", "."]
    assert capitalised(words, marks, "en") == ["So", "I'm", "here", "It", "is"]
    assert capitalised(words, marks, "it")[1] == "i'm"
    assert capitalised(["so", "Ann"], ["", "."], "en") == ["so", "Ann"]
    assert capitalised(["你", "好"], ["", "。"], "zh") == ["你", "好"]
