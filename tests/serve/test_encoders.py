"""Spoken files: read back they are what was said, whatever the format."""

import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.errors import ConfigError
from mooer.serve.encoders import MEDIA_TYPES, encoder_for

TONE = (0.3 * np.sin(2 * np.pi * 300 * np.arange(36_000) / 24_000)).astype(np.float32)


def encoded(format, pieces):
    encoder = encoder_for(format, 24_000)
    return [encoder.push(piece) for piece in pieces] + [encoder.finish()]


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_what_is_read_back_is_what_was_said(format):
    data = b"".join(encoded(format, np.split(TONE, 3)))
    if format == "pcm":
        samples = np.frombuffer(data, "<i2") / 32768
        assert len(samples) == 36_000
        assert np.abs(samples - TONE).max() < 1e-3
        return
    samples = read_wave(data)
    assert len(samples) == pytest.approx(24_000, abs=2_500)  # 1.5 s at 16 kHz
    middle = samples[8_000:16_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) * 2 == pytest.approx(300, abs=4)
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_sound_comes_before_the_end(format):
    first, *_ = encoded(format, [np.tile(TONE, 4)])
    assert len(first) > 1000


def test_a_wav_header_leaves_its_length_open():
    [first, last] = encoded("wav", [TONE])
    assert first[:4] == b"RIFF"
    assert first[4:8] == first[40:44] == b"\xff\xff\xff\xff"
    assert last == b""


def test_values_that_are_none_are_silence():
    [first, _] = encoded("pcm", [np.array([np.nan, np.inf, -np.inf, 0.0], np.float32)])
    assert np.frombuffer(first, "<i2").tolist() == [0, 32767, -32767, 0]


def test_another_format():
    with pytest.raises(ConfigError, match="mp3"):
        encoder_for("mp4", 24_000)


@pytest.mark.parametrize("format", MEDIA_TYPES)
def test_a_rate_that_a_format_lacks_is_changed(format):
    tone = (0.3 * np.sin(2 * np.pi * 300 * np.arange(33_075) / 22_050)).astype(np.float32)
    encoder = encoder_for(format, 22_050)
    data = b"".join([encoder.push(piece) for piece in np.split(tone, 3)] + [encoder.finish()])
    if format == "pcm":  # nothing tells its rate: all take it for 24 kHz
        assert len(data) == pytest.approx(2 * 36_000, abs=20)
    else:
        assert len(read_wave(data)) == pytest.approx(24_000, abs=2_500)
