import pytest
from hypothesis import given, settings

from mooer.speak.speakable import has_words, speakable
from tests.speak.test_clauses import TEXTS


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("**Bold** and *thin* and __both__", "Bold and thin and both"),
        ("## A title\nText", "A title, Text"),
        ("1. one\n2. two", "1. one, 2. two"),
        ("- one\n- two\n* three", "one, two, three"),
        ("- [x] done", "done"),
        ("> said", "said"),
        ("Use `x.y` now", "Use x.y now"),
        ("See ```x = 1``` there", "See  there"),
        ("See ```x = 1", "See"),
        ("[the page](https://a.org/b) and ![a cat](cat.png)", "the page and a cat"),
        ("at https://www.example.com/a/b?c=d.", "at example.com."),
        ("at a.org/b, and/or 24/7", "at a.org, and/or 24/7"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a , b , , 1 , 2 ,"),
        ("<b>yes</b>, 3 < 4", "yes, 3 < 4"),
        ("好😀的👍🏽！🇨🇳", "好的！"),
        ("20°C，5%，№ 3", "20°C，5%，№ 3"),
        ("2 * 3 = 6", "2 * 3 = 6"),
        ("snake_case stays", "snake_case stays"),
        ("，好", "好"),
        ("one line\nand the next", "one line and the next"),
        ("A title\nBy name", "A title, By name"),
        ("It ends.\nBy name", "It ends. By name"),
        ("第一行\n第二行", "第一行, 第二行"),
        ("", ""),
    ],
)
def test_what_is_said(written, spoken):
    assert speakable(written).text == spoken


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_every_character_points_to_where_it_was_written(text):
    found = speakable(text)
    assert len(found.places) == len(found.text)
    assert list(found.places) == sorted(found.places)
    for char, place in zip(found.text, found.places, strict=True):
        assert char == text[place] or char in " ,"
    assert "\n" not in found.text
    assert has_words(text) == any(map(str.isalnum, found.text))
