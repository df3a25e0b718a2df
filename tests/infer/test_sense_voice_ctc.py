"""SenseVoice for an aligner."""

import numpy as np
import pytest
from tests.fakes import LoudnessVad, speech
from tests.models import sense_voice_folder

from mooer.errors import ConfigError
from mooer.infer.sense_voice import load_sense_voice
from mooer.infer.sense_voice_ctc import SenseVoiceCtc


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory):
    folder = sense_voice_folder.save(tmp_path_factory.mktemp("sense-voice") / "SenseVoiceSmall")
    return load_sense_voice(folder, LoudnessVad(), num_threads=1)


def test_log_probs_are_of_the_speech_alone(recognizer):
    ctc = SenseVoiceCtc(recognizer, "zh")
    clip = speech((1.5, 0.3))
    log_probs = ctc.log_probs(clip)
    num_frames = recognizer.frontend.num_features(len(clip))
    assert log_probs.shape == (num_frames, len(recognizer.vocabulary))
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1.0, rtol=1e-4)
    assert (ctc.frame_s, ctc.blank) == (0.06, 0)


def test_words_are_spelled_by_pieces(recognizer):
    ctc = SenseVoiceCtc(recognizer)
    vocabulary = recognizer.vocabulary
    for word in ("fox", "今"):
        assert vocabulary.decode(ctc.spell(word)) == word
    assert vocabulary.spelling.pieces[ctc.spell("今")[0]].text != "\u2581"
    assert ctc.spell("") == ()


def test_a_language_that_it_does_not_know(recognizer):
    with pytest.raises(ConfigError, match="language de"):
        SenseVoiceCtc(recognizer, "de")
