"""The resampler, measured: what passes, what does not, and in how many pieces."""

import numpy as np
import pytest
from tests.audio.sounds import tone

from mooer.audio.resample import Resampler, check_rate
from mooer.errors import AudioError


def resample(samples, rate_hz, piece=None):
    resampler = Resampler(rate_hz, 16_000)
    piece = piece or len(samples)
    pieces = [resampler.push(samples[i : i + piece]) for i in range(0, len(samples), piece)]
    return np.concatenate([*pieces, resampler.flush()])


def level_db(samples):
    middle = samples[len(samples) // 4 : -len(samples) // 4].astype(np.float64)
    return 20 * np.log10(np.sqrt(2 * np.mean(middle**2)) + 1e-12)


@pytest.mark.parametrize(
    ("rate_hz", "hz"),
    [
        *((44_100, hz) for hz in (9_000, 12_345, 20_000)),
        *((48_000, hz) for hz in (9_000, 23_000)),
        *[(22_050, 9_500), (96_000, 30_000), (192_000, 70_000)],
    ],
)
def test_what_16_khz_cannot_hold_leaves_no_alias(rate_hz, hz):
    out = resample(tone(2.0, rate_hz, hz=hz, level=1.0).astype(np.float32), rate_hz)
    assert level_db(out) < -90


@pytest.mark.parametrize(
    ("rate_hz", "hz"),
    [
        (rate_hz, hz)
        for rate_hz in (8_000, 22_050, 44_100, 48_000, 96_000)
        for hz in (50, 1_000, 3_000, 7_000)
        if hz < 0.45 * rate_hz  # what the source can hold
    ],
)
def test_speech_passes_unchanged(rate_hz, hz):
    out = resample(tone(2.0, rate_hz, hz=hz).astype(np.float32), rate_hz)
    np.testing.assert_allclose(out[3_000:-3_000], tone(2.0, 16_000, hz=hz)[3_000:-3_000], atol=2e-3)
    assert level_db(out) == pytest.approx(20 * np.log10(0.5), abs=0.02)


@pytest.mark.parametrize("piece", [1, 7, 100, 4_096])
def test_pieces_make_no_difference(piece):
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 20_000).astype(np.float32)
    np.testing.assert_allclose(resample(sound, 44_100, piece), resample(sound, 44_100), atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 192_000])
@pytest.mark.parametrize("length", [1, 2, 10, 999, 20_000])
def test_the_length_is_kept(rate_hz, length):
    out = resample(np.zeros(length, np.float32), rate_hz)
    assert abs(len(out) - length * 16_000 / rate_hz) <= 1


def test_full_scale_does_not_overshoot():
    out = resample(np.sign(tone(1.0, 44_100)).astype(np.float32), 44_100)
    assert np.abs(out).max() <= 1


@pytest.mark.parametrize("rate_hz", [0, -1, 999, 1e9, float("nan")])
def test_no_sound_has_such_a_rate(rate_hz):
    with pytest.raises(AudioError, match="sample rate"):
        check_rate(rate_hz, "x.wav")
