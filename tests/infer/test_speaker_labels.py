import pytest

from mooer.infer.speaker_labels import label_segments
from mooer.subtitles.rttm import Turn
from mooer.transcript import Event, Segment, Word

TURNS = (Turn(0.0, 2.0, "S1"), Turn(2.0, 5.0, "S2"), Turn(5.0, 6.0, "S1"))


def words(*texts, start_s=0.0, each_s=0.5):
    return tuple(
        Word(start_s + i * each_s, start_s + (i + 1) * each_s, text, 0.9)
        for i, text in enumerate(texts)
    )


def segment(start_s, end_s, text="words", **more):
    return Segment(start_s, end_s, text, "en", **more)


def test_a_segment_is_of_whoever_speaks_most_of_it():
    found = label_segments([segment(0, 1.9), segment(1.5, 4), segment(5.1, 6)], TURNS)
    assert [s.speaker for s in found] == ["S1", "S2", "S1"]
    assert [(s.start_s, s.end_s) for s in found] == [(0, 1.9), (1.5, 4), (5.1, 6)]


def test_a_segment_is_divided_where_the_speaker_changes():
    said = words("Are", "you", "there,", "Ben?", "Yes,", "I", "am.")
    whole = segment(0, 3.5, "Are you there, Ben? Yes, I am.", words=said, avg_logprob=-0.3)
    first, second = label_segments([whole], TURNS)
    assert (first.speaker, first.text) == ("S1", "Are you there, Ben?")
    assert (second.speaker, second.text) == ("S2", "Yes, I am.")
    assert (first.start_s, first.end_s, second.start_s, second.end_s) == (0, 2, 2, 3.5)
    assert first.words + second.words == said
    assert second.avg_logprob == -0.3


def test_chinese_is_divided_at_its_characters():
    said = words(*"你好吗我很好", each_s=0.7)
    found = label_segments([segment(0, 4.2, "你好吗？我很好。", words=said)], TURNS)
    assert [s.text for s in found] == ["你好吗？", "我很好。"]


def test_words_that_are_not_the_text_are_joined():
    said = words("one", "two", "three", "four", "five", "six")
    found = label_segments([segment(0, 3, "1 2 3 4 5 6", words=said)], TURNS)
    assert [s.text for s in found] == ["one two three four", "five six"]


def test_a_translated_segment_stays_whole():
    said = words("a", "b", "c", "d", "e", "f")
    whole = segment(0, 3, "a b c d e f", words=said, translation="x")
    (found,) = label_segments([whole], TURNS)
    assert found.speaker == "S1"
    assert found.words == said


def test_a_very_short_interjection_is_left_where_it_is():
    turns = (Turn(0, 1.0, "S1"), Turn(1.0, 1.1, "S2"), Turn(1.1, 3, "S1"))
    said = words(*"abcdefghij", each_s=0.1) + words("k", start_s=1.0, each_s=0.1)
    said += words("l", "m", start_s=1.1)
    (found,) = label_segments([segment(0, 2.1, "abcdefghijklm", words=said)], turns)
    assert found.speaker == "S1"
    longer = (Turn(0, 1.0, "S1"), Turn(1.0, 1.6, "S2"), Turn(1.6, 3, "S1"))
    said = words("a", "b", "yes", "c", "d", each_s=0.5)
    found = label_segments([segment(0, 2.5, "a b yes c d", words=said)], longer)
    assert [(s.speaker, s.text) for s in found] == [("S1", "a b"), ("S2", "yes"), ("S1", "c d")]


def test_silence_near_a_turn_is_its_speakers():
    found = label_segments([segment(6.2, 6.9), segment(8, 9), segment(20, 21)], TURNS)
    assert [s.speaker for s in found] == ["S1", None, None]
    assert label_segments([segment(0, 1)], ())[0].speaker is None
    said = words("so", "well", start_s=8)
    assert label_segments([segment(8, 9, "so well", words=said)], TURNS)[0].speaker is None


def test_words_before_the_first_turn_are_its_speakers():
    turns = (Turn(3.0, 5.0, "S1"),)
    said = words("a", "b", "c", "d", "e", "f", "g", "h")
    (found,) = label_segments([segment(0, 4, "a b c d e f g h", words=said)], turns)
    assert found.speaker == "S1"


@pytest.mark.parametrize(("until_s", "overlap"), [(2.1, False), (2.5, True)])
def test_two_at_once_are_told(until_s, overlap):
    turns = (Turn(0, until_s, "S1"), Turn(2, 5, "S2"), Turn(2, 3, "S2"))
    found = label_segments([segment(0, 1.5), segment(2, 5)], turns)
    assert [s.overlap for s in found] == [False, overlap]


def test_sounds_have_no_speaker_and_go_with_their_part():
    sound = segment(0.5, 1, "", events=(Event(0.5, 1, "laughter", 0.9),))
    assert label_segments([sound], TURNS) == (sound,)
    events = (Event(0.1, 0.4, "cough", 0.9), Event(2.2, 2.4, "music", 0.8))
    whole = segment(0, 3, "a b c d e f", words=words(*"abcdef"), events=events)
    first, second = label_segments([whole], TURNS)
    assert [e.name for e in first.events] == ["cough"]
    assert [e.name for e in second.events] == ["music"]
