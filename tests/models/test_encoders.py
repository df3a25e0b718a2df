"""What holds for every encoder of the table."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mooer.models.encoders import ENCODERS
from mooer.models.encoders.hub import HubConfig
from mooer.models.encoders.sanm import SanmConfig
from mooer.models.encoders.whisper import WhisperConfig
from mooer.models.tensors import fill, read_tensors

BODY = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
WAVE = {
    **BODY,
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
WHISPER = {
    "num_mel_bins": 8,
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "max_source_positions": 110,
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
FOLDERS = {
    "hubert, group norm": {"model_type": "hubert", **WAVE},
    "hubert, layer norm": {"model_type": "hubert", **WAVE, **STABLE},
    "wav2vec2": {"model_type": "wav2vec2", **WAVE},
    "wav2vec2-bert": {"model_type": "wav2vec2-bert", **BODY, "conv_depthwise_kernel_size": 5},
    "whisper": {"model_type": "whisper", **WHISPER},
}
SANM = {"width": 16, "num_heads": 2, "ffn_width": 24, "num_blocks": 3}
CONFIGS = {
    "sanm": SanmConfig(**SANM),
    "sanm of SenseVoice": SanmConfig(**SANM, num_tp_blocks=1, norm_eps=1e-5),
    "sanm of a few mels": SanmConfig(**SANM, num_mels=4, num_stack=3, stride=2, kernel=5),
    "whisper": WhisperConfig(8, 16, 2, ffn_width=24, num_layers=2, max_frames=110),
}
CASES = [*CONFIGS, *(f"hub: {name}" for name in FOLDERS)]


def class_and_config(case, folder):
    """The name in the table and the config; a hub's folder is written first."""
    if not case.startswith("hub: "):
        return ENCODERS.load(case.split()[0]), CONFIGS[case]
    (folder / "config.json").write_text(json.dumps(FOLDERS[case.removeprefix("hub: ")]))
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_normalize": True}))
    return ENCODERS.load("hub"), HubConfig(str(folder))


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture
def build(case, tmp_path):
    encoder_class, config = class_and_config(case, tmp_path)

    def built(seed=0):
        torch.manual_seed(seed)
        return encoder_class(config)

    return built


@pytest.fixture
def encoder(build):
    return build().eval()


def random_features(encoder, lengths, seed=1):
    """[B, F, M] with NaN after each length."""
    generator = torch.Generator().manual_seed(seed)
    width = encoder.frontend.num_mels
    features = torch.randn(len(lengths), max(lengths) + 3, width, generator=generator)
    for row, length in zip(features, lengths, strict=True):
        row[length:] = torch.nan
    return features, torch.tensor(lengths)


def several_lengths(encoder):
    """Lengths of a batch: about 17, 1, 9 and 6 frames, whole and with a remainder."""
    counts = range(2000)
    return [next(n for n in counts if encoder.num_frames(n) == f) + (f > 8) for f in (17, 1, 9, 6)]


def test_every_encoder_of_the_table_is_tested():
    assert {"hub" if case.startswith("hub") else case.split()[0] for case in CASES} == set(ENCODERS)


def test_it_declares_what_others_read(encoder):
    assert encoder.width == 16
    assert encoder.frame_ms > 0
    assert encoder.frontend.num_mels > 0


def test_as_many_frames_as_said(encoder):
    """Over 1 to 200 feature frames, and for samples over 200 lengths 17 apart."""
    step = 17 if encoder.frontend.num_mels == 1 else 1
    first = next(n for n in range(1, 2000) if encoder.num_frames(n))
    with torch.no_grad():
        for num_features in range(first, first + 200 * step, step):
            expected = encoder.num_frames(num_features)
            features = torch.zeros(1, num_features, encoder.frontend.num_mels)
            hidden, lengths = encoder(features, torch.tensor([num_features]))
            assert hidden.shape == (1, expected, 16)
            assert lengths.tolist() == [expected]
            assert lengths.dtype == torch.int64


def test_the_frame_rate_is_as_said(encoder):
    """From samples to hidden frames, over 2 s."""
    num_frames = encoder.num_frames(encoder.frontend.num_features(32_000))
    assert num_frames == pytest.approx(2000 / encoder.frame_ms, abs=2)


@torch.no_grad()
def test_padding_changes_nothing_and_a_batch_of_one_is_a_row(encoder):
    lengths = several_lengths(encoder)
    features, feature_lengths = random_features(encoder, lengths)
    hidden, hidden_lengths = encoder(features, feature_lengths)
    assert hidden_lengths.tolist() == [encoder.num_frames(length) for length in lengths]
    for i, length in enumerate(lengths):
        alone, alone_lengths = encoder(features[i : i + 1, :length], feature_lengths[i : i + 1])
        assert alone_lengths[0] == hidden_lengths[i]
        row = hidden[i, : hidden_lengths[i]]
        assert row.abs().sum() > 0
        torch.testing.assert_close(row, alone[0], atol=2e-5, rtol=1e-5)
        assert (hidden[i, hidden_lengths[i] :] == 0).all()


def test_gradients_are_finite_and_reach_every_weight(build):
    encoder = build().train()
    features, lengths = random_features(encoder, several_lengths(encoder))
    hidden, hidden_lengths = encoder(features, lengths)
    weight = torch.randn(16, generator=torch.Generator().manual_seed(2))
    rows = zip(hidden, hidden_lengths, strict=True)
    sum((row[:n] * weight).square().sum() for row, n in rows).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@torch.no_grad()
def test_saved_is_loaded(build, tmp_path):
    encoder, other = build(0).eval(), build(1).eval()
    features, lengths = random_features(encoder, several_lengths(encoder))
    expected = encoder(features, lengths)[0]
    assert not torch.equal(other(features, lengths)[0], expected)
    save_file(encoder.state_dict(), tmp_path / "encoder.safetensors")
    fill(other, read_tensors(tmp_path / "encoder.safetensors"), tmp_path, "encoder")
    assert torch.equal(other(features, lengths)[0], expected)


@torch.no_grad()
def test_it_computes_in_the_type_of_its_weights(encoder):
    features, lengths = random_features(encoder, several_lengths(encoder))
    exact = encoder(features, lengths)[0]
    rounded = encoder.to(torch.bfloat16)(features, lengths)[0]
    assert rounded.dtype == torch.bfloat16
    assert (rounded.float() - exact).norm() < 0.05 * exact.norm()
