"""Scripts, languages and normalisers."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.errors import ConfigError
from mooer.text import (
    LANGUAGES,
    character_tokens,
    display_width,
    find_language,
    is_cjk,
    join_text,
    language_name,
    mixed_tokens,
    normalizer_for,
    split_words,
    to_simplified,
    to_traditional,
    word_tokens,
)

GOLDEN = json.loads((Path(__file__).parent / "evaluate" / "english_golden.json").read_text("utf-8"))


@pytest.mark.parametrize(
    ("pieces", "joined"),
    [
        (["你好", "世界"], "你好世界"),
        (["hello", "world"], "hello world"),
        (["我用", "Python"], "我用 Python"),
        (["好。", "Yes"], "好。Yes"),
        ([" a ", "", " ", "b"], "a b"),
        (["Hello", ", world"], "Hello, world"),
        (["so", "...and"], "so ...and"),
        (["これは", "ペンです"], "これはペンです"),
        (["안녕", "세계"], "안녕 세계"),
        ([], ""),
    ],
)
def test_joining_puts_spaces_where_the_scripts_want_them(pieces, joined):
    assert join_text(pieces) == joined


@pytest.mark.parametrize(
    ("text", "language", "words"),
    [
        ("The quick, brown fox", "en", ["The", "quick,", "brown", "fox"]),
        ("今天iPhone15卖3.5折", "zh", ["今", "天", "iPhone15", "卖", "3.5", "折"]),
        ("我don't知道", "zh", ["我", "don't", "知", "道"]),
        ("「好」", None, ["「", "好」"]),
        ("สวัสดี", "th", ["ส", "วั", "ส", "ดี"]),
        ("大韓民국 만세", "ko", ["大韓民국", "만세"]),
        ("", None, []),
    ],
)
def test_splitting(text, language, words):
    assert split_words(text, language) == words


@given(st.text())
def test_splitting_loses_nothing(text):
    assert "".join(split_words(text)) == "".join(text.split())


def test_scripts():
    assert [is_cjk(c) for c in "鿿アa。"] == [True, True, False, False]
    assert display_width("中a\u0301") == 3
    assert to_simplified("臺灣的電腦軟體") == "台湾的电脑软体"
    assert to_traditional("汉语 abc") == "漢語 abc"
    assert to_simplified("abc") == "abc"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh_Hant_TW", "zh"),
        ("yue", "yue"),
        ("English", "en"),
        ("haitian creole", "ht"),
        ("英文", "en"),
        ("粤语", "yue"),
        (" German ", "de"),
        ("jv", "jw"),
    ],
)
def test_languages_are_found_by_any_name(name, code):
    assert find_language(name) == code


def test_an_unknown_language_names_the_nearest():
    assert len(LANGUAGES) == 100  # the 99 of Whisper, and Cantonese
    with pytest.raises(ConfigError, match="did you mean german"):
        find_language("germn")
    with pytest.raises(ConfigError, match="unknown language ''"):
        find_language("")
    assert language_name("ja") == "Japanese"


@pytest.mark.parametrize(("text", "expected"), GOLDEN)
def test_english_is_normalised_as_the_reference_does(text, expected):
    assert normalizer_for("en")(text) == expected


@given(st.text())
def test_english_never_fails(text):
    assert normalizer_for("en")(text).split() == word_tokens(text, "en")


def test_english_takes_typographic_apostrophes():
    assert normalizer_for("en")("don’t") == "do not"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("「漢語」， ＡＢＣ 123。", "汉语abc123"),
        ("《我用Python寫代碼》！", "我用python写代码"),
        ("１，０００元", "1000元"),
        ("", ""),
    ],
)
def test_chinese(text, expected):
    assert normalizer_for("zh")(text) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Ça, c’est l'été — (rires) [bruit]!", "fr", ["ça", "cest", "lété"]),
        ("नमस्ते, दुनिया!", "hi", ["नमस्ते", "दुनिया"]),
        ("¿Qué? 1,000 euros", "es", ["qué", "1000", "euros"]),
        ("ＡＢＣ", None, ["abc"]),
    ],
)
def test_other_languages(text, language, expected):
    assert word_tokens(text, language) == expected


def test_tokens_of_characters_and_of_mixed_text():
    assert character_tokens("नी", "hi") == ["नी"]
    assert character_tokens("한국 말", "ko") == ["한", "국", "말"]
    assert mixed_tokens("我們 用Python 寫 hello world", "zh") == [
        *("我们用"),
        "python",
        "写",
        "hello",
        "world",
    ]
    assert mixed_tokens("It's 5", "en") == ["it", "is", "5"]
