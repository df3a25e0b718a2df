"""Encoders of transformers: their own numbers, their folders, and what is refused."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tests.models.test_encoders import BODY, FOLDERS, STABLE, WAVE, WHISPER

from mooer.errors import ModelError
from mooer.models.encoders.hub import HubConfig, HubEncoder

KINDS = {
    "hubert": (transformers.HubertModel, transformers.HubertConfig(**WAVE)),
    "hubert large": (transformers.HubertModel, transformers.HubertConfig(**WAVE, **STABLE)),
    "hubert with a head": (
        transformers.HubertForCTC,
        transformers.HubertConfig(**WAVE, vocab_size=32),
    ),
    "wav2vec2": (transformers.Wav2Vec2Model, transformers.Wav2Vec2Config(**WAVE)),
    "wav2vec2-bert": (
        transformers.Wav2Vec2BertModel,
        transformers.Wav2Vec2BertConfig(**BODY, conv_depthwise_kernel_size=5),
    ),
}


def save(kind, folder):
    """A random model and its preprocessor in their own formats; the model without its head."""
    model_class, config = KINDS[kind]
    torch.manual_seed(0)
    model = model_class(config).eval()
    model.save_pretrained(folder)
    extractor = (
        transformers.SeamlessM4TFeatureExtractor
        if kind == "wav2vec2-bert"
        else transformers.Wav2Vec2FeatureExtractor
    )()
    extractor.save_pretrained(folder)
    return getattr(model, model.base_model_prefix, model), extractor


def sound(num_samples):
    random = np.random.default_rng(4)
    return (0.2 * random.standard_normal(num_samples) + 0.05).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_it_is_transformers_from_samples_to_frames(tmp_path, kind):
    model, extractor = save(kind, tmp_path)
    encoder = HubEncoder(HubConfig(str(tmp_path))).eval()
    encoder.load_weights(tmp_path)
    samples = sound(5_000)
    inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt")
    expected = model(**inputs).last_hidden_state
    features = torch.from_numpy(encoder.frontend(samples))[None]
    hidden, lengths = encoder(features, torch.tensor([features.shape[1]]))
    assert hidden.shape[1] == lengths[0] == encoder.num_frames(encoder.frontend.num_features(5_000))
    if kind == "wav2vec2-bert":  # they pad by a frame, which their mask then hides
        expected = expected[:, : lengths[0]]
    assert encoder.width == 16
    assert expected.std() > 0.3
    by_fbank = kind == "wav2vec2-bert"  # theirs is written in numpy, ours Kaldi's
    torch.testing.assert_close(hidden, expected, atol=2e-3 if by_fbank else 1e-4, rtol=0)


@torch.no_grad()
def test_whisper_is_whispers_encoder(tmp_path):
    config = transformers.WhisperConfig(**WHISPER, decoder_layers=1, decoder_attention_heads=2)
    model = transformers.WhisperModel(config).eval()
    model.save_pretrained(tmp_path)
    encoder = HubEncoder(HubConfig(str(tmp_path))).eval()
    encoder.load_weights(tmp_path)
    features = torch.randn(1, 220, 8, generator=torch.Generator().manual_seed(3))
    expected = model.encoder(features.transpose(1, 2)).last_hidden_state
    hidden, _ = encoder(features, torch.tensor([220]))
    torch.testing.assert_close(hidden, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("kind", "num_mels", "frame_ms", "shortest"),
    [
        ("hubert, group norm", 1, 1.25, 30),
        ("wav2vec2-bert", 160, 20.0, 560),
        ("whisper", 8, 20.0, 160),
    ],
)
def test_front_end_and_frame_rate_come_from_the_folder(
    tmp_path, kind, num_mels, frame_ms, shortest
):
    (tmp_path / "config.json").write_text(json.dumps(FOLDERS[kind]))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"do_normalize": False}))
    encoder = HubEncoder(HubConfig(str(tmp_path)))
    assert (encoder.frontend.num_mels, encoder.frame_ms) == (num_mels, frame_ms)
    assert encoder.frontend.num_features(shortest) > 0
    assert encoder.frontend.num_features(shortest - 1) == 0
    if num_mels == 1:
        np.testing.assert_array_equal(encoder.frontend(sound(99))[:, 0], sound(99))


def test_released_sizes_hear_50_frames_a_second(tmp_path):
    config = {"model_type": "hubert"}  # its other settings are those of HuBERT base
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text("{}")
    with torch.device("meta"):
        encoder = HubEncoder(HubConfig(str(tmp_path)))
    assert (encoder.width, encoder.frame_ms) == (768, 20.0)
    assert encoder.num_frames(16_000) == 49
    assert encoder.num_frames(400) == 1
    assert encoder.num_frames(399) == 0
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(94.4e6, rel=0.01)


@torch.no_grad()
def test_older_names_of_weight_norm_are_read(tmp_path):
    model, _ = save("hubert", tmp_path)
    renamed = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): tensor
        for name, tensor in model.state_dict().items()
    }
    assert sum(name.endswith(("weight_g", "weight_v")) for name in renamed) == 2
    (tmp_path / "model.safetensors").unlink()
    torch.save(renamed, tmp_path / "pytorch_model.bin")
    encoder = HubEncoder(HubConfig(str(tmp_path)))
    encoder.load_weights(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(encoder.state_dict()[f"network.model.{name}"], tensor)


def test_no_layer_is_dropped_and_nothing_masked_in_training(tmp_path):
    _, config = KINDS["hubert"]
    config = transformers.HubertConfig(
        **{**config.to_dict(), "layerdrop": 0.9, "mask_time_prob": 0.9, "mask_time_length": 2},
    )
    for name in (*vars(config),):
        if "dropout" in name:
            setattr(config, name, 0.0)
    config.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text("{}")
    encoder = HubEncoder(HubConfig(str(tmp_path)))
    features, lengths = torch.from_numpy(sound(900))[None, :, None], torch.tensor([900])
    training = encoder.train()(features, lengths)[0]
    assert torch.equal(training, encoder.eval()(features, lengths)[0])


def write(folder, config, preprocessor=None):
    (folder / "config.json").write_text(json.dumps(config))
    if preprocessor is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


@pytest.mark.parametrize(
    ("config", "preprocessor", "words"),
    [
        ({"model_type": "huberta"}, {}, "did you mean hubert"),
        ({"model_type": "bert"}, {}, "'bert', which is no speech encoder here"),
        ({}, {}, "'None', which is no speech encoder here"),
        (["hubert"], {}, "holds no settings by name"),
        ({"model_type": "hubert", **WAVE}, None, r"preprocessor_config\.json cannot be read"),
        ({"model_type": "hubert", **WAVE}, {"sampling_rate": 8000}, "hears 8000 Hz, not 16000"),
        (
            {"model_type": "wav2vec2-bert", **BODY, "add_adapter": True},
            {},
            "an adapter of its own",
        ),
        ({"model_type": "whisper", **WHISPER, "d_model": "wide"}, {}, "config.json of a Whisper"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, config, preprocessor, words):
    write(tmp_path, config, preprocessor)
    with pytest.raises(ModelError, match=words):
        HubEncoder(HubConfig(str(tmp_path)))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ModelError, match=r"config\.json cannot be read"):
        HubEncoder(HubConfig(str(tmp_path / "none")))


def test_only_whisper_is_padded(tmp_path):
    write(tmp_path, FOLDERS["wav2vec2"], {})
    with pytest.raises(ModelError, match="pad_to_s is for Whisper alone"):
        HubEncoder(HubConfig(str(tmp_path), pad_to_s=30))
    write(tmp_path, FOLDERS["whisper"])
    encoder = HubEncoder(HubConfig(str(tmp_path), pad_to_s=2))
    assert encoder.frontend(sound(500)).shape == (200, 8)


def test_weights_of_another_model_are_refused(tmp_path):
    save("hubert", tmp_path)
    encoder = HubEncoder(HubConfig(str(tmp_path)))
    save_file({"x.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"missing: .*unexpected: 1, network\.model\.x\.weight"):
        encoder.load_weights(tmp_path / "other.safetensors")
