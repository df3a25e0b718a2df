"""Utterances begin, pause and end where the probabilities say so."""

import numpy as np
import pytest
from tests.fakes import LoudnessVad, speech

from mooer.audio.endpoint import FRAME_S, Endpointer, EndpointOptions, Sound
from mooer.audio.vad import SpeechStream, VadOptions

SPEECH, QUIET = 0.9, 0.1


def endpointer(**options):
    return Endpointer(VadOptions(), EndpointOptions(**options))


def test_speech_begins_pauses_once_and_ends():
    ends = endpointer(pause_s=2 * FRAME_S, end_s=4 * FRAME_S)
    told = [ends.push(prob) for prob in [QUIET, SPEECH, SPEECH, *[QUIET] * 5]]
    assert [one.name for one in told] == [
        *("SILENCE", "BEGIN", "SPEECH"),
        *("SPEECH", "PAUSE", "SPEECH", "END", "SILENCE"),
    ]
    assert not ends.is_open


def test_a_word_after_a_pause_goes_on_with_the_utterance():
    ends = endpointer(pause_s=2 * FRAME_S, end_s=4 * FRAME_S)
    told = [ends.push(prob) for prob in [SPEECH, QUIET, QUIET, SPEECH, QUIET, QUIET]]
    assert told.count(Sound.PAUSE) == 2
    assert ends.silence_s == pytest.approx(2 * FRAME_S)


def test_it_begins_above_the_threshold_and_goes_on_above_the_release():
    ends = endpointer()
    assert ends.push(0.4) is Sound.SILENCE
    assert ends.push(0.6) is Sound.BEGIN
    assert ends.push(0.4) is Sound.SPEECH
    assert ends.silence_s == 0


def test_a_burst_is_no_speech():
    ends = endpointer()
    ends.push(SPEECH)
    assert not ends.is_speech
    for _ in range(3):
        ends.push(SPEECH)
    assert ends.is_speech


@pytest.mark.parametrize("size", [1, 100, 512, 5_000])
def test_the_size_of_pieces_does_not_matter(size):
    samples = speech((0.3, 0), (0.4, 0.5), (0.31, 0))
    stream = SpeechStream(LoudnessVad())
    found = []
    for start in range(0, len(samples), size):
        found += stream.push(samples[start : start + size])
    found += stream.flush()
    joined = np.concatenate([frame for frame, _ in found])
    assert len(joined) % 512 == 0
    np.testing.assert_array_equal(joined[: len(samples)], samples)
    assert not joined[len(samples) :].any()
    heard = sum(prob > 0.5 for _, prob in found) * FRAME_S
    assert heard == pytest.approx(0.4, abs=2 * FRAME_S)
    assert stream.flush() == []
