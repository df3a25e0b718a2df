"""The voice encoder: torch's numbers with random weights, Resemblyzer's with its own."""

import numpy as np
import pytest
from tests.tool import load_tool

from mooer.audio.wave import read_wave
from mooer.engines.speaker import SpeakerEncoder, part_starts, raised
from mooer.errors import AudioError, ModelError

torch = pytest.importorskip("torch")


class Network(torch.nn.Module):
    """The layers of the released network, by the names of its file."""

    def __init__(self, num_mels=40, width=256):
        super().__init__()
        self.lstm = torch.nn.LSTM(num_mels, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, width)

    def forward(self, mels):
        _, (hidden, _) = self.lstm(mels)
        voices = torch.relu(self.linear(hidden[-1]))
        return voices / voices.norm(dim=1, keepdim=True)


def folder_of(tmp_path, network):
    torch.save({"step": 1, "model_state": network.state_dict()}, tmp_path / "pretrained.pt")
    return tmp_path


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Network()


@pytest.fixture(scope="module")
def encoder(network, tmp_path_factory):
    return SpeakerEncoder(folder_of(tmp_path_factory.mktemp("encoder"), network))


def test_it_computes_what_torch_does(network, encoder):
    from mooer.audio.features import mel_power

    generator = np.random.default_rng(0)
    sounds = [generator.normal(0, 0.2, size).astype(np.float32) for size in (25_599, 60_000, 4_000)]
    found = encoder(sounds)
    assert found.shape == (3, 256)
    for sound, voice in zip(sounds, found, strict=True):
        starts = part_starts(len(sound))
        padded = np.pad(sound, (0, max(0, (starts[-1] + 160) * 160 - len(sound))))
        mels = mel_power(padded).T
        with torch.no_grad():
            parts = network(torch.from_numpy(np.stack([mels[i : i + 160] for i in starts])))
        whole = parts.mean(dim=0).numpy()
        np.testing.assert_allclose(voice, whole / np.linalg.norm(whole), atol=1e-5)


def test_a_voice_does_not_depend_on_its_batch(encoder):
    generator = np.random.default_rng(1)
    sounds = [generator.normal(0, 0.1, 40_000).astype(np.float32) for _ in range(40)]
    together = encoder(sounds)
    np.testing.assert_allclose(together[17:18], encoder(sounds[17:18]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("num_samples", "starts"),
    # compute_partial_slices of Resemblyzer 0.1.4, rate 1.3, min_coverage 0.75
    [
        (1, [0]),
        (25_600, [0]),
        (31_000, [0]),
        (31_520, [0, 77]),
        (37_900, [0, 77]),
        (48_000, [0, 77, 154]),
    ],
)
def test_parts_are_those_of_the_reference(num_samples, starts):
    assert part_starts(num_samples) == starts


def test_a_quiet_sound_is_raised_and_a_loud_one_is_not():
    quiet = np.full(100, 0.001, np.float32)
    assert np.std(raised(quiet)) == 0
    assert raised(quiet)[0] == pytest.approx(10**-1.5)
    loud = np.full(100, 0.5, np.float32)
    assert raised(loud) is loud
    assert not raised(np.zeros(100, np.float32)).any()


def test_silence_has_a_voice_and_nothing_has_none(encoder):
    assert np.isfinite(encoder([np.zeros(16_000, np.float32)])).all()
    assert encoder([]).shape == (0, 256)
    with pytest.raises(AudioError, match="no samples"):
        encoder([np.zeros(0, np.float32)])


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (Network(num_mels=80), "it reads 80 mels"),
        (Network(width=128), "its last layer is"),
        (torch.nn.Linear(2, 2), "no voice encoder of Resemblyzer"),
    ],
)
def test_another_network_is_refused(tmp_path, network, words):
    with pytest.raises(ModelError, match=words):
        SpeakerEncoder(folder_of(tmp_path, network))


def test_a_folder_without_the_file(tmp_path):
    with pytest.raises(ModelError, match=r"pretrained\.pt"):
        SpeakerEncoder(tmp_path)


@pytest.fixture(scope="module")
def golden(examples):
    with np.load(examples.parent / "tests" / "golden" / "speakers.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", ["zh", "en"])
def test_mel_power_is_librosas(golden, examples, name):
    from mooer.audio.features import mel_power

    found = mel_power(read_wave(str(examples / f"{name}.flac"), max_s=4.0))[:, ::5]
    expected = golden[f"mel_{name}"]
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-5 * expected.max())


@pytest.mark.real
@pytest.mark.parametrize("name", ["zh", "en"])
def test_voices_are_those_of_resemblyzer(golden, examples, name):
    from mooer.store import fetch

    encoder = SpeakerEncoder(fetch("speaker-encoder"))
    whole = read_wave(str(examples / f"{name}.flac"))
    for key, samples in load_tool("golden_speakers").cuts(whole).items():
        np.testing.assert_allclose(
            encoder([samples])[0], golden[f"voice_{name}_{key}"], atol=1e-4, err_msg=key
        )
