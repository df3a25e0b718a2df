"""Words timed by a reader's attention: in the time of the input, or left as they are."""

import numpy as np
import pytest
from tests.fakes import speech

from mooer.engines.whisper import Encoded, TimedWord
from mooer.infer.aligned import Passing
from mooer.infer.attended import attended
from mooer.transcript import Segment, Word

LATE = (0.072, 0.046)  # what attention is early by


class Reader:
    """Looks at word i of a text between i and i + 1 s of what it is given; keeps what it read."""

    def __init__(self, written=None):
        self.texts = []
        self.seconds = []
        self._written = written

    def knows(self, language):
        return language in ("en", "zh")

    def tokens(self, text):
        self.texts.append(text.strip())
        return list(range(len(text)))

    def encode(self, samples, window_s=None):
        self.seconds.append(round(len(samples) / 16_000, 3))
        return Encoded(None, 30.0, len(samples) / 16_000)

    def align(self, chunk, tokens, language):
        words = (self._written or self.texts[-1]).split()
        return [TimedWord(f" {w}", i - LATE[0], i + 1 - LATE[1], 1.0) for i, w in enumerate(words)]


def segment(start_s, text, language="en", texts=None):
    words = [Word(start_s, start_s + 0.1, one, 0.5) for one in texts or text.split()]
    return Segment(start_s, start_s + len(words), text, language, words=tuple(words))


def heard(reader, *segments, seconds=40.0):
    return attended(Passing(speech((seconds, 0.5))), segments, reader)


def spans(one):
    return [(word.start_s, word.end_s) for word in one.words]


def test_words_are_where_the_reader_looks_in_the_time_of_the_input():
    reader = Reader()
    one, other = heard(reader, segment(2.0, "good morning!"), segment(10.0, "we"))
    assert reader.seconds == [2.6, 1.6]
    assert [w.text for w in one.words] == ["good", "morning!"]
    assert one.words[0].probability == 0.5
    assert spans(one) == [pytest.approx((1.7, 2.7), abs=0.01), pytest.approx((2.7, 4.0), abs=0.4)]
    assert (one.start_s, one.end_s) == (one.words[0].start_s, one.words[-1].end_s)
    assert other.start_s == pytest.approx(9.7, abs=0.01)


def test_characters_share_the_word_that_the_reader_sees():
    [one] = heard(Reader(written="你好 吗。"), segment(0.0, "你好吗。", "zh", ["你", "好", "吗。"]))
    begin, middle, end = (start for start, _ in spans(one))
    assert middle - begin == pytest.approx(0.5, abs=0.05)
    assert end == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(
    ("reader", "one"),
    [
        (Reader(), segment(1.0, "bonjour", "fr")),
        (Reader(), Segment(1.0, 2.0, "no words", "en")),
        (Reader(), Segment(1.0, 35.0, "too long", "en", words=(Word(1.0, 2.0, "too", 1.0),))),
        (Reader(), segment(1.0, "x" * 300)),
        (Reader(written="another text"), segment(1.0, "a text")),
        (Reader(), segment(90.0, "behind the end")),
    ],
)
def test_what_cannot_be_read_stays_as_it_is(reader, one):
    assert heard(reader, one) == [one]


def test_segments_that_overlap_are_heard_in_order():
    found = heard(Reader(), segment(1.0, "one two three"), segment(1.5, "four"))
    assert [len(one.words) for one in found] == [3, 1]
    assert all(np.isfinite(spans(one)).all() for one in found)
