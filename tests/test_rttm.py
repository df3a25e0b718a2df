import pytest

from mooer.errors import ManifestError
from mooer.subtitles.rttm import Turn, read_rttm, to_rttm
from mooer.transcript import Segment

TURNS = (Turn(0.0, 1.25, "S1"), Turn(1.0, 3.5, "S2"), Turn(4.0, 4.001, "S1"))


def test_what_is_written_is_read():
    assert read_rttm(to_rttm(TURNS, "talk")) == {"talk": TURNS}


def test_segments_are_turns_too():
    segments = [
        Segment(0.5, 2.0, "Hello.", "en", speaker="S1"),
        Segment(2.0, 3.0, "Who?", "en"),
        Segment(3.0, 3.0, "", "en", speaker="S2"),
    ]
    assert to_rttm(segments, "a") == "SPEAKER a 1 0.500 1.500 <NA> <NA> S1 <NA> <NA>\n"


def test_names_hold_no_space():
    text = to_rttm([Turn(0, 1, "Anna Lee\n")], " my talk\t2.wav ")
    assert text.split()[1] == "my_talk_2.wav"
    assert text.split()[7] == "Anna_Lee"
    assert to_rttm([Turn(0, 1, " ")], "").split()[1::6] == ["recording", "unknown"]


def test_other_lines_are_passed_over():
    text = "\ufeff;; a comment\nSPKR-INFO a 1 <NA> <NA> <NA> unknown b <NA>\n\n" + to_rttm(
        TURNS, "a"
    )
    text += "SPEAKER b 1 1 2 <NA> <NA> x\n"  # older tools end here
    found = read_rttm(text)
    assert found["a"] == TURNS
    assert found["b"] == (Turn(1, 3, "x"),)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("SPEAKER a 1 0.5 1.5", "line 2 is no RTTM .5 fields where 8"),
        ("SPEAKER a 1 x 1.5 <NA> <NA> s", "could not convert"),
        ("SPEAKER a 1 0 -1 <NA> <NA> s", "a turn of -1 s"),
        ("SPEAKER a 1 nan 1 <NA> <NA> s", "at nan s"),
        ("SPEAKER a 1 0 inf <NA> <NA> s", "a turn of inf s"),
    ],
)
def test_what_is_wrong_is_said(line, words):
    with pytest.raises(ManifestError, match=words):
        read_rttm(to_rttm(TURNS[:1], "a") + line)
