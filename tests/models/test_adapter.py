"""Adapters: sizes as released, lengths exact, blind to padding, and equal to plain formulas."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from mooer.errors import ConfigError, ModelError
from mooer.models.adapter import ADAPTERS, AdapterConfig, build_adapter
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder

CONFIGS = {
    "concat": AdapterConfig("concat", stride=2, hidden_width=12),
    "concat of 3": AdapterConfig("concat", stride=3, hidden_width=12),
    "gated": AdapterConfig("gated", stride=4, hidden_width=12, output_scale=0.5),
    "pool": AdapterConfig("pool", stride=2),
    "pool with a norm": AdapterConfig("pool", stride=2, norm=True),
    "conv": AdapterConfig("conv", stride=4, num_layers=2, num_heads=2, ffn_width=12),
    "conv that keeps the rate": AdapterConfig("conv", stride=1, num_layers=1, ffn_width=12),
}


def made(name, in_width=8, out_width=6):
    torch.manual_seed(0)
    return build_adapter(CONFIGS[name], in_width, out_width).eval()


def hidden_frames(batch, num_frames, seed=1):
    return torch.randn(batch, num_frames, 8, generator=torch.Generator().manual_seed(seed))


def test_every_adapter_of_the_table_is_tested():
    assert {config.name for config in CONFIGS.values()} == set(ADAPTERS)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_as_many_embeddings_as_said(name):
    adapter = made(name)
    for num_frames in range(1, 201):
        expected = adapter.num_embeddings(num_frames)
        hidden, lengths = hidden_frames(1, num_frames), torch.tensor([num_frames])
        embeddings, num_embeddings = adapter(hidden, lengths)
        assert embeddings.shape == (1, expected, 6)
        assert num_embeddings.tolist() == [expected]


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_padding_changes_nothing(name):
    adapter = made(name)
    lengths = torch.tensor([17, 1, 9, 12, 8])
    hidden = hidden_frames(5, 23)
    for row, length in zip(hidden, lengths, strict=True):
        row[length:] = torch.nan
    embeddings, num_embeddings = adapter(hidden, lengths)
    for i, length in enumerate(lengths):
        alone, num_alone = adapter(hidden[i : i + 1, :length], lengths[i : i + 1])
        assert num_embeddings[i] == num_alone[0] == adapter.num_embeddings(int(length))
        torch.testing.assert_close(
            embeddings[i, : num_embeddings[i]], alone[0], atol=1e-5, rtol=1e-5
        )
        assert (embeddings[i, num_embeddings[i] :] == 0).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients_do_not_come_from_padding(name):
    adapter = made(name).train()
    hidden = hidden_frames(2, 12)
    hidden[1, 8:] = torch.nan
    hidden.requires_grad_()
    embeddings, num_embeddings = adapter(hidden, torch.tensor([12, 8]))
    sum(
        row[:n].square().sum() for row, n in zip(embeddings, num_embeddings, strict=True)
    ).backward()
    assert (hidden.grad[1, 8:] == 0).all()
    assert hidden.grad[1, :8].abs().sum() > 0
    assert all(p.grad.isfinite().all() for p in adapter.parameters())


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_saved_is_loaded(name, tmp_path):
    adapter = made(name)
    save_file(adapter.state_dict(), tmp_path / "adapter.safetensors")
    torch.manual_seed(9)
    other = build_adapter(CONFIGS[name], 8, 6).eval()
    other.load_weights(tmp_path / "adapter.safetensors")
    hidden, lengths = hidden_frames(2, 12), torch.tensor([12, 7])
    assert torch.equal(adapter(hidden, lengths)[0], other(hidden, lengths)[0])


# ---------------------------------------------------------------- as released


@pytest.mark.parametrize(
    ("llm_width", "num_parameters"), [(3584, 9_442_816), (1536, 5_246_464)], ids=["7B", "1.5B"]
)
def test_mooers_adapter_has_the_released_size(llm_width, num_parameters):
    with torch.device("meta"):
        adapter = build_adapter(AdapterConfig(), 512, llm_width)
    assert sum(p.numel() for p in adapter.parameters()) == num_parameters
    assert {name: tuple(t.shape) for name, t in adapter.state_dict().items()} == {
        "linear1.weight": (2048, 1024),
        "linear1.bias": (2048,),
        "linear2.weight": (llm_width, 2048),
        "linear2.bias": (llm_width,),
    }


def test_osums_adapter_has_the_size_of_its_parts():
    with torch.device("meta"):
        adapter = build_adapter(AdapterConfig("conv", stride=4), 1024, 3584)
    block = 4 * (1024**2 + 1024) + (2 * 1024 * 2560 + 2560 + 1024) + 2 * 2 * 1024
    transformer = 1024**2 + 1024 + 2 * 1024 + 4 * block + 2 * 1024
    expected = 3 * (3 * 1024**2 + 1024) + transformer + 1024 * 3584 + 3584
    assert sum(p.numel() for p in adapter.parameters()) == expected == 51_963_392


@torch.no_grad()
def test_released_names_are_mapped(tmp_path):
    released = {
        "concat": {"linear": "encoder_projector.linear"},
        "pool with a norm": {
            "linear.": "multi_modal_projector.linear.",
            "norm.": "audio_tower.layer_norm.",
        },
        "gated": {
            "norm_pre.": "multi_modal_projector.ln_pre.",
            "linear1.": "multi_modal_projector.linear_1.",
            "norm_mid.": "multi_modal_projector.ln_mid.",
            "linear2.": "multi_modal_projector.linear_2.",
        },
        "conv": {
            "convs.": "down_sample_2.conv.",
            "transformer.embed.": "speech_transformer.embed.out.0.",
            "transformer.embed_norm.": "speech_transformer.embed.out.1.",
            "transformer.encoders.": "speech_transformer.encoders.",
            "transformer.after_norm.": "speech_transformer.after_norm.",
            "linear.": "speech_llama_proj.",
        },
    }
    for kind, prefixes in released.items():
        adapter = made(kind)
        renamed = {}
        for name, tensor in adapter.state_dict().items():
            ours = max((p for p in prefixes if name.startswith(p)), key=len)
            renamed[prefixes[ours] + name[len(ours) :]] = tensor
        torch.save(renamed, tmp_path / "released.pt")
        torch.manual_seed(9)
        other = build_adapter(CONFIGS[kind], 8, 6).eval()
        other.load_weights(tmp_path / "released.pt")
        hidden, lengths = hidden_frames(2, 12), torch.tensor([12, 7])
        assert torch.equal(adapter(hidden, lengths)[0], other(hidden, lengths)[0])


def test_a_wrong_prefix_is_an_error(tmp_path):
    adapter = made("concat")
    before = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    torch.save({f"projector.{name}": t + 1 for name, t in before.items()}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"missing: 4, linear1.*unexpected: 4, projector\.linear1"):
        adapter.load_weights(tmp_path / "a.pt")
    assert all(torch.equal(before[name], t) for name, t in adapter.state_dict().items())


# ---------------------------------------------------------------- formulas


@torch.no_grad()
def test_concat_is_its_formula():
    adapter = made("concat of 3")
    hidden = hidden_frames(1, 8)
    for i in range(2):
        stacked = torch.cat([hidden[0, 3 * i], hidden[0, 3 * i + 1], hidden[0, 3 * i + 2]])
        expected = adapter.linear2(functional.relu(adapter.linear1(stacked)))
        found = adapter(hidden, torch.tensor([8]))[0][0, i]
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_gated_is_its_formula():
    adapter = made("gated")
    for norm in (adapter.norm_pre, adapter.norm_mid):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
    hidden = hidden_frames(1, 6)
    for i, frames in enumerate((hidden[0, :4], functional.pad(hidden[0, 4:], (0, 0, 0, 2)))):
        x = frames.flatten()
        x = x / (x.square().mean() + 1e-6).sqrt() * adapter.norm_pre.weight
        value, gate = (adapter.linear1.weight @ x).split(12)
        x = value * gate * torch.sigmoid(gate)
        x = x / (x.square().mean() + 1e-6).sqrt() * adapter.norm_mid.weight
        found = adapter(hidden, torch.tensor([6]))[0][0, i]
        torch.testing.assert_close(found, 0.5 * adapter.linear2.weight @ x, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_pool_is_its_formula():
    adapter = made("pool with a norm")
    hidden = hidden_frames(1, 7)
    means = functional.avg_pool1d(hidden.transpose(1, 2), 2, 2).transpose(1, 2)
    expected = adapter.linear(functional.layer_norm(means, (8,), *adapter.norm.parameters()))
    torch.testing.assert_close(adapter(hidden, torch.tensor([7]))[0], expected)


@torch.no_grad()
def test_conv_is_its_formula():
    """OSUM's network written out straight, one utterance, one head at a time."""
    adapter = made("conv")
    weight = adapter.state_dict()
    hidden = hidden_frames(1, 11)
    x = hidden.transpose(1, 2)
    for place, stride in ((1, 1), (4, 2), (7, 2)):
        kernel, bias = weight[f"convs.{place}.weight"], weight[f"convs.{place}.bias"]
        x = functional.gelu(functional.conv1d(functional.pad(x, (2, 0)), kernel, bias, stride))
    x = x[0].T

    def linear(x, name):
        return x @ weight[f"{name}.weight"].T + weight[f"{name}.bias"]

    def norm(x, name):
        return functional.layer_norm(x, (8,), weight[f"{name}.weight"], weight[f"{name}.bias"])

    x = norm(linear(x, "transformer.embed"), "transformer.embed_norm") * math.sqrt(8)
    for place in range(len(x)):
        for k in range(4):
            angle = place / 10_000 ** (2 * k / 8)
            x[place, 2 * k] += math.sin(angle)
            x[place, 2 * k + 1] += math.cos(angle)
    for i in range(2):
        block = f"transformer.encoders.{i}"
        y = norm(x, f"{block}.norm1")
        q, k, v = (linear(y, f"{block}.self_attn.linear_{part}") for part in "qkv")
        heads = []
        for h in (slice(0, 4), slice(4, 8)):
            heads.append(torch.softmax(q[:, h] @ k[:, h].T / 2.0, dim=-1) @ v[:, h])
        x = x + linear(torch.cat(heads, dim=1), f"{block}.self_attn.linear_out")
        y = functional.relu(linear(norm(x, f"{block}.norm2"), f"{block}.feed_forward.w_1"))
        x = x + linear(y, f"{block}.feed_forward.w_2")
    expected = linear(norm(x, "transformer.after_norm"), "linear")
    found = adapter(hidden, torch.tensor([11]))[0][0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


# ---------------------------------------------------------------- milliseconds, bad sizes


@pytest.mark.parametrize(
    ("encoder_stride", "adapter", "ms"),
    [
        (6, AdapterConfig("concat", stride=1), 60),
        (2, AdapterConfig("conv", stride=4), 80),
        (4, AdapterConfig("concat", stride=2), 80),
        (6, AdapterConfig("concat", stride=2), 120),
        (6, AdapterConfig("concat", stride=3), 180),
        (6, AdapterConfig("concat", stride=4), 240),
        (6, AdapterConfig("conv", stride=4), 240),
        (6, AdapterConfig("pool", stride=2), 120),
    ],
)
@torch.no_grad()
def test_milliseconds_per_embedding(encoder_stride, adapter, ms):
    """MooER's ablation of 60 to 240 ms, counted from samples to embeddings."""
    config = SanmConfig(stride=encoder_stride, width=8, num_heads=2, ffn_width=8, num_blocks=2)
    encoder = SanmEncoder(config).eval()
    small = dataclasses.replace(adapter, hidden_width=8, num_heads=2, ffn_width=8)
    built = build_adapter(small, encoder.width, 4).eval()
    assert encoder.frame_ms * built.stride == ms

    seconds = 14.4  # a multiple of every rate
    num_samples = round(seconds * 16_000) + 240  # one frame of 25 ms and its successors' hops
    features = torch.zeros(1, encoder.frontend.num_features(num_samples), 560)
    hidden, lengths = encoder(features, torch.tensor([features.shape[1]]))
    embeddings, num_embeddings = built(hidden, lengths)
    assert embeddings.shape[1] == num_embeddings[0] == round(1000 * seconds / ms)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"name": "conv", "stride": 3}, "stride 3 is not a power of two"),
        ({"name": "conv", "stride": 4, "num_heads": 3}, "width 8 over 3 heads"),
        ({"name": "concat", "stride": 0}, "stride 0 is not at least 1"),
        ({"name": "concatenate"}, "did you mean concat"),
    ],
)
def test_sizes_that_cannot_be(config, words):
    with pytest.raises(ConfigError, match=words):
        build_adapter(AdapterConfig(**config), 8, 6)
