"""Every container, codec, rate, number of channels and sample format gives the same sound."""

import numpy as np
import pytest
from tests.audio.sounds import CONTAINERS, encode, tone

from mooer.audio.wave import open_wave, read_wave, write_wave

ANY_RATE = [8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000, 96_000, 176_400, 192_000]
# What codecs add in front and behind, in whole frames, and what they do to a tone.
SLACK_S = {"caf-alac": 0.1, "mp2": 0.03, "wav-adpcm": 0.05}
LOSSLESS = [k for k in CONTAINERS if k.startswith(("wav-s", "wav-f", "w64", "aiff", "au", "flac"))]


def heard(samples):
    """Frequency in Hz and level of the strongest tone in the middle half."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    return spectrum.argmax() * 2_000 / len(middle), float(np.sqrt(2 * np.mean(middle**2)))


@pytest.mark.parametrize("kind", CONTAINERS)
def test_every_container_gives_the_tone(kind):
    rate_hz = CONTAINERS[kind][4] or 44_100
    channels = 2 if kind == "ogg-vorbis" else 1  # FFmpeg's vorbis encoder knows nothing else
    sound = np.stack([tone(2.0, rate_hz)] * channels, axis=1)
    with open_wave(encode(kind, sound, rate_hz)) as wave:
        samples = np.concatenate(list(wave.blocks(0.5)))
        assert wave.warnings == []
        assert wave.rate_hz == rate_hz
        assert wave.num_channels == channels
        assert wave.num_samples == len(samples)
        assert wave.duration_s == pytest.approx(2.0, abs=0.06)
    hz, level = heard(samples)
    assert samples.dtype == np.float32
    assert len(samples) / 16_000 == pytest.approx(2.0, abs=SLACK_S.get(kind, 0.05))
    assert hz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, abs=0.08 if "amr" in kind else 0.03)


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_means_lossless(kind):
    sound = tone(1.0, 16_000, hz=1_000) * 0.9
    step = {"wav-u8": 2**-7}.get(kind, 2**-15)
    np.testing.assert_allclose(read_wave(encode(kind, sound, 16_000)), sound, atol=step)


@pytest.mark.parametrize("rate_hz", ANY_RATE)
@pytest.mark.parametrize("kind", ["wav-s16", "wav-f32", "flac"])
def test_every_rate_keeps_time_and_pitch(kind, rate_hz):
    samples = read_wave(encode(kind, tone(1.0, rate_hz), rate_hz))
    hz, level = heard(samples)
    assert abs(len(samples) - 16_000) <= 1
    assert hz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, abs=0.002)


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_resampling_does_not_shift_time(rate_hz):
    clicks = np.zeros(rate_hz)
    clicks[rate_hz // 4] = clicks[rate_hz // 2] = 0.5
    samples = read_wave(encode("wav-f32", clicks, rate_hz))
    assert abs(int(np.argmax(samples[:6_000])) - 4_000) <= 1
    assert abs(int(np.argmax(samples[6_000:])) + 6_000 - 8_000) <= 1


@pytest.mark.parametrize("channels", range(1, 9))
@pytest.mark.parametrize("kind", ["wav-s16", "wav-f32", "aiff", "caf", "flac", "wavpack", "m4a"])
def test_channels_are_averaged(kind, channels):
    # Only the first channel sounds: the mean is 1 / C of it. AAC's sixth would be a subwoofer.
    sound = np.zeros((44_100, channels))
    sound[:, 0] = tone(1.0, 44_100, level=0.8)
    with open_wave(encode(kind, sound, 44_100)) as wave:
        samples = np.concatenate(list(wave.blocks()))
        assert wave.num_channels == channels
    hz, level = heard(samples)
    assert hz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.8 / channels, rel=0.03)


@pytest.mark.parametrize(
    "dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize("channels", [0, 1, 2, 5])
def test_arrays_of_any_type(dtype, channels):
    sound = tone(1.0, 48_000)
    if np.dtype(dtype).kind in "iu":
        info = np.iinfo(dtype)
        half = (float(info.max) - float(info.min) + 1) / 2
        sound = np.round(sound * half + (half if info.min == 0 else 0))
    array = sound.astype(dtype)
    if channels:
        array = np.stack([array] * channels, axis=1)
    samples = read_wave(array, rate_hz=48_000)
    hz, level = heard(samples)
    assert len(samples) == 16_000
    assert hz == pytest.approx(440, abs=1)
    assert level == pytest.approx(0.5, abs=0.01)
    assert abs(samples.mean()) < 0.01


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 8])
def test_written_files_read_back(tmp_path, suffix, channels):
    path = tmp_path / f"sound.{suffix}"
    sound = tone(1.0, 16_000).astype(np.float32)
    write_wave(path, np.stack([sound] * channels, axis=1) if channels > 1 else sound)
    np.testing.assert_allclose(read_wave(path), sound, atol=1e-4)


def test_written_files_never_wrap_around(tmp_path):
    path = tmp_path / "loud.wav"
    write_wave(path, np.array([1.5, -1.5, np.nan, np.inf, -np.inf, 0.25], np.float32))
    np.testing.assert_allclose(read_wave(path), [1, -1, 0, 1, -1, 0.25], atol=1e-4)


def test_the_track_marked_default_is_read_of_several():
    two = encode("mkv", tone(1.0, 44_100), 44_100, audio_tracks=2)
    with open_wave(two) as wave:
        assert heard(np.concatenate(list(wave.blocks())))[0] == pytest.approx(440, abs=1)
        assert wave.warnings == ["of 2 sound tracks number 1 was read"]
