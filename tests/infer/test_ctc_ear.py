"""A CTC model as an ear: units to words with times, and nothing twice."""

import numpy as np
import pytest

from mooer.decoding.ctc import Heard
from mooer.decoding.hotwords import Hotword
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError, ModelError
from mooer.infer import RecognizeOptions
from mooer.infer.ctc_ear import ctc_ear, words_of
from mooer.infer.listening import listen_by, listen_by_ctc
from mooer.text.units import Units

NAMES = ("▁go", "od", "▁day", "今", "天", "▁dog")
UNITS = Units(NAMES, (-1.0,) * len(NAMES), ("",) * len(NAMES))


class PlayedCtc:
    """Hears the unit whose number is the loudness of a frame of 20 ms, in hundredths."""

    frame_s = 0.02
    blank = 0
    change_cost = 0.5

    def __init__(self, units=UNITS, doubt=0.0):
        self.units = units
        self._doubt = doubt

    def spell(self, word):
        return self.units.spell(word)

    def log_probs(self, samples):
        frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
        heard = np.round(100 * frames.mean(axis=1)).astype(int)
        found = np.full((len(frames), len(NAMES) + 1), 1e-4)
        found[np.arange(len(frames)), heard] = 0.94
        found[:, 1:][heard == 0] = 1e-6
        if self._doubt:  # ▁dog sounds nearly like ▁go
            found[heard == 1, 6] = 0.94 * self._doubt
        return np.log(found / found.sum(1, keepdims=True)).astype(np.float32)


def played(*units, frames=3, gap=2):
    """Samples of units, one after the other."""
    levels = [level for unit in units for level in [unit / 100] * frames + [0.0] * gap]
    return np.repeat(np.array(levels, np.float32), 320)


def hear(model, samples, said=(), **options):
    guess = ctc_ear(model, **options).hear(samples, said, speech_prob=0.9, last=False)
    return guess.words, guess.language


def test_units_are_words_with_their_times():
    words, language = hear(PlayedCtc(), played(1, 2, 3))
    assert [w.text for w in words] == [" good", " day"]
    assert language == "en"
    assert [round(w.start_s, 2) for w in words] == [0.0, 0.2]
    assert words[0].end_s == words[1].start_s  # no pause is between them
    assert words[0].probability == pytest.approx(1.0, abs=0.01)


def test_characters_are_words_and_a_space_parts_them_from_others():
    words, language = hear(PlayedCtc(), played(4, 5, 3, 4))
    assert [w.text for w in words] == [" 今", "天", " day", " 今"]
    assert language == "zh"
    assert hear(PlayedCtc(), played(3), language="English")[1] == "en"


def test_a_word_that_begins_within_the_window_is_still_one():
    words = words_of([Heard(2, 0, 2, -0.1), Heard(3, 3, 5, -0.1)], UNITS, 0.02)
    assert [w.text for w in words] == [" od", " day"]


def test_final_words_are_left_out_though_times_move_a_little():
    samples = played(1, 2, 3, 4)
    words, _ = hear(PlayedCtc(), samples)
    for moved_s in (-0.02, 0.0, 0.02):
        final = TimedWord(" good", words[0].start_s, words[0].end_s + moved_s, 0.9)
        rest, _ = hear(PlayedCtc(), samples, [final])
        assert [w.text for w in rest] == [w.text for w in words[1:]]


def test_nothing_is_heard_in_silence():
    assert hear(PlayedCtc(), np.zeros(3_200, np.float32)) == ((), "und")


def test_hotwords_are_heard_where_they_nearly_are():
    model = PlayedCtc(doubt=0.9)
    samples = played(1, 3, frames=1, gap=4)
    assert [w.text for w in hear(model, samples)[0]] == [" go", " day"]
    words, _ = hear(model, samples, hotwords=(Hotword("dog"),))
    assert [w.text for w in words] == [" dog", " day"]
    assert words[1].start_s == pytest.approx(0.1, abs=0.021)
    assert hear(model, np.zeros(3_200, np.float32), hotwords=(Hotword("dog"),))[0] == ()


def test_a_model_without_a_speller_hears_nothing():
    with pytest.raises(ModelError, match="no speller"):
        ctc_ear(PlayedCtc(units=None))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rich": True}, "leave rich out"),
        ({"task": "ast"}, "take mini"),
        ({"prompt": "a"}, "prompt"),
    ],
)
def test_what_it_cannot_do_is_refused_before_weights_are_read(tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        listen_by_ctc(tmp_path, RecognizeOptions(**options))


def test_a_recogniser_that_cannot_hear_a_stream_is_told_with_others():
    class Other:
        name = "paraformer"

    with pytest.raises(ConfigError, match=r"paraformer cannot hear a stream: take whisper-base"):
        listen_by(Other())
