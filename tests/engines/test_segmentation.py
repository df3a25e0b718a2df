"""The segmentation network, beside the reference's numbers."""

import numpy as np
import pytest
from tests.tool import load_tool

from mooer.audio.wave import read_wave
from mooer.engines.segmentation import (
    FIRST_CENTRE_SAMPLES,
    FRAME_SAMPLES,
    MIN_SAMPLES,
    SpeakerSegmenter,
    num_frames,
)
from mooer.errors import AudioError, ModelError

torch = pytest.importorskip("torch")


def arrays():
    """Random weights of the right shapes, by the names of the released file."""
    torch.manual_seed(0)
    found = {"sincnet.wav_norm1d.weight": torch.ones(1), "sincnet.wav_norm1d.bias": torch.zeros(1)}
    bank = "sincnet.conv1d.0.filterbank."
    found[bank + "low_hz_"] = torch.linspace(30, 7000, 40)[:, None]
    found[bank + "band_hz_"] = torch.full((40, 1), 100.0)
    found[bank + "window_"] = torch.hamming_window(251, periodic=False)[:125]
    found[bank + "n_"] = torch.arange(-125, 0)[None] * (2 * torch.pi / 16_000)
    for i, (width_in, width) in enumerate(((80, 60), (60, 60)), 1):
        layer = torch.nn.Conv1d(width_in, width, 5)
        found |= {f"sincnet.conv1d.{i}.{k}": v for k, v in layer.state_dict().items()}
    for i, width in enumerate((80, 60, 60)):
        found[f"sincnet.norm1d.{i}.weight"] = torch.rand(width) + 0.5
        found[f"sincnet.norm1d.{i}.bias"] = torch.randn(width) * 0.1
    lstm = torch.nn.LSTM(60, 128, 4, bidirectional=True)
    found |= {f"lstm.{k}": v for k, v in lstm.state_dict().items()}
    for name, width_in, width in (
        ("linear.0", 256, 128), ("linear.1", 128, 128), ("classifier", 128, 3),
    ):  # fmt: skip
        layer = torch.nn.Linear(width_in, width)
        found |= {f"{name}.{k}": v for k, v in layer.state_dict().items()}
    return found


def folder_of(tmp_path, found):
    torch.save({"epoch": 1, "state_dict": found}, tmp_path / "pytorch_model.bin")
    return tmp_path


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    return SpeakerSegmenter(folder_of(tmp_path_factory.mktemp("segmenter"), arrays()))


def test_windows_do_not_see_each_other(segmenter):
    sound = np.random.default_rng(0).normal(0, 0.1, (3, 16_000)).astype(np.float32)
    together = segmenter(sound)
    assert together.shape == (3, num_frames(16_000), 3)
    assert ((together > 0) & (together < 1)).all()
    np.testing.assert_allclose(together[1:2], segmenter(sound[1:2]), atol=1e-5)


@pytest.mark.parametrize("size", [MIN_SAMPLES, MIN_SAMPLES + 269, MIN_SAMPLES + 270, 4_800])
def test_any_length_has_its_frames(segmenter, size):
    found = segmenter(np.random.default_rng(0).normal(0, 0.1, (1, size)).astype(np.float32))
    assert found.shape[1] == num_frames(size) == (size - MIN_SAMPLES) // FRAME_SAMPLES + 1


def test_the_first_frame_lies_in_the_middle_of_what_it_sees():
    assert FIRST_CENTRE_SAMPLES == MIN_SAMPLES // 2


def test_too_little_and_silence(segmenter):
    with pytest.raises(AudioError, match="990 samples is too short"):
        segmenter(np.zeros((1, MIN_SAMPLES - 1), np.float32))
    assert np.isfinite(segmenter(np.zeros((1, 8_000), np.float32))).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"classifier.weight": torch.zeros(7, 128), "classifier.bias": torch.zeros(7)}, "tells"),
        ({"lstm.weight_hh_l0": torch.zeros(512, 64)}, "no segmentation network"),
    ],
)
def test_another_network_is_refused(tmp_path, change, words):
    with pytest.raises(ModelError, match=words):
        SpeakerSegmenter(folder_of(tmp_path, arrays() | change))


def test_a_network_without_a_layer_is_refused(tmp_path):
    found = arrays()
    del found["linear.1.bias"]
    with pytest.raises(ModelError, match=r"linear\.1\.bias"):
        SpeakerSegmenter(folder_of(tmp_path, found))


@pytest.mark.real
@pytest.mark.parametrize("name", ["zh", "en"])
def test_it_computes_what_the_reference_does(examples, name):
    from mooer.store import fetch

    tool = load_tool("golden_speakers")
    segmenter = SpeakerSegmenter(fetch("speaker-segmentation"))
    whole = read_wave(str(examples / f"{name}.flac"))
    with np.load(examples.parent / "tests" / "golden" / "speakers.npz") as golden:
        for key, size in (("window", 80_000), ("short", 12_345)):
            found = segmenter(tool.window(whole, size)[None])[0]
            np.testing.assert_allclose(found, golden[f"activity_{name}_{key}"], atol=1e-4)
