"""Files of sound that are written while they are made."""

import wave

import numpy as np
import pytest

from mooer.audio.sound_file import SUFFIXES, SoundFile
from mooer.audio.wave import open_wave, read_wave
from mooer.errors import ConfigError, OutputError


def tone(seconds, rate_hz=24_000):
    return (0.3 * np.sin(2 * np.pi * 300 * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(
        np.float32
    )


def write_and_raise(path, error):
    with SoundFile(path, 24_000) as file:
        file.write(tone(1.0))
        raise error


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_was_written_is_read_back(tmp_path, suffix):
    path = tmp_path / "new" / f"talk{suffix.upper()}"
    with SoundFile(path, 24_000) as file:
        for piece in np.split(tone(3.0), 4):
            file.write(piece)
        assert not path.exists()
    assert file.num_samples == 72_000
    samples = read_wave(path)
    assert len(samples) == pytest.approx(48_000, abs=2_500)
    assert np.sqrt(np.mean(samples[8_000:40_000] ** 2)) == pytest.approx(0.212, rel=0.1)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_a_wav_tells_its_length(tmp_path):
    with SoundFile(tmp_path / "a.wav", 24_000) as file:
        file.write(tone(1.0))
        file.write(tone(0.5))
    with wave.open(str(tmp_path / "a.wav")) as found:
        assert (found.getnframes(), found.getframerate()) == (36_000, 24_000)
    with open_wave(str(tmp_path / "a.wav")) as found:
        assert found.duration_s == 1.5


def test_opus_of_another_rate(tmp_path):
    with SoundFile(tmp_path / "a.opus", 22_050) as file:
        file.write(tone(2.0, 22_050))
    assert len(read_wave(tmp_path / "a.opus")) == pytest.approx(32_000, abs=1_000)


def test_nothing_said_is_a_file_all_the_same(tmp_path):
    with SoundFile(tmp_path / "a.wav", 24_000) as file:
        file.write(np.zeros(0, np.float32))
    with wave.open(str(tmp_path / "a.wav")) as found:
        assert found.getnframes() == 0


def test_ctrl_c_leaves_what_can_be_played(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_and_raise(tmp_path / "a.wav", KeyboardInterrupt)
    assert [one.name for one in tmp_path.iterdir()] == ["a.part.wav"]
    assert len(read_wave(tmp_path / "a.part.wav")) == 16_000


def test_an_error_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError):
        write_and_raise(path, ZeroDivisionError)
    assert path.read_bytes() == b"before"
    assert [one.name for one in tmp_path.iterdir()] == ["a.wav"]


def test_a_suffix_that_is_none():
    with pytest.raises(ConfigError, match=r"\.flac"):
        SoundFile("talk.docx", 24_000)


def test_a_place_where_nothing_can_be(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="another place"):
        SoundFile(tmp_path / "file" / "a.wav", 24_000)
