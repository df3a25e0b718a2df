import numpy as np
import pytest

from mooer.audio.opus import write_opus
from mooer.audio.wave import open_wave, read_wave
from mooer.errors import OutputError


@pytest.mark.parametrize("num_samples", [1, 319, 16_000, 52_345])
def test_as_many_samples_come_back(tmp_path, num_samples):
    samples = 0.5 * np.sin(np.arange(num_samples) / 20).astype(np.float32)
    write_opus(tmp_path / "a.opus", samples)
    found = read_wave(tmp_path / "a.opus")
    assert len(found) == num_samples
    if num_samples > 10_000:
        assert np.corrcoef(found, samples)[0, 1] > 0.97
        assert (tmp_path / "a.opus").stat().st_size < num_samples


def test_loud_and_broken_values_are_tamed(tmp_path):
    samples = np.full(16_000, 3.0, np.float32)
    samples[::100] = np.nan
    write_opus(tmp_path / "a.opus", samples)
    assert np.isfinite(read_wave(tmp_path / "a.opus")).all()


def test_rates(tmp_path):
    write_opus(tmp_path / "a.opus", np.zeros(24_000, np.float32), 24_000)
    with open_wave(tmp_path / "a.opus") as wave:
        assert wave.codec == "opus"
    with pytest.raises(OutputError, match="22050"):
        write_opus(tmp_path / "b.opus", np.zeros(9, np.float32), 22_050)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_opus(tmp_path / "none" / "a.opus", np.zeros(9, np.float32))
