"""Bytes of frames to samples, and bytes that are none."""

import io

import numpy as np
import pytest

from mooer.audio.opus import write_opus
from mooer.errors import AudioError, ConfigError
from mooer.serve.sound import ENCODINGS, make_decoder

RATE = 16_000


def tone(seconds=1.0, rate_hz=RATE, hz=440.0):
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def pushed(decoder, data, size):
    return np.concatenate([decoder.push(data[i : i + size]) for i in range(0, len(data), size)])


def pitch_hz(samples):
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return np.argmax(spectrum) * RATE / len(samples)


@pytest.mark.parametrize("size", [1, 3, 640, 100_000])
def test_samples_may_be_cut_anywhere(size):
    data = np.round(tone() * 32767).astype("<i2").tobytes()
    found = pushed(make_decoder("pcm16", RATE, 1), data, size)
    np.testing.assert_allclose(found, tone(), atol=1e-4)


def test_other_rates_and_two_channels_become_one_at_16_khz():
    left = tone(rate_hz=48_000)
    both = np.stack([left, np.zeros_like(left)], axis=1)
    data = np.round(both * 32767).astype("<i2").tobytes()
    found = pushed(make_decoder("pcm16", 48_000, 2), data, 4800)
    assert len(found) == pytest.approx(RATE, abs=400)
    assert pitch_hz(found[:8000]) == pytest.approx(440, abs=3)
    assert np.abs(found).max() == pytest.approx(0.25, abs=0.02)


def test_the_bytes_of_telephones_are_those_of_g711():
    mu = make_decoder("pcmu", RATE, 1).push(bytes([0xFF, 0x7F, 0x00, 0x80])) * 32768
    assert list(mu) == [0, 0, -32124, 32124]
    a = make_decoder("pcma", RATE, 1).push(bytes([0xD5, 0x55, 0x2A, 0xAA])) * 32768
    assert list(a) == [8, -8, -32256, 32256]


def packets(samples, rate_hz=48_000):
    import av

    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = rate_hz, "mono", "s16"
    codec.open()
    size = codec.frame_size
    found = []
    for start in range(0, len(samples) - size + 1, size):
        block = np.round(samples[start : start + size] * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate_hz, start
        found += [bytes(packet) for packet in codec.encode(frame)]
    return found


def test_opus_is_a_packet_a_frame():
    decoder = make_decoder("opus", RATE, 1)
    found = np.concatenate([decoder.push(one) for one in packets(tone(rate_hz=48_000))])
    assert pitch_hz(found[4000:12_000]) == pytest.approx(440, abs=3)
    assert np.abs(found[4000:12_000]).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("size", [7, 100, 100_000])
def test_an_ogg_file_may_be_cut_anywhere(tmp_path, size):
    write_opus(tmp_path / "tone.ogg", tone(2.0))
    found = pushed(make_decoder("ogg", RATE, 1), (tmp_path / "tone.ogg").read_bytes(), size)
    assert len(found) == pytest.approx(2 * RATE, abs=1600)
    assert pitch_hz(found[4000:20_000]) == pytest.approx(440, abs=3)


def test_a_hole_in_an_ogg_file_is_passed_over(tmp_path):
    write_opus(tmp_path / "tone.ogg", tone(20.0), bits_per_s=64_000)
    data = (tmp_path / "tone.ogg").read_bytes()
    pages = [i for i in range(len(data)) if data.startswith(b"OggS", i)]
    hole = data[: pages[3]] + b"?" * 50 + data[pages[4] :]
    found = pushed(make_decoder("ogg", RATE, 1), hole, 500)
    assert RATE < len(found) < 20 * RATE


def test_damaged_packets_are_passed_over_until_it_is_no_opus():
    decoder = make_decoder("opus", RATE, 1)
    good = packets(tone(rate_hz=48_000))
    assert not len(decoder.push(b"\xff\x99" + b"garbage" * 3))
    assert len(decoder.push(good[0])) or len(decoder.push(good[1]))
    for _ in range(49):
        decoder.push(b"\xff\x99" + b"garbage" * 3)
    with pytest.raises(AudioError, match="no Opus packets"):
        decoder.push(b"\xff\x99" + b"garbage" * 3)


@pytest.mark.parametrize("data", [b"RIFF" + bytes(100), bytes(200_000), b"\x1aE\xdf\xa3" * 50])
def test_what_is_no_ogg_is_said_to_be_none(data):
    with pytest.raises(AudioError, match="no Ogg file"):
        make_decoder("ogg", RATE, 1).push(data)


def test_an_ogg_file_of_something_else_is_refused():
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as out:
        stream = out.add_stream("flac", rate=RATE)
        stream.layout, stream.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 1600), np.int16), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = RATE, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(AudioError, match="holds no Opus"):
        make_decoder("ogg", RATE, 1).push(file.getvalue())


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_no_bytes_break_a_decoder(encoding):
    generator = np.random.default_rng(0)
    decoder = make_decoder(encoding, RATE, 1)
    for _ in range(300):
        data = generator.integers(0, 256, generator.integers(0, 400), dtype=np.uint8).tobytes()
        try:
            found = decoder.push(b"OggS" + data if encoding == "ogg" else data)
        except AudioError:
            decoder = make_decoder(encoding, RATE, 1)
            continue
        assert np.isfinite(found).all()
        assert np.abs(found).max(initial=0) <= 1


def test_what_no_stream_has_is_refused():
    with pytest.raises(ConfigError, match="did you mean opus"):
        make_decoder("opsu", RATE, 1)
    with pytest.raises(ConfigError, match="8000 to 96000"):
        make_decoder("pcm16", 100, 1)
    with pytest.raises(ConfigError, match="1 or 2"):
        make_decoder("pcm16", RATE, 6)
