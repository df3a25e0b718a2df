"""Units of a CTC head: spelled, said again, read and refused."""

import pytest

from mooer.errors import ModelError
from mooer.text.units import Units, read_units, units_text, words_of

PIECES = {
    "▁the": -1.0,
    "▁": -4.0,
    "▁th": -3.0,
    "e": -2.0,
    "the": -2.0,
    "n": -3.0,
    "'": -5.0,
    "t": -3.0,
}


@pytest.fixture
def units():
    names = ("中", "说", *PIECES)
    return Units(names, (-1.0, None, *PIECES.values()), ("zhong1", "shuo1", *("" for _ in PIECES)))


def names(units, classes):
    return [units.names[number - 1] for number in classes]


def test_the_likeliest_pieces_are_taken(units):
    assert names(units, units.spell("the")) == ["▁the"]
    assert names(units, units.spell("Then!")) == ["▁the", "n"]
    assert names(units, units.spell("nthe")) == ["▁", "n", "the"]
    assert names(units, units.spell("ten’t")) == ["▁", "t", "e", "n", "'", "t"]
    assert names(units, units.spell("ténet")) == ["▁", "t", "e", "n", "e", "t"]


def test_traditional_is_simplified_and_scripts_mix(units):
    assert names(units, units.spell("說中the")) == ["说", "中", "▁the"]
    assert units.text(units.spell("中the說 then")) == "中 the 说 then"


@pytest.mark.parametrize("word", ["", "...", "x", "the5", "24", "か", "말", "龘", "the龘"])
def test_what_cannot_be_spelled_is_nothing(units, word):
    assert units.spell(word) == ()


def test_words_are_what_is_heard_one_after_another():
    assert words_of("MP3播放，O'Neil's 5th-rate") == ["mp3", "播", "放", "o'neil's", "5th", "rate"]


def test_a_table_is_read_as_it_was_written(units, tmp_path):
    path = tmp_path / "units.txt"
    path.write_text(units_text(units), encoding="utf-8")
    assert read_units(path) == units


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("中\t-1.0\tzhong1\n说\tx\t\n", "line 2 is not a unit, a number or - and a reading"),
        ("中\t-1.0\n", "line 1"),
        ("中\t-\t\n说\t-\t\n中\t-\t\n", "lists 3 units, of which 2 differ"),
        ("\t-\t\n", "line 1 has no unit"),
        ("", "lists 0 units"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, content, told):
    path = tmp_path / "units.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=told):
        read_units(path)
    with pytest.raises(ModelError, match="cannot be read"):
        read_units(tmp_path / "none.txt")
