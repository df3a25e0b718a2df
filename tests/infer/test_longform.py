"""Chunks, batches and sentences: plain arithmetic."""

import numpy as np
import pytest

from mooer.audio.vad import Span
from mooer.engines.whisper import MAX_WINDOW_S, TimedWord, window_for
from mooer.infer.longform import MAX_SEGMENT_S, batches, groups, pack, sentences


def span(start_s, length_s):
    return Span(round(start_s * 16_000), np.zeros(round(length_s * 16_000), np.float32), 0.9)


def test_pack_fills_chunks_up_to_the_bound():
    chunks = list(pack([span(0, 8), span(10, 8), span(20, 8), span(60, 3)], max_s=20))
    assert [len(c.spans) for c in chunks] == [2, 2]
    assert [c.duration_s for c in chunks] == [16, 11]


def test_times_of_a_chunk_are_found_in_the_input():
    [chunk] = pack([span(1, 2), span(10, 3)], max_s=20)
    assert chunk.input_time_s(0.0) == 1.0
    assert chunk.input_time_s(1.5) == 2.5
    assert chunk.input_time_s(2.0) == 10.0
    assert chunk.input_time_s(2.0, ending=True) == 3.0
    assert chunk.input_time_s(99.0) == chunk.end_s == 13.0


def test_batches_grow_so_that_first_words_come_soon():
    chunks = list(pack([span(20 * i, 19) for i in range(14)], max_s=20))
    assert [len(b) for b in batches(chunks, 4)] == [1, 2, 4, 4, 3]
    assert list(batches([], 4)) == []


def test_groups_hold_every_chunk_once_and_windows_like_each_other():
    windows = [window_for(duration_s) for duration_s in [3, 19, 18, 1, 28, 12]]
    seen = []
    for window_s, indices in groups(windows):
        own = [windows[i] for i in indices]
        assert max(own) == window_s
        assert window_s - min(own) < 4
        seen += indices
    assert sorted(seen) == list(range(6))


@pytest.mark.parametrize("duration_s", [0.01, 1, 11, 19.9, 27, 29.9, 30])
def test_a_window_holds_its_speech(duration_s):
    assert duration_s <= window_for(duration_s) <= MAX_WINDOW_S


def words(text, step_s=0.3, pauses=()):
    at, found = 0.0, []
    for i, word in enumerate(text.split()):
        at += 1.0 if i in pauses else 0.0
        found.append(TimedWord(" " + word, at, at + step_s, 0.9))
        at += step_s
    return found


def texts(found):
    return ["".join(w.text for w in sentence).strip() for sentence in sentences(found)]


def test_sentences_end_at_punctuation_but_not_at_abbreviations():
    found = texts(words("Dr. Smith came in at noon today. He sat down and spoke."))
    assert found == ["Dr. Smith came in at noon today.", "He sat down and spoke."]


def test_a_number_is_not_cut_at_its_point():
    found = [TimedWord(t, i, i + 1, 0.9) for i, t in enumerate(["超过", "1.", "5", "倍。", "是"])]
    assert texts(found) == ["超过1.5倍。", "是"]
    assert texts(words("It was 1999. 5 of us left.")) == ["It was 1999.", "5 of us left."]


def test_sentences_end_at_a_pause():
    assert texts(words("one two three four five six", pauses={3})) == [
        "one two three",
        "four five six",
    ]


def test_a_long_sentence_is_divided_and_no_word_is_lost():
    found = words("word " * 200)
    parts = list(sentences(found))
    assert [w for part in parts for w in part] == found
    assert all(p[-1].end_s - p[0].start_s <= MAX_SEGMENT_S + 0.5 for p in parts)
