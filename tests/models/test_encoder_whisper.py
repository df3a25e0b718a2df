"""Whisper's encoder against transformers and CTranslate2, from weights of both."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from transformers.models.whisper.modeling_whisper import WhisperEncoder as TheirEncoder

from mooer.audio.frontend import LogMel
from mooer.audio.wave import read_wave
from mooer.errors import ConfigError, ModelError
from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.encoders.whisper import WhisperConfig, WhisperEncoder, whisper_config

SIZES = WhisperConfig(num_mels=8, width=16, num_heads=2, ffn_width=24, num_layers=2, max_frames=20)
THEIRS = transformers.WhisperConfig(
    vocab_size=30,
    num_mel_bins=8,
    d_model=16,
    encoder_layers=2,
    encoder_attention_heads=2,
    encoder_ffn_dim=24,
    decoder_layers=1,
    decoder_attention_heads=2,
    decoder_ffn_dim=24,
    max_source_positions=20,
    max_target_positions=8,
    pad_token_id=0,
    bos_token_id=1,
    eos_token_id=2,
    decoder_start_token_id=1,
)


def random_model(kind=transformers.WhisperForConditionalGeneration, config=THEIRS):
    """With weights large enough that every one of them is heard."""
    torch.manual_seed(0)
    model = kind(config).eval()
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "embed_positions" not in name:
            torch.nn.init.normal_(parameter, std=0.2)
        elif name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def write_ct2(model, path: Path, quantization=None):
    """Convert with CTranslate2's own code."""
    from ctranslate2.converters.transformers import WhisperLoader

    spec = WhisperLoader().get_model_spec(model)
    spec.register_vocabulary([str(i) for i in range(30)])
    spec.validate()
    spec.optimize(quantization=quantization)
    spec._serialize(str(path))


def mels(num_features, seed=3):
    return torch.randn(1, num_features, 8, generator=torch.Generator().manual_seed(seed))


def filled(path, config=SIZES):
    encoder = WhisperEncoder(config).eval()
    encoder.load_weights(path)
    return encoder


@torch.no_grad()
def heard(encoder, features):
    hidden, lengths = encoder(features, torch.tensor([features.shape[1]]))
    assert lengths.tolist() == [hidden.shape[1]] == [encoder.num_frames(features.shape[1])]
    return hidden


@torch.no_grad()
def theirs(model, features):
    return model.get_encoder()(features.transpose(1, 2)).last_hidden_state


# ---------------------------------------------------------------- transformers


@pytest.mark.parametrize(
    "kind", [transformers.WhisperModel, transformers.WhisperForConditionalGeneration, TheirEncoder]
)
def test_it_is_transformers_encoder(tmp_path, kind):
    model = random_model(kind)
    model.save_pretrained(tmp_path)
    features = mels(40)
    if kind is TheirEncoder:
        with torch.no_grad():
            expected = model(features.transpose(1, 2)).last_hidden_state
    else:
        expected = theirs(model, features)
    assert whisper_config(tmp_path) == SIZES
    found = heard(filled(tmp_path), features)
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    again = heard(filled(tmp_path / "model.safetensors"), features)
    assert torch.equal(found, again)


@pytest.mark.parametrize("num_frames", [1, 2, 7, 19])
def test_shorter_is_as_if_it_had_fewer_positions(tmp_path, num_frames):
    model = random_model()
    model.save_pretrained(tmp_path)
    config = transformers.WhisperConfig(
        **{**THEIRS.to_dict(), "max_source_positions": num_frames, "model_type": "whisper"}
    )
    shorter = random_model(config=config)
    weights = model.get_encoder().state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][:num_frames]
    shorter.get_encoder().load_state_dict(weights)
    features = mels(2 * num_frames)
    found = heard(filled(tmp_path), features)
    torch.testing.assert_close(found, theirs(shorter, features), atol=1e-4, rtol=0)


def test_extra_layers_change_nothing_at_first(tmp_path):
    random_model().save_pretrained(tmp_path)
    longer = WhisperEncoder(dataclasses.replace(SIZES, extra_layers=2))
    longer.load_weights(tmp_path)
    features = mels(40)
    assert torch.equal(heard(longer.eval(), features), heard(filled(tmp_path), features))
    torch.nn.init.ones_(longer.layers[-1].fc2.bias)
    assert not torch.equal(heard(longer, features), heard(filled(tmp_path), features))
    save_file(longer.state_dict(), tmp_path / "own.safetensors")
    again = WhisperEncoder(dataclasses.replace(SIZES, extra_layers=2))
    again.load_weights(tmp_path / "own.safetensors")
    assert torch.equal(heard(again.eval(), features), heard(longer, features))


def test_longer_than_its_positions_is_refused():
    encoder = WhisperEncoder(SIZES)
    assert heard(encoder, mels(40)).shape == (1, 20, 16)
    with pytest.raises(ModelError, match=r"hears 0\.4 s, but got 0\.42 s: cut the recording"):
        heard(encoder, mels(41))


def test_positions_are_the_released_sinusoids():
    expected = TheirEncoder(THEIRS).embed_positions.weight
    torch.testing.assert_close(WhisperEncoder(SIZES).embed_positions.weight, expected)
    assert not WhisperEncoder(SIZES).embed_positions.weight.requires_grad


def test_the_sizes_of_large_v3():
    with torch.device("meta"):
        large = WhisperEncoder(
            WhisperConfig(128, width=1280, num_heads=20, ffn_width=5120, num_layers=32)
        )
        base = WhisperEncoder(WhisperConfig())
    assert sum(p.numel() for p in large.parameters()) == 636_968_960
    assert sum(p.numel() for p in base.parameters()) == 20_590_592
    assert (large.frontend.num_mels, large.frame_ms) == (128, 20)


def test_qwen2_audios_encoder_and_projector(tmp_path):
    """Mean of two frames before the last norm: the encoder leaves it, the adapter takes it."""
    from transformers.models.qwen2_audio.modeling_qwen2_audio import (
        Qwen2AudioEncoder,
        Qwen2AudioEncoderConfig,
    )

    config = Qwen2AudioEncoderConfig(
        num_mel_bins=8,
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        max_source_positions=20,
    )
    tower, projector = random_model(Qwen2AudioEncoder, config), torch.nn.Linear(16, 6)
    features = mels(40)
    with torch.no_grad():
        expected = projector(tower(features.transpose(1, 2)).last_hidden_state)
    audio_tower = {f"audio_tower.{n}": t.clone() for n, t in tower.state_dict().items()}
    save_file(audio_tower, tmp_path / "tower.safetensors")
    encoder = filled(tmp_path / "tower.safetensors", dataclasses.replace(SIZES, final_norm=False))
    adapter = build_adapter(AdapterConfig("pool", norm=True), 16, 6).eval()
    of_adapter = {n: t for n, t in audio_tower.items() if ".layer_norm." in n and "layers" not in n}
    for name, tensor in projector.state_dict().items():
        of_adapter[f"multi_modal_projector.linear.{name}"] = tensor
    save_file(of_adapter, tmp_path / "adapter.safetensors")
    adapter.load_weights(tmp_path / "adapter.safetensors")
    with torch.no_grad():
        found, lengths = adapter(*encoder(features, torch.tensor([40])))
    assert lengths.tolist() == [10]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    for num_features in range(2, 41):  # the released count of embeddings
        ours = adapter.num_embeddings(encoder.num_frames(num_features))
        assert ours == ((num_features - 1) // 2 + 1 - 2) // 2 + 1


# ---------------------------------------------------------------- CTranslate2


@pytest.mark.parametrize(
    ("quantization", "tolerance"), [(None, 1e-4), ("float16", 5e-3), ("bfloat16", 5e-2)]
)
def test_it_is_filled_from_ctranslate2(tmp_path, quantization, tolerance):
    """Rounding of the weights is all that a narrow type may change."""
    model = random_model()
    write_ct2(model, tmp_path / "model.bin", quantization)
    assert whisper_config(tmp_path) == SIZES
    features = mels(40)
    found = heard(filled(tmp_path), features)
    difference = (found - theirs(model, features)).abs().max()
    assert difference < tolerance
    assert quantization is None or difference > 1e-4


def test_a_quantized_model_is_refused(tmp_path):
    write_ct2(random_model(), tmp_path / "model.bin", "int8")
    with pytest.raises(ModelError, match=r"quantized .*float16"):
        filled(tmp_path)


def test_another_number_of_heads_is_refused(tmp_path):
    write_ct2(random_model(), tmp_path / "model.bin")
    with pytest.raises(ModelError, match="has 2 heads, not 4"):
        filled(tmp_path, dataclasses.replace(SIZES, num_heads=4))


def test_other_sizes_are_listed(tmp_path):
    write_ct2(random_model(), tmp_path / "model.bin")
    with pytest.raises(ModelError, match=r"wrong shape: 6, layers\.0\.fc1\.weight \[24, 16\]"):
        filled(tmp_path, dataclasses.replace(SIZES, ffn_width=32))
    with pytest.raises(ModelError, match=r"missing: 15, layers\.2\.self_attn"):
        filled(tmp_path, dataclasses.replace(SIZES, num_layers=3))
    with pytest.raises(ModelError, match=r"unexpected: 15, layers\.1\.final_layer_norm"):
        filled(tmp_path, dataclasses.replace(SIZES, num_layers=1))


def test_what_is_no_whisper_model_is_refused(tmp_path):
    save_file({"x.weight": torch.zeros(2)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="holds no Whisper encoder"):
        filled(tmp_path)
    with pytest.raises(ModelError, match=r"neither a model\.bin nor the config\.json"):
        whisper_config(tmp_path)


def test_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="width 16 cannot be split over 3 heads"):
        dataclasses.replace(SIZES, num_heads=3)


@pytest.mark.real
@pytest.mark.parametrize("pad_to_s", [30, None])
def test_it_hears_what_ctranslate2_hears(examples, pad_to_s):
    """Both read the same fp16 weights and compute in fp32, so only the order of sums differs.

    Over values up to 24 each of the two is within 4e-4 of float64.
    """
    import ctranslate2

    from mooer import store

    folder = store.fetch("whisper-base")
    features = LogMel(pad_to_s=pad_to_s)(read_wave(examples / "zh.flac"))
    engine = ctranslate2.models.Whisper(str(folder), compute_type="float32")
    turned = np.ascontiguousarray(features.T[None])
    expected = np.array(engine.encode(ctranslate2.StorageView.from_array(turned)))
    config = whisper_config(folder)
    assert config == WhisperConfig()
    found = heard(filled(folder, config), torch.from_numpy(features)[None]).numpy()
    assert found.shape == expected.shape == (1, -(-len(features) // 2), 512)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - expected).mean() < 1e-5
