"""Whisper's encoder on CTranslate2 beside the one in torch."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tests.models.test_encoder_whisper import SIZES, random_model, write_ct2
from tests.processor import HAS_VNNI

from mooer.audio.wave import read_wave
from mooer.engines.whisper_encoder import WhisperEncoder
from mooer.errors import ModelError
from mooer.models.encoders import whisper as in_torch
from mooer.store import fetch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whisper")
    write_ct2(random_model(), folder / "model.bin")
    return folder


def network(num_layers=SIZES.num_layers, seed=1):
    """In torch, with random weights that are all heard."""
    torch.manual_seed(seed)
    sizes = {"num_layers": num_layers}
    model = in_torch.WhisperEncoder(in_torch.WhisperConfig(**{**vars(SIZES), **sizes})).eval()
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def features(num_features, num_mels=8, seed=0):
    rows = np.random.default_rng(seed).standard_normal((num_features, num_mels))
    return rows.astype(np.float32)


@torch.no_grad()
def heard(model, one):
    frames, _ = model(torch.from_numpy(one)[None], torch.tensor([len(one)]))
    return frames[0].numpy()


def opened(folder, weights=None, **options):
    return WhisperEncoder(
        folder, weights=weights, **{"compute_type": "float32", "num_threads": 1, **options}
    )


def test_the_released_weights_alone(folder):
    ours = in_torch.WhisperEncoder(SIZES).eval()
    ours.load_weights(folder)
    encoder = opened(folder)
    assert (encoder.width, encoder.num_mels, encoder.num_layers) == (16, 8, 2)
    for num_features in (1, 2, 7, 38, 40):
        one = features(num_features)
        [found] = encoder.encode([one])
        assert found.shape == (encoder.num_frames(num_features), 16)
        np.testing.assert_allclose(found, heard(ours, one), atol=1e-3)


@pytest.mark.parametrize("num_layers", [2, 4])
def test_layers_of_our_own(folder, tmp_path, num_layers):
    ours = network(num_layers)
    released = in_torch.WhisperEncoder(SIZES)
    released.load_weights(folder)
    kept = {"conv1.weight", "conv2.bias", "layers.0.fc1.weight"}  # these stay as released
    state = {**ours.state_dict(), **{n: released.state_dict()[n] for n in kept}}
    ours.load_state_dict(state)
    save_file({n: t for n, t in state.items() if n not in kept}, tmp_path / "own.safetensors")
    encoder = opened(folder, tmp_path / "own.safetensors")
    assert encoder.num_layers == num_layers
    [found] = encoder.encode([features(33)])
    np.testing.assert_allclose(found, heard(ours, features(33)), atol=1e-3)


def test_what_is_heard_does_not_depend_on_the_others(folder):
    encoder = opened(folder)
    several = [features(n, seed=i) for i, n in enumerate((20, 31, 20, 8, *[12] * 10))]
    together = encoder.encode(several)
    for one, found in zip(several, together, strict=True):
        np.testing.assert_allclose(found, encoder.encode([one])[0], atol=1e-4)
    assert encoder.encode([]) == []


def without(name):
    return lambda tensors: {n: t for n, t in tensors.items() if n != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: {"layers.0.self_attn.w": t["conv1.bias"]}, "layers.0.self_attn.w, which"),
        (lambda t: {"conv1.bias": t["conv1.bias"][:3].clone()}, r"of shape \[3\], but"),
        (without("layers.2.fc1.bias"), "adds block 2, but without"),
        (without("layers.2.self_attn.k_proj.weight"), "but not k and v"),
        (lambda t: {n.replace("layers.2", "layers.5"): x for n, x in t.items()}, "a gap"),
    ],
)
def test_weights_that_do_not_belong(folder, tmp_path, change, words):
    save_file(change(network(3).state_dict()), tmp_path / "own.safetensors")
    with pytest.raises(ModelError, match=words) as caught:
        opened(folder, tmp_path / "own.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (features(5, num_mels=7), r"\[F, 8\], got \[5, 7\]"),
        (features(0), r"got \[0, 8\]"),
        (features(41), "hears 0.4 s, but got 0.41 s"),
    ],
)
def test_features_that_cannot_be_heard(folder, one, words):
    with pytest.raises(ModelError, match=words):
        opened(folder).encode([one])


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        opened(tmp_path)


@pytest.mark.real
def test_whisper_base_with_two_layers_more(examples, tmp_path):
    folder = fetch("whisper-base")
    config = in_torch.whisper_config(folder)
    ours = in_torch.WhisperEncoder(replace(config, extra_layers=2)).eval()
    ours.load_weights(folder)
    for layer in ours.layers[config.num_layers :]:
        layer.self_attn.out_proj.reset_parameters()  # which are zero at first
        layer.fc2.reset_parameters()
    added = {n: t for n, t in ours.state_dict().items() if n.startswith(("layers.6", "layers.7"))}
    save_file(added, tmp_path / "own.safetensors")
    exact = opened(folder, tmp_path / "own.safetensors", num_threads=0)
    one = exact.frontend(read_wave(examples / "en.flac")[: 16_000 * 4])
    expected = heard(ours, one)
    [found] = exact.encode([one])
    np.testing.assert_allclose(found, expected, atol=1e-3, rtol=1e-3)
    [quick] = opened(folder, tmp_path / "own.safetensors", compute_type="int8").encode([one])
    error = np.linalg.norm(quick - expected) / np.linalg.norm(expected)
    assert error < (0.1 if HAS_VNNI else 0.25)
