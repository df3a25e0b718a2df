import pytest

from mooer.speak.english_reading import read_english


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It is 8:05 now", "It is eight oh five now"),
        ("at 12:00", "at twelve o'clock"),
        ("at 9 a.m. today", "at nine A M today"),
        ("12:30pm", "twelve thirty P M"),
        ("10:30-11:00", "ten thirty to eleven o'clock"),
        ("in 1984", "in nineteen eighty four"),
        ("the 1990s", "the nineteen nineties"),
        ("2024-08-15", "August fifteenth, twenty twenty four"),
        ("8/15/2024", "August fifteenth, twenty twenty four"),
        ("Aug. 15, 2024", "August fifteenth, twenty twenty four"),
        ("May 5", "May fifth"),
        ("2024-13-99", "twenty twenty four-13-99"),
        ("3.5%", "three point five percent"),
        ("10-15%", "ten to fifteen percent"),
        ("$3.50 or $2.5 million", "three dollars fifty or two point five million dollars"),
        ("5 km/h, 1 m, 6 ft", "five kilometers per hour, one meter, six feet"),
        ("-5°C", "minus five degrees celsius"),
        ("20 m^2, 10^2", "twenty square meters, ten squared"),
        ("3-5 days", "three to five days"),
        ("1/2 cup, 3/4", "one half cup, three quarters"),
        ("No. 5 and #1", "number five and number one"),
        ("i.e. this, e.g. that", "that is this, for example that"),
        ("555-1234", "five five five, one two three four"),
        ("192.168.1.1", "one nine two dot one six eight dot one dot one"),
        ("GPT-4o, MP3, COVID-19, B2B, v2.0", "GPT-4o, MP3, COVID-19, B2B, v2.0"),
        ("3 x 4 ÷ 2", "three times four divided by two"),
        ("1,234,567", "one million two hundred thirty four thousand five hundred sixty seven"),
        ("It cost 5.", "It cost five."),
        ("nothing to read", "nothing to read"),
    ],
)
def test_what_is_written_in_digits_is_read_out(written, said):
    assert read_english(written) == said
