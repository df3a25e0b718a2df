import numpy as np
import pytest

from mooer.audio.wave import read_wave
from mooer.engines.dnsmos import Dnsmos, windows
from mooer.errors import AudioError, ModelError

# Signal, background, overall of the two examples by the arithmetic of speechmos 0.0.1.1.
GOLDEN = {"zh": (3.61375, 4.19525, 3.41251), "en": (3.56620, 4.18198, 3.37009)}


@pytest.mark.parametrize(
    ("seconds", "num"), [(1, 7), (5, 1), (9, 9), (9.01, 1), (11.5, 2), (20, 11)]
)
def test_windows_are_those_of_the_reference(seconds, num):
    samples = np.arange(round(seconds * 16_000), dtype=np.float32)
    found = windows(samples)
    assert found.shape == (num, 144_160)
    assert found[-1, 0] == ((num - 1) * 16_000) % len(samples)


def test_a_folder_without_the_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"sig_bak_ovr\.onnx"):
        Dnsmos(tmp_path)


@pytest.fixture(scope="module")
def dnsmos():
    from mooer.store import fetch

    return Dnsmos(fetch("dnsmos"))


@pytest.mark.real
@pytest.mark.parametrize("name", GOLDEN)
def test_scores_are_those_of_the_reference(dnsmos, examples, name):
    found = dnsmos(read_wave(str(examples / f"{name}.flac")))
    assert (found.signal, found.background, found.overall) == pytest.approx(GOLDEN[name], abs=1e-3)


@pytest.mark.real
def test_noise_sounds_worse(dnsmos, examples):
    clean = read_wave(str(examples / "en.flac"))
    noise = np.random.default_rng(0).normal(0, 0.05, len(clean)).astype(np.float32)
    few = dnsmos(clean, 2)
    noisy = dnsmos(clean + noise, 2)
    assert noisy.overall < few.overall - 0.5
    assert few.overall == pytest.approx(GOLDEN["en"][2], abs=0.15)


@pytest.mark.real
def test_nothing_has_no_quality(dnsmos):
    with pytest.raises(AudioError, match="no samples"):
        dnsmos(np.zeros(0, np.float32))
