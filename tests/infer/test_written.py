"""Segments as they are written: marks by pauses, and numbers in digits."""

import pytest
from tests.fakes import LoudnessVad, ScriptedWhisper, speech

from mooer.infer.guarded import RecognizeOptions
from mooer.infer.recognizer import Recognizer
from mooer.infer.written import punctuated, written
from mooer.transcript import Segment, Word


def spoken(text, *times, language="en"):
    """A segment of the words of `text`, which begin and end at `times`."""
    said = text.split()
    words = tuple(Word(*t, w, 0.9) for w, t in zip(said, times, strict=True))
    whole = "".join(said) if language == "zh" else text
    return Segment(times[0][0], times[-1][1], whole, language, words)


def test_marks_go_to_text_and_words():
    segment = punctuated(spoken("well i think so", (0, 0.2), (0.6, 0.7), (0.7, 1.0), (1.0, 1.3)))
    assert segment.text == "Well, I think so."
    assert [word.text for word in segment.words] == ["Well,", "I", "think", "so."]
    assert segment.words[1].start_s == 0.6
    chinese = spoken("你 好 王 先 生", *[(i, i + 1) for i in range(5)], language="zh")
    assert punctuated(chinese).text == "你好王先生。"


def test_words_of_another_wording_say_no_pauses():
    segment = Segment(0, 2, "so it goes", "en", (Word(0, 1, "thus", 1.0),))
    assert punctuated(segment).text == "So it goes."
    assert punctuated(segment).words == segment.words


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({}, "twenty percent"),
        ({"itn": True}, "20%"),
        ({"punctuate": True}, "Twenty percent."),
        ({"itn": True, "punctuate": True}, "20%."),
    ],
)
def test_only_what_is_asked_for_is_done(asked, text):
    segment = spoken("twenty percent", (0, 1), (1, 2))
    found = written(segment, RecognizeOptions(**asked))
    assert found.text == text
    assert [word.text.lower().strip(".") for word in found.words] == ["twenty", "percent"]


def test_text_with_marks_is_left_alone():
    segment = Segment(0, 1, "well, no", "en")
    assert written(segment, RecognizeOptions(punctuate=True)) == segment


def test_a_recogniser_writes_as_it_is_asked_to():
    texts = ["i have twenty two cats and a dog"] * 3
    clip = speech((0.5, 0), (2, 0.5), (0.5, 0))

    def heard(**asked):
        recognizer = Recognizer(ScriptedWhisper(texts), LoudnessVad(), versions={})
        options = RecognizeOptions(**asked)
        (segment,) = recognizer.transcribe(clip, options, rate_hz=16_000).segments
        return segment

    assert heard() == heard(words=False)
    assert heard().text == texts[0]
    rich = heard(itn=True, punctuate=True)
    assert (rich.text, rich.words) == ("I have 22 cats and a dog.", None)
    assert [w.text for w in heard(itn=True, words=True).words] == texts[0].split()
