"""Whisper as an ear: it goes on from what is final, and what it invents is not believed."""

import numpy as np
import pytest
from tests.fakes import ScriptedWhisper

from mooer.engines.whisper import TimedWord
from mooer.infer import Final, LiveOptions, RecognizeOptions, Said
from mooer.infer.ear import in_characters
from mooer.infer.whisper_ear import WhisperEar

LOOP = "we should go on " * 30


def samples(seconds):
    return np.zeros(round(seconds * 16_000), np.float32)


def ear_of(*texts, no_speech_prob=0.0, **options):
    engine = ScriptedWhisper(texts, no_speech_prob=no_speech_prob)
    return WhisperEar(engine, RecognizeOptions(**options)), engine


def texts(guess):
    return [word.text for word in guess.words]


def said(text, word_s=0.5):
    return [
        TimedWord(f" {one}", i * word_s, (i + 1) * word_s, 0.9)
        for i, one in enumerate(text.split())
    ]


def test_a_step_is_greedy_in_a_short_window_and_the_last_is_not():
    ear, engine = ear_of("good morning", "good morning to all", language="en")
    ear.hear(samples(3), (), speech_prob=0.9, last=False)
    guess = ear.hear(samples(3), (), speech_prob=0.9, last=True)
    assert texts(guess) == [" good", " morning", " to", " all"]
    assert [d[0] for d in engine.decodings] == [8.0, 12.0]
    assert [o.beam_size for o in engine.options] == [1, 5]


def test_it_goes_on_from_the_final_words():
    ear, engine = ear_of("good morning to all", language="en")
    guess = ear.hear(samples(2), said("good morning"), speech_prob=0.9, last=False)
    assert engine.options[0].prefix == engine.tokens(" good morning")
    assert texts(guess) == [" to", " all"]
    assert guess.words[0].start_s == pytest.approx(1.0, abs=0.08)


def test_the_language_is_asked_until_it_is_sure():
    ear, engine = ear_of("one", "two", "three")
    asked = []
    engine.detect_language = lambda encoded: (
        asked.append(encoded.duration_s) or [("en" if encoded.duration_s > 2 else "zh", 0.8)]
    )
    guesses = [ear.hear(samples(s), (), speech_prob=0.9, last=False) for s in (1.0, 2.5, 3.0)]
    assert [g.language for g in guesses] == ["zh", "en", "en"]
    assert asked == [1.0, 2.5]
    assert ear.language_probability == 0.8


def test_an_invented_text_is_no_hypothesis_and_at_the_end_it_is_mended():
    ear, engine = ear_of(LOOP, LOOP, LOOP, "we should go on", language="en")
    assert ear.hear(samples(4), (), speech_prob=0.9, last=False) is None
    guess = ear.hear(samples(4), (), speech_prob=0.9, last=True)
    assert texts(guess) == [" we", " should", " go", " on"]
    assert guess.warnings == ()
    assert [d[:2] for d in engine.decodings] == [(8.0, 0), (12.0, 0), (30.0, 0), (30.0, 0.4)]


def test_what_cannot_be_mended_is_said_once_with_a_warning():
    ear, _ = ear_of(*[LOOP] * 4, language="en")
    guess = ear.hear(samples(4), (), speech_prob=0.9, last=True)
    assert texts(guess) == [" we", " should", " go", " on"]
    assert "loops" in guess.warnings


def test_text_over_silence_is_nobodys():
    ear, engine = ear_of("Thank you for watching!", no_speech_prob=0.5, language="en")
    guess = ear.hear(samples(1), (), speech_prob=0.4, last=True)
    assert guess.words == ()
    assert len(engine.decodings) == 1


@pytest.mark.parametrize(("seconds", "window_s", "timed"), [(5, 24.0, True), (14, 16.0, False)])
def test_short_chinese_is_heard_out_as_in_recordings(seconds, window_s, timed):
    ear, engine = ear_of("你好", language="zh")
    ear.hear(samples(seconds), (), speech_prob=0.9, last=True)
    assert engine.decodings[0][0] == window_s
    assert engine.options[0].timestamps == timed


def test_each_character_of_chinese_is_a_word():
    words = in_characters(
        [TimedWord("二零年，", 0.0, 1.5, 0.9), TimedWord(" Python", 1.5, 2.0, 0.9)]
    )
    assert [w.text for w in words] == ["二", "零", "年，", " Python"]
    assert [w.start_s for w in words] == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.real
def test_the_size_of_blocks_does_not_change_the_text(model, examples):
    from mooer.audio.wave import read_wave

    sound = read_wave(examples / "en.flac")
    found = []
    for size in (517, 1_600, 40_001):
        session = model.listen(LiveOptions(adaptive=False), language="en")
        events = list(session.follow(sound[i : i + size] for i in range(0, len(sound), size)))
        final = "".join(w.text for e in events if isinstance(e, Final) for w in e.words)
        said_text = " ".join(e.segment.text for e in events if isinstance(e, Said))
        assert final.strip() == said_text
        found.append(final)
    assert found[0] == found[1] == found[2]
    assert "good morning" in found[0].lower()
    assert "human speech" in found[0].lower()
