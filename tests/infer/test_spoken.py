"""What is said for what is written, word by word."""

import pytest
from tests.fakes import LetterCtc

from mooer.infer.spoken import spell_word, spoken_words
from mooer.speak.english_numbers import read_word


def said(text, language=None):
    return [(word.text, " ".join(word.spoken)) for word in spoken_words(text, language)]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Hello,  world!", [("Hello,", "hello"), (" world!", "world")]),
        ("2024年，", [("2024", "二 零 二 四"), ("年，", "年")]),
        ("占3.5%。", [("占", "占"), ("3.5%。", "百 分 之 三 点 五")]),
        ("第2名2个", [("第", "第"), ("2", "二"), ("名", "名"), ("2", "两"), ("个", "个")]),
        ("温-5°C，", [("温", "温"), ("-5°C，", "零 下 五 摄 氏 度")]),
        ("漢語", [("漢", "汉"), ("語", "语")]),
        ("用GPT4写", [("用", "用"), ("GPT4", "gpt four"), ("写", "写")]),
        ("“你好”——他说", [("“你", "你"), ("好”——", "好"), ("他", "他"), ("说", "说")]),
        ("It’s 9:05 - go", [("It’s", "it's"), (" 9:05 -", "nine oh five"), (" go", "go")]),
        ("£2 million, e.g.", [("£2", "two"), (" million,", "million pounds"), (" e.g.", "e g")]),
        ("well-known words", [("well-known", "well known"), (" words", "words")]),
        ("... — !", []),
        ("", []),
    ],
)
def test_written_and_said(text, wanted):
    assert said(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "今天是2024年3月5日，GPT-4 和 iPhone 15 Pro 都卖 $1,999.99！",
        "The U.S. spent $3.5 billion (about 12%) in 1999 — “a lot”, he said.",
        "（一）你好 , world / 3:2",
        "naïve café 3rd Привет 1/2 of it's",
    ],
)
def test_nothing_that_is_written_is_lost(text):
    assert "".join(word.text for word in spoken_words(text)) == " ".join(text.split())
    assert all(word.spoken for word in spoken_words(text))


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("007", "zero zero seven"),
        ("13800138000", "one three eight zero zero one three eight zero zero zero"),
        ("1990s", "nineteen nineties"),
        ("80s", "eighties"),
        ("$1", "one dollar"),
        ("$3.50", "three dollars fifty"),
        ("$20.00", "twenty dollars"),
        ("10:00", "ten"),
        ("100th", "one hundredth"),
        ("42nd", "forty second"),
        ("0.05%", "zero point zero five percent"),
        ("R&D", "r and d"),
        ("20°C", "twenty degrees celsius"),
        ("don't", "don't"),
        ("—", ""),
    ],
)
def test_numbers_in_english(written, wanted):
    assert " ".join(read_word(written)) == wanted


def test_marks_on_letters_are_left_out_if_they_must_be():
    model = LetterCtc()
    assert spell_word("café", model) == model.spell("cafe")
    assert spell_word("привет", model) == ()
