"""A text and its recording: times, what is told of wrong text, and segments of any recogniser."""

import logging
import tracemalloc

import numpy as np
import pytest
from tests.fakes import LetterCtc

from mooer.audio.wave import open_wave
from mooer.errors import AudioError, ConfigError, DecodeError
from mooer.infer.aligned import align, with_words
from mooer.infer.placed import NOT_IN_AUDIO, share_heard
from mooer.transcript import Segment, Transcript, Word

SAID = [0.4, "good", "morning", 0.5, "we", "have", "two", "dogs", 0.6]


def times(transcript):
    return [(w.text, w.start_s, w.end_s) for s in transcript.segments for w in s.words]


def test_words_of_a_text_and_their_times():
    model = LetterCtc()
    samples, said = model.say(SAID)
    found = align(samples, "Good morning!\nWe have 2 dogs.\n", model, name="letters")
    assert [(s.text, s.language) for s in found.segments] == [
        ("Good morning!", "en"),
        ("We have 2 dogs.", "en"),
    ]
    assert [w for w, _, _ in times(found)] == ["Good", "morning!", "We", "have", "2", "dogs."]
    for (_, start, end), (_, begin, finish) in zip(times(found), said, strict=True):
        assert start == pytest.approx(begin, abs=0.021)
        assert end == pytest.approx(finish, abs=0.021)
    assert (found.model, found.language, found.warnings) == ("letters", "en", ())
    assert found.duration_s == pytest.approx(len(samples) / 16_000, abs=1e-3)
    assert all(w.probability == pytest.approx(0.9, abs=0.01) for w in found.segments[1].words)
    assert found.segments[0].avg_logprob == pytest.approx(np.log(0.9), abs=0.01)
    assert Transcript.from_json(found.to_json()) == found


def test_chinese_comes_by_the_character_with_its_marks():
    model = LetterCtc()
    samples, said = model.say([0.2, *"今天是二零二四年", 0.2, "你", "好", 0.2])
    found = align(samples, "今天是2024年，你好。", model)
    assert [w for w, _, _ in times(found)] == ["今", "天", "是", "2024", "年，", "你", "好。"]
    _, start, end = times(found)[3]
    assert (start, end) == pytest.approx((said[3][1], said[6][2]), abs=0.021)
    assert found.language == "zh"
    assert found.text == "今天是2024年，你好。"


def test_a_long_line_is_cut_at_its_sentences():
    model = LetterCtc()
    sentence = ["we", "have", "two", "dogs", 0.3]
    samples, _ = model.say(sentence * 14, unit_frames=5)
    found = align(samples, "We have two dogs. " * 14, model)
    assert [s.text for s in found.segments] == ["We have two dogs."] * 14
    assert len(model.windows) == 1


def test_a_wave_is_read_piece_by_piece_and_gives_the_same():
    model = LetterCtc()
    samples, _ = model.say(SAID * 20)
    text = "Good morning. We have two dogs. " * 20
    whole = align(samples, text, model)
    num_windows = len(model.windows)
    told = []
    with open_wave(samples, rate_hz=16_000) as wave:
        found = align(wave, text, model, on_progress=lambda *pair: told.append(pair))
    assert found == whole
    assert told[-1][0] == pytest.approx(told[-1][1])
    assert len(model.windows) == 2 * num_windows > 2


def test_a_line_that_nobody_says_is_told():
    model = LetterCtc()
    samples, said = model.say([0.3, *SAID, "fish", "jump", "quick", 0.3])
    text = "Good morning!\nHis bad cat hid.\nWe have two dogs.\nFish jump quick."
    found = align(samples, text, model)
    assert [NOT_IN_AUDIO in s.warnings for s in found.segments] == [False, True, False, False]
    assert share_heard(found.segments) == pytest.approx(9 / 13)
    [sentence] = found.warnings
    assert "1 of 4 segments of the text are not heard" in sentence
    assert "His bad cat hid." in sentence
    assert times(found)[-1][2] == pytest.approx(said[-1][2], abs=0.021)


def test_a_text_of_another_recording_is_told():
    model = LetterCtc()
    samples, _ = model.say(SAID)
    found = align(samples, "Fish jump quick.", model)
    assert share_heard(found.segments) == 0
    assert found.warnings == (
        "the text is not what is said in the recording: its times mean nothing",
    )


def test_words_that_cannot_be_spelled_are_told_and_placed(caplog):
    model = LetterCtc()
    samples, said = model.say(["good", 0.3, "xyzq", 0.3, "dogs", 0.3])
    with caplog.at_level(logging.WARNING, "mooer"):
        found = align(samples, "good привет dogs", model)
    assert "cannot spell get rough times: 1, привет" in caplog.text
    _, word, _ = found.segments[0].words
    assert (word.start_s, word.end_s) == pytest.approx(said[1][1:], abs=0.021)
    assert word.probability == 0.0


@pytest.mark.parametrize(
    ("text", "samples", "error", "sentence"),
    [
        ("", None, ConfigError, "the text is empty"),
        ("... !\n\n", None, ConfigError, "the text is empty"),
        ("Привет как дела", None, ConfigError, "cannot spell most words of the text"),
        ("good", np.zeros(32_000, np.float32), AudioError, "the recording is silent"),
        ("good morning " * 40, None, DecodeError, "80 words or characters, more than"),
    ],
)
def test_bad_input_is_told_in_a_sentence(text, samples, error, sentence):
    model = LetterCtc()
    said, _ = model.say(SAID)
    with pytest.raises(error, match=sentence):
        align(said if samples is None else samples, text, model)


def test_noise_that_nobody_speaks_in():
    noise = np.random.default_rng(0).uniform(-0.01, 0.01, 64_000).astype(np.float32)
    found = align(noise, "good morning", LetterCtc())
    assert share_heard(found.segments) == 0


# --- segments of a recogniser ---------------------------------------------------------------------


def rough(text, start_s, end_s, **fields):
    return Segment(start_s, end_s, text, fields.pop("language", "en"), **fields)


def test_segments_get_words_near_their_own_times():
    model = LetterCtc()
    samples, said = model.say(SAID * 2)
    half = 0.5 * len(samples) / 16_000
    segments = [
        rough("Good morning!", 0.2, 1.0, translation="早上好"),
        rough("We have two dogs.", 1.3, 2.4, words=(Word(1.3, 2.4, "We", 0.1),)),
        rough("Good morning!", half + 0.2, half + 1.0),
        rough("We have two dogs.", half + 1.3, half + 2.4, warnings=("unsure",)),
    ]
    found = with_words(samples, segments, model)
    assert [s.text for s in found] == [s.text for s in segments]
    words = [word for segment in found for word in segment.words]
    for word, (_, begin, finish) in zip(words, said, strict=True):
        assert (word.start_s, word.end_s) == pytest.approx((begin, finish), abs=0.021)
    assert found[0].translation == "早上好"
    assert (found[0].start_s, found[0].end_s) == (words[0].start_s, words[1].end_s)
    assert [s.warnings for s in found] == [(), (), (), ("unsure",)]
    assert len(model.windows) == 1


def test_segments_that_cannot_be_spelled_or_were_not_said(caplog):
    model = LetterCtc()
    samples, _ = model.say(SAID)
    foreign = rough("Доброе утро", 0.4, 1.0, language="ru")
    invented = rough("Fish jump quick.", 1.2, 2.6)
    with caplog.at_level(logging.WARNING, "mooer"):
        found = with_words(samples, [foreign, invented], model)
    assert found[0] == foreign
    assert "no word times where the CTC model knows no spelling: 1, Доброе утро" in caplog.text
    assert NOT_IN_AUDIO in found[1].warnings
    crowded = rough("good morning " * 30, 1.0, 1.4)
    assert with_words(samples, [crowded], model) == [
        rough(crowded.text, 1.0, 1.4, warnings=(NOT_IN_AUDIO,))
    ]


def test_a_long_recording_is_heard_group_by_group():
    model = LetterCtc()
    samples, said = model.say([*SAID, 6.0] * 12)
    period = len(samples) / 16_000 / 12
    text = "Good morning. We have two dogs."
    segments = [rough(text, i * period, i * period + 2.9) for i in range(12)]
    with open_wave(samples, rate_hz=16_000) as wave:
        found = with_words(wave, segments, model)
    words = [word for segment in found for word in segment.words]
    for word, (_, begin, finish) in zip(words, said, strict=True):
        assert (word.start_s, word.end_s) == pytest.approx((begin, finish), abs=0.021)
    assert len(model.windows) == 4
    assert max(model.windows) <= 30


def test_segments_of_two_who_speak_at_once():
    model = LetterCtc()
    samples, _ = model.say(SAID)
    both = [rough("Good morning we have two dogs", 0.2, 2.6), rough("we have", 1.3, 2.0)]
    found = with_words(samples, both, model)
    assert found[1].warnings == ()
    assert found[1].words[0].start_s == pytest.approx(found[0].words[2].start_s, abs=0.021)


def test_segments_beyond_the_end_of_the_recording():
    model = LetterCtc()
    samples, _ = model.say(SAID)
    [found] = with_words(samples, [rough("good", 60.0, 61.0)], model)
    assert found.warnings == (NOT_IN_AUDIO,)
    assert with_words(samples, [], model) == []


@pytest.mark.slow
def test_memory_of_an_hour_is_what_is_kept_of_its_frames():
    model = LetterCtc()
    minute, _ = model.say(SAID * 17)
    peaks = []
    for minutes in (4, 16):
        text = "Good morning. We have two dogs. " * (17 * minutes)
        samples = np.tile(minute, minutes)
        tracemalloc.start()
        found = align(samples, text, model)
        peaks.append(tracemalloc.get_traced_memory()[1] / 2**20)
        tracemalloc.stop()
        assert share_heard(found.segments) == 1
    seconds = 12 * len(minute) / 16_000  # more
    # 25 MB an hour of frames, twice while they are joined, and the words of the text.
    assert (peaks[1] - peaks[0]) / seconds * 3600 < 100, peaks
