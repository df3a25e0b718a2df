"""Augmentation: what it does to levels, lengths and spectra, and that it is seeded."""

import numpy as np
import pytest

from mooer.audio.augment import (
    SpecAugment,
    WaveAugment,
    add_noise,
    change_gain,
    change_speed,
    coloured_noise,
    decaying_response,
    fit_noise,
    image_response,
    reverberate,
    warp_time,
)
from mooer.errors import ConfigError


def rng(seed=0):
    return np.random.default_rng(seed)


def tone(seconds=1.0, hz=440.0, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * 16_000)) / 16_000)).astype(
        np.float32
    )


def rms(x):
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))


def peak_hz(x):
    return np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * 16_000 / len(x)


@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
def test_speed_changes_length_and_pitch(factor):
    out = change_speed(tone(), factor)
    assert len(out) == round(16_000 / factor)
    assert out.dtype == np.float32
    assert peak_hz(out) == pytest.approx(440 * factor, abs=2)
    assert rms(out) == pytest.approx(rms(tone()), rel=0.01)


def test_speed_of_very_little():
    for num in (0, 1, 2, 7):
        assert len(change_speed(np.zeros(num, np.float32), 0.9)) == round(num / 0.9)


@pytest.mark.parametrize(("exponent", "db_an_octave"), [(0.0, 0.0), (1.0, -3.01), (2.0, -6.02)])
def test_colours_of_noise(exponent, db_an_octave):
    noise = coloured_noise(1 << 18, exponent, rng())
    assert rms(noise) == pytest.approx(1, abs=1e-3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(len(noise), 1 / 16_000)
    levels = [
        10 * np.log10(power[(hz >= low) & (hz < 2 * low)].mean()) for low in (250, 500, 1000, 2000)
    ]
    assert np.diff(levels) == pytest.approx([db_an_octave] * 3, abs=0.3)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 15.0])
def test_noise_is_at_its_level(snr_db):
    sound, noise = tone(level=0.05), coloured_noise(16_000, 1.0, rng())
    added = add_noise(sound, noise, snr_db) - sound
    assert 20 * np.log10(rms(sound) / rms(added)) == pytest.approx(snr_db, abs=0.1)
    assert not add_noise(np.zeros(10, np.float32), noise[:10], 0).any()
    assert np.abs(add_noise(tone(level=0.9), noise, -10)).max() <= 1


def test_a_noise_is_cut_or_repeated():
    noise = np.arange(5, dtype=np.float32)
    assert len(fit_noise(noise, 3, rng())) == 3
    repeated = fit_noise(noise, 12, rng(1))
    assert np.array_equal(repeated[:5], repeated[5:10])
    assert sorted(repeated[:5]) == [0, 1, 2, 3, 4]
    with pytest.raises(ConfigError, match="no samples"):
        fit_noise(noise[:0], 3, rng())


def test_gain():
    assert rms(change_gain(tone(), -6.0206)) == pytest.approx(rms(tone()) / 2, rel=1e-4)
    assert np.abs(change_gain(tone(), 40)).max() == pytest.approx(1)
    assert not change_gain(np.zeros(3, np.float32), 6).any()


def test_a_decaying_room_decays():
    response = decaying_response(0.5, 6.0, rng())
    assert len(response) == 8000
    assert response[0] == 1
    assert 10 * np.log10(1 / np.sum(response[1:] ** 2)) == pytest.approx(6, abs=0.01)
    early, late = rms(response[1:800]), rms(response[4000:4800])
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=1.5)  # 60 dB over the whole


def test_a_room_of_images():
    room, source, microphone = (5.0, 4.0, 3.0), (1.0, 2.0, 1.5), (4.0, 2.0, 1.5)
    response = image_response(room, source, microphone, 0.4)
    assert response[0] == 1  # the direct sound, 3 m
    for path_m, num_images in ((np.hypot(3, 3), 2), (5.0, 4)):  # floor and ceiling; four walls
        at = round((path_m - 3) / 343 * 16_000)
        assert response[at] == pytest.approx(num_images * 0.6**0.5 * 3 / path_m, rel=1e-3)
    dead = image_response(room, source, microphone, 1.0)
    assert dead[0] == 1
    assert not dead[1:].any()
    live = image_response(room, source, microphone, 0.1)
    assert np.sum(live**2) > np.sum(response**2)


def test_a_room_keeps_time_length_and_level():
    click = np.zeros(4000, np.float32)
    click[100] = 0.5
    wet = reverberate(click, decaying_response(0.1, 0.0, rng()))
    assert len(wet) == 4000
    assert np.abs(wet).argmax() == 100
    assert not np.abs(wet[:100]).max() > 1e-6
    assert rms(wet) == pytest.approx(rms(click), rel=1e-3)
    expected = np.convolve(tone(0.1), decaying_response(0.05, 3.0, rng()))[:1600]
    got = reverberate(tone(0.1), decaying_response(0.05, 3.0, rng()))
    np.testing.assert_allclose(got / rms(got), expected / rms(expected), atol=1e-4)


def test_all_of_it_is_seeded_and_leaves_its_input():
    augment = WaveAugment(1.0, room_prob=1.0, gain_db=(-6, 6), noises=(tone(0.3, 900),))
    sound = tone()
    before = sound.copy()
    first, again, other = (augment(sound, rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(sound, before)
    assert first.dtype == np.float32
    assert np.abs(first).max() <= 1
    assert WaveAugment()(sound, rng()) is sound
    with pytest.raises(ConfigError, match="probability"):
        WaveAugment(noise_prob=1.5)


def test_masks():
    features = rng().standard_normal((100, 80)).astype(np.float32)
    before = features.copy()
    out = SpecAugment(2, 20, num_mel_masks=2, max_mel_mask=15)(features, rng(3))
    assert np.array_equal(features, before)
    masked = out != features
    assert set(np.unique(out[masked])) == {np.float32(features.mean())}
    rows, columns = masked.all(axis=1).sum(), masked.all(axis=0).sum()
    assert 0 < rows <= 40
    assert 0 < columns <= 30
    assert masked.sum() == rows * 80 + columns * 100 - rows * columns


def test_a_mask_takes_the_same_mels_of_stacked_frames():
    features = rng().standard_normal((30, 560)).astype(np.float32)
    out = SpecAugment(num_mel_masks=1, max_mel_mask=40, num_mels=80)(features, rng(5))
    masked = (out != features).all(axis=0).reshape(7, 80)
    assert masked.any()
    assert (masked == masked[0]).all()
    with pytest.raises(ConfigError, match="not frames of 81 mels"):
        SpecAugment(num_mels=81)(features, rng())


def test_a_time_mask_leaves_most_of_a_short_utterance():
    features = rng().standard_normal((10, 8)).astype(np.float32)
    for seed in range(30):
        out = SpecAugment(1, 100, max_time_mask_share=0.2)(features, rng(seed))
        assert (out != features).all(axis=1).sum() <= 2


def test_a_warp_bends_time_and_keeps_its_ends():
    ramp = np.tile(np.arange(50, dtype=np.float32)[:, None], (1, 3))
    for seed in range(20):
        out = warp_time(ramp, 10, rng(seed))
        assert out.shape == ramp.shape
        assert out.dtype == np.float32
        assert (out[0] == 0).all()
        assert (out[-1] == 49).all()
        assert (np.diff(out[:, 0]) > 0).all()
        assert np.abs(out - ramp).max() <= 10
    assert any(not np.array_equal(warp_time(ramp, 10, rng(s)), ramp) for s in range(5))
    assert np.array_equal(warp_time(ramp[:20], 10, rng()), ramp[:20])
