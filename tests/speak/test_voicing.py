import logging

import numpy as np
import pytest
from hypothesis import given, settings

from mooer.errors import ConfigError, DecodeError, ModelError
from mooer.speak import Voice, voicing_of
from mooer.speak.base import Stretch
from mooer.speak.speakable import speakable
from mooer.speak.stretches import aligned, estimated, word_spans
from mooer.speak.voicing import written_words
from tests.speak.test_clauses import TEXTS
from tests.speak.tones import NativeSpeaker, ToneSpeaker


def test_clauses_come_before_the_text_is_whole():
    speaker = ToneSpeaker()
    taken = []

    def pieces():
        for piece in ["Well, I would", " say so, ", "and", " then it ", "ends."]:
            taken.append(piece)
            yield piece

    spoken = voicing_of(speaker).voice(pieces())
    first = next(spoken)
    assert first.text == "Well, I would say so,"
    assert len(taken) == 3  # one more than the clause, to know what follows its comma
    assert [one.text for one in spoken] == [" and then it ends."]


def test_a_generator_that_is_closed_says_no_more():
    speaker = ToneSpeaker()
    spoken = voicing_of(speaker).voice(["One, two, three. " * 20])
    next(spoken)
    spoken.close()
    assert len(speaker.said) == 1


def test_pauses_stand_before_what_follows_and_move_its_words():
    first, second, third = voicing_of(ToneSpeaker()).voice(
        ["我们都知道，它从来都不是这样的。然后呢"], speed=1.0
    )
    assert len(first.samples) == 24_000 * 0.6
    assert first.words[0].start_s == pytest.approx(0.0, abs=0.001)
    quiet = int(0.15 * 24_000)
    assert not second.samples[:quiet].any()
    assert second.samples[quiet + 10 : quiet + 100].any()
    assert second.words[0].start_s == pytest.approx(0.15, abs=0.002)
    assert third.words[0].start_s == pytest.approx(0.3, abs=0.002)


def test_pauses_shrink_with_speed():
    _, second = voicing_of(ToneSpeaker()).voice(["我们都知道，它不是这样"], speed=1.5)
    assert second.words[0].start_s == pytest.approx(0.1, abs=0.002)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_what_is_spoken_is_what_was_written(text):
    """But what says nothing; and words joined are their clause, in order of time."""
    spoken = list(voicing_of(ToneSpeaker()).voice([text]))
    for one in spoken:
        assert one.text in text
        assert "".join(word.text for word in one.words) == one.text
        edges = [edge for word in one.words for edge in (word.start_s, word.end_s)]
        assert edges == sorted(edges)
        assert edges[-1] <= len(one.samples) / one.rate_hz + 1e-6
        assert one.samples.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("我用Python写代码。", "zh"),
        ("I live in 北京 since 2024.", "en"),
        ("2024.", "en"),
        ("Привет, world", "en"),
    ],
)
def test_a_clause_is_read_in_the_language_that_it_has_most_of(text, language):
    speaker = ToneSpeaker()
    list(voicing_of(speaker).voice([text]))
    assert {said[1] for said in speaker.said} == {language}


def test_one_native_voice_speaks_all_that_follows():
    speaker = NativeSpeaker()
    for text in ("好的，我知道了。Then it ends here.", "It ends here. 好的，我知道了。"):
        list(voicing_of(speaker).voice([text]))
    list(voicing_of(speaker, Voice.parse("mid")).voice(["好的，我知道了。"]))
    said = [(language, voice) for _, language, voice, _ in speaker.said]
    high, low = "high:1.0", "low:1.0"
    assert said == [
        *(("zh", high), ("en", high)),
        *(("en", low), ("zh", low)),
        ("zh", "mid:1.0"),
    ]


def test_numbers_alone_are_read_as_what_stood_before_them():
    speaker = ToneSpeaker()
    list(voicing_of(speaker).voice(["今年是哪一年呢？2024。"]))
    assert [said[1] for said in speaker.said] == ["zh", "zh"]
    list(voicing_of(speaker, language="en").voice(["今年是哪一年呢？2024。"]))
    assert [said[1] for said in speaker.said[2:]] == ["en", "en"]


class Choosy(ToneSpeaker):
    def speak(self, text, language, voice, *, speed=1.0):
        if "bad" in text:
            raise DecodeError("Tone cannot say bad things")
        if "gone" in text:
            raise ModelError("the server is gone")
        return super().speak(text, language, voice, speed=speed)


def test_a_clause_that_fails_is_left_out_and_told(caplog):
    with caplog.at_level(logging.WARNING):
        spoken = list(voicing_of(Choosy()).voice(["Fine here. This is bad. Good again."]))
    assert [one.text for one in spoken] == ["Fine here.", " Good again."]
    assert "left out of what is spoken: Tone cannot say bad things" in caplog.text


def test_a_language_that_the_speaker_lacks_is_left_out(caplog):
    speaker = ToneSpeaker()
    speaker.languages = ("en",)
    with caplog.at_level(logging.WARNING):
        spoken = list(voicing_of(speaker).voice(["Hello there. 你在哪里？Bye now."]))
    assert [one.text for one in spoken] == ["Hello there.", "Bye now."]
    assert "no zh, only en" in caplog.text


def test_what_is_wrong_for_all_clauses_is_raised():
    with pytest.raises(ModelError, match="gone"):
        list(voicing_of(Choosy()).voice(["All is gone."]))
    with pytest.raises(ConfigError, match="no voice"):
        list(voicing_of(Choosy()).voice(["Hi."], voice=Voice.parse("")))


def test_signs_and_code_are_no_sound():
    speaker = ToneSpeaker()
    text = "**Look** 😀 here:\n```py\nx\n```\n- [one](http://a.org)\n😀"
    spoken = list(voicing_of(speaker).voice([text]))
    assert [said[0] for said in speaker.said] == ["Look  here:", "one"]
    assert "".join(one.text for one in spoken) == text.removesuffix("\n😀")
    assert list(voicing_of(speaker).voice(["😀 **!**"])) == []


def test_words_by_a_speakers_own_times():
    clause = " **3.5%** is *it*, 好😀!"
    what = speakable(clause)
    spans = word_spans(what.text)
    stretches = [Stretch(start, end, float(i), i + 0.5) for i, (start, end) in enumerate(spans)]
    words = written_words(clause, what, stretches)
    assert [word.text for word in words] == [" **3.5%", "** is", " *it*,", " 好😀!"]
    assert [word.start_s for word in words] == [0.0, 1.0, 2.0, 3.0]


def test_alignment_finds_words_that_are_said_otherwise():
    said = "wʌnpɔɪntfaɪv dɒgz"
    times = np.stack([np.arange(len(said)), np.arange(len(said)) + 1], axis=1).astype(float)
    read = {"1.5": "wʌnpɔɪntfaɪv", "dogs": "dɔgs"}.__getitem__
    one, dogs = aligned("1.5 dogs", said, times, read)
    assert (one.start_s, one.end_s) == (0.0, 12.0)
    assert (dogs.start_s, dogs.end_s) == (13.0, 17.0)
    assert aligned("?", said, times, lambda word: "") == ()


def test_an_estimate_leaves_out_the_silence_at_both_ends():
    sound = np.concatenate([np.zeros(8_000), np.ones(16_000), np.zeros(8_000)]).astype(np.float32)
    words = estimated("好，你好。", sound, 16_000)
    assert words[0].start_s == pytest.approx(0.5)
    assert words[-1].end_s == pytest.approx(1.5)
    assert words[1].start_s - words[0].end_s > 0.1  # the comma
    assert estimated("好", np.zeros(100, np.float32), 16_000) == ()
