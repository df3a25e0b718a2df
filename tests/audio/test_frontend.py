"""Front ends: as long as they say, right at their edges, and equal to other implementations."""

from pathlib import Path

import numpy as np
import pytest
from tests.tool import load_tool

from mooer.audio.features import Cmvn, load_cmvn, log_mel
from mooer.audio.frontend import KaldiLfr, LogMel, NormalizedFbank, Waveform
from mooer.errors import AudioError, ModelError

ROOT = Path(__file__).parents[2]

TOOL = load_tool("golden_sanm")

FRONTENDS = {
    "lfr": KaldiLfr(),
    "lfr of another shape": KaldiLfr(num_mels=40, num_stack=5, stride=4),
    "log-mel 80": LogMel(),
    "log-mel 128": LogMel(128),
    "log-mel padded": LogMel(pad_to_s=1.5),
    "normalized fbank": NormalizedFbank(),
    "waveform": Waveform(),
}


def noise(num_samples):
    return np.random.default_rng(num_samples).uniform(-0.5, 0.5, num_samples).astype(np.float32)


@pytest.mark.parametrize("name", FRONTENDS)
def test_features_are_as_many_as_said(name):
    frontend = FRONTENDS[name]
    lengths = [*range(0, 5000, 37), 159, 160, 399, 400, 559, 560, 1359, 1360, 1361, 16_000, 31_999]
    shortest = next(n for n in range(1_000) if frontend.num_features(n))
    for num_samples in lengths:
        expected = frontend.num_features(num_samples)
        if num_samples < shortest:
            assert expected == 0
            with pytest.raises(AudioError, match="one frame of features takes"):
                frontend(noise(num_samples))
            continue
        features = frontend(noise(num_samples))
        assert features.shape == (expected, frontend.num_mels)
        assert features.dtype == np.float32
        assert features.flags.c_contiguous
        assert np.isfinite(features).all()


@pytest.mark.parametrize(
    ("name", "min_samples"),
    [("lfr", 400), ("log-mel 80", 160), ("normalized fbank", 560), ("waveform", 400)],
)
def test_the_shortest_recording(name, min_samples):
    frontend = FRONTENDS[name]
    assert frontend.num_features(min_samples) >= 1
    assert frontend.num_features(min_samples - 1) == 0
    assert len(frontend(noise(min_samples))) == frontend.num_features(min_samples)
    with pytest.raises(AudioError, match=f"has {min_samples - 1} samples"):
        frontend(noise(min_samples - 1))


@pytest.mark.parametrize("name", FRONTENDS)
def test_two_channels_are_refused(name):
    with pytest.raises(AudioError, match="mono"):
        FRONTENDS[name](np.zeros((2, 16_000), np.float32))


def test_lfr_is_funasrs_front_end(tmp_path):
    (tmp_path / "am.mvn").write_text(TOOL.cmvn_text())
    frontend = KaldiLfr(load_cmvn(tmp_path / "am.mvn"))
    with np.load(ROOT / "tests" / "golden" / "sanm.npz") as golden:
        for name, samples in TOOL.sounds().items():
            expected = golden[f"features_{name}"]
            made = frontend(samples)[:, ::7]
            assert made.shape == expected.shape
            assert np.abs(made - expected).max() < 1e-3, name


def test_a_cmvn_of_another_width_is_refused():
    cmvn = Cmvn(np.zeros(400, np.float32), np.ones(400, np.float32))
    with pytest.raises(ModelError, match=r"400 values, but the front end makes 560 .*am\.mvn"):
        KaldiLfr(cmvn)


def test_log_mel_stands_upright_and_unpadded():
    sound = noise(8_000)
    np.testing.assert_array_equal(LogMel(128)(sound), log_mel(sound, 128).T)
    assert LogMel(pad_to_s=30)(sound).shape == (3_000, 80)
    assert LogMel(pad_to_s=30)(noise(496_000)).shape == (3_100, 80)


@pytest.mark.parametrize("num_samples", [560, 16_000, 16_161, 23_456])
def test_normalized_fbank_is_transformers(num_samples):
    extractor_of = pytest.importorskip("transformers").SeamlessM4TFeatureExtractor
    made = extractor_of()(noise(num_samples), sampling_rate=16_000)
    expected = made["input_features"][0][made["attention_mask"][0] == 1]
    features = NormalizedFbank()(noise(num_samples))
    assert features.shape == expected.shape
    np.testing.assert_allclose(features, expected, atol=2e-3)


def test_waveform_is_normalised_by_the_utterance():
    sound = 0.1 * noise(4_000) + 0.3
    features = Waveform()(sound)[:, 0]
    assert abs(features.mean()) < 1e-5
    assert features.std() == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(Waveform(normalize=False)(sound)[:, 0], sound)
