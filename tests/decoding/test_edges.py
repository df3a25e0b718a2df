"""Times of words from frames and loudness."""

import numpy as np
import pytest

from mooer.decoding.edges import (
    STEP_S,
    EdgeOptions,
    Loudness,
    attended_times,
    loudness,
    word_times,
)
from mooer.errors import ConfigError


def word(start, end):
    """Of frames of 20 ms."""
    return start * 0.02, end * 0.02


def loud(*parts):
    """Loudness of (seconds, dB) one after the other."""
    return np.concatenate([np.full(round(s / STEP_S), db, np.float32) for s, db in parts])


def times(words, db, letters=None, **options):
    letters = letters or [1.0] * len(words)
    return word_times(words, letters, db, EdgeOptions(**options))


def test_words_reach_to_the_pause_between_them():
    db = loud((0.2, -80), (0.4, -20), (0.2, -80), (0.4, -20), (0.4, -80))
    found = times([word(20, 22), word(50, 51)], db)  # 0.40-0.44 and 1.00-1.02 s
    assert found == [pytest.approx((0.2, 0.6)), pytest.approx((0.8, 1.2))]


def test_words_without_a_pause_meet_between_their_frames():
    db = loud((0.2, -80), (1.0, -20), (0.4, -80))
    words = [word(20, 21), word(40, 41)]  # 0.42 to 0.80 s lies between
    assert times(words, db)[0][1] == times(words, db)[1][0] == pytest.approx(0.61)
    assert times(words, db, letters=[3, 1])[0][1] == pytest.approx(0.42 + 0.38 * 0.75)
    assert times(words, db, peak=1.0)[0][1] == pytest.approx(0.42)


def test_a_stop_inside_a_word_is_no_pause():
    db = loud((0.5, -20), (0.06, -70), (0.5, -20))
    found = times([word(10, 11), word(40, 41)], db)
    assert found[0][1] == found[1][0]


def test_other_speech_between_two_words_belongs_to_neither():
    db = loud((5.0, -20))
    assert times([word(50, 51), word(200, 201)], db, reach_s=0.2) == [
        pytest.approx((0.8, 1.22)),
        pytest.approx((3.8, 4.22)),
    ]


def test_times_stay_in_the_recording_and_in_order():
    generator = np.random.default_rng(0)
    for seed in range(20):
        edges = np.sort(generator.choice(np.arange(500), 40, replace=False)).reshape(-1, 2)
        db = generator.uniform(-90, -10, 1000).astype(np.float32)
        found = np.array(times([word(a, b) for a, b in edges], db), float).ravel()
        assert (np.diff(found) >= 0).all(), seed
        assert 0 <= found[0] <= found[-1] <= 10.0
    assert times([], loud((1, -20))) == []
    assert times([word(0, 5)], np.zeros(0, np.float32)) == [(0.0, pytest.approx(0.1))]


def test_loudness_is_that_of_every_10_ms_however_the_blocks_fall():
    samples = np.concatenate([np.zeros(1600), np.full(1650, 0.1), np.full(100, 1.0)])
    samples = samples.astype(np.float32)
    for size in (1, 333, 5000):
        meter = Loudness()
        blocks = [samples[i : i + size] for i in range(0, len(samples), size)]
        assert sum(map(len, meter.listened(blocks))) == len(samples)
        assert len(meter.db) == 21
        assert meter.db[:10].tolist() == [-90.0] * 10
        assert meter.db[10:20] == pytest.approx(-20.0, abs=1e-4)


def test_attention_is_early_and_ends_at_pauses():
    db = loud((0.3, -80), (0.5, -20), (0.2, -80), (0.5, -20), (0.5, -80))
    assert attended_times([(0.228, 0.83), (0.83, 1.504)], db) == [
        pytest.approx((0.3, 0.8)),
        pytest.approx((1.0, 1.5)),
    ]
    without_pause = attended_times([(0.1, 0.5), (0.5, 0.9)], loud((2.0, -20)))
    assert without_pause[0][1] == without_pause[1][0] == pytest.approx(0.559)


def test_attention_to_many_words_at_once_keeps_their_order():
    spans = [(0.5, 0.5), (0.5, 0.52), (0.52, 0.52), (0.52, 2.0)]
    found = np.array(attended_times(spans, loud((2.0, -20)))).ravel()
    assert (np.diff(found) >= 0).all()
    assert found[-1] <= 2.0
    assert attended_times([], loudness(np.zeros(100, np.float32))) == []


def test_options_that_make_no_sense():
    with pytest.raises(ConfigError, match="peak"):
        EdgeOptions(peak=1.5)
