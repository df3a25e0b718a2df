"""SAN-M against the numbers of the funasr package, and in the shapes that were released."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tool import load_tool

from mooer.errors import ConfigError, ModelError
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder

ROOT = Path(__file__).parents[2]

TOOL = load_tool("golden_sanm")
CONFIGS = {
    "paraformer": SanmConfig(**TOOL.SIZES),
    "sensevoice": SanmConfig(**TOOL.SIZES, num_tp_blocks=TOOL.NUM_TP_BLOCKS, norm_eps=1e-5),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests" / "golden" / "sanm.npz") as file:
        return dict(file)


def golden_encoder(name):
    encoder = SanmEncoder(CONFIGS[name]).eval()
    shapes = {key: tuple(t.shape) for key, t in encoder.state_dict().items()}
    drawn = {key: torch.from_numpy(array) for key, array in TOOL.weights(shapes).items()}
    encoder.load_state_dict(drawn, strict=True)
    return encoder


@pytest.mark.parametrize("name", CONFIGS)
def test_it_is_funasrs_encoder(golden, name):
    encoder = golden_encoder(name)
    assert sorted(encoder.state_dict()) == golden[f"{name}_keys"].tolist()
    assert encoder.after_norm.eps == golden[f"{name}_norm_eps"]
    lengths = torch.tensor(TOOL.LENGTHS)
    with torch.no_grad():
        hidden, hidden_lengths = encoder(torch.from_numpy(TOOL.features()), lengths)
    assert hidden_lengths.tolist() == list(TOOL.LENGTHS)
    assert hidden.shape == golden[name].shape
    for row, expected, length in zip(hidden.numpy(), golden[name], TOOL.LENGTHS, strict=True):
        np.testing.assert_allclose(row[:length], expected[:length], atol=1e-4)
        assert (row[length:] == 0).all()


def released_shapes(num_blocks=50):
    """Names and shapes of paraformer-encoder.pth, written out from its published layout."""
    shapes = {"after_norm.weight": (512,), "after_norm.bias": (512,)}
    for block in ["encoders0.0", *(f"encoders.{i}" for i in range(num_blocks - 1))]:
        width = 560 if block == "encoders0.0" else 512
        shapes |= {
            f"{block}.norm1.weight": (width,),
            f"{block}.norm1.bias": (width,),
            f"{block}.self_attn.linear_q_k_v.weight": (1536, width),
            f"{block}.self_attn.linear_q_k_v.bias": (1536,),
            f"{block}.self_attn.linear_out.weight": (512, 512),
            f"{block}.self_attn.linear_out.bias": (512,),
            f"{block}.self_attn.fsmn_block.weight": (512, 1, 11),
            f"{block}.feed_forward.w_1.weight": (2048, 512),
            f"{block}.feed_forward.w_1.bias": (2048,),
            f"{block}.feed_forward.w_2.weight": (512, 2048),
            f"{block}.feed_forward.w_2.bias": (512,),
            f"{block}.norm2.weight": (512,),
            f"{block}.norm2.bias": (512,),
        }
    return shapes


def test_the_default_is_the_released_one():
    with torch.device("meta"):
        encoder = SanmEncoder(SanmConfig())
    assert {key: tuple(t.shape) for key, t in encoder.state_dict().items()} == released_shapes()
    assert sum(p.numel() for p in encoder.parameters()) == 157_975_648
    assert (encoder.width, encoder.frame_ms, encoder.frontend.num_mels) == (512, 60.0, 560)
    assert encoder.after_norm.eps == 1e-12


def test_sensevoices_encoder_has_the_released_size():
    with torch.device("meta"):
        encoder = SanmEncoder(SanmConfig(num_tp_blocks=20, norm_eps=1e-5))
    head_and_queries = 25_055 * (512 + 1) + 16 * 560
    assert sum(p.numel() for p in encoder.parameters()) + head_and_queries == 233_999_167
    assert "tp_encoders.19.self_attn.fsmn_block.weight" in encoder.state_dict()


def test_every_neighbour_within_the_kernel_is_remembered_and_no_other():
    encoder = SanmEncoder(SanmConfig(**TOOL.SIZES)).eval()
    attention = encoder.encoders[0].self_attn
    v = torch.zeros(1, 30, 32)
    v[0, 15] = 1.0
    with torch.no_grad():
        memory = attention.memory(v, torch.ones(1, 30, dtype=torch.bool))
    assert memory[0].abs().sum(dim=1).nonzero().flatten().tolist() == list(range(10, 21))


def test_dropout_acts_in_training_only():
    encoder = SanmEncoder(SanmConfig(**TOOL.SIZES, dropout=0.5))
    features, lengths = torch.from_numpy(TOOL.features()), torch.tensor(TOOL.LENGTHS)
    with torch.no_grad():
        one, two = encoder(features, lengths)[0], encoder(features, lengths)[0]
        encoder.eval()
        three, four = encoder(features, lengths)[0], encoder(features, lengths)[0]
    assert not torch.equal(one, two)
    assert torch.equal(three, four)


def test_it_computes_in_the_type_of_its_weights():
    exact = golden_encoder("paraformer")
    rounded = golden_encoder("paraformer").to(torch.bfloat16)
    features, lengths = torch.from_numpy(TOOL.features()), torch.tensor(TOOL.LENGTHS)
    with torch.no_grad():
        hidden, _ = rounded(features, lengths)
        expected, _ = exact(features, lengths)
    assert hidden.dtype == torch.bfloat16
    assert (hidden.float() - expected).norm() < 0.03 * expected.norm()


def test_am_mvn_is_read_and_checked(tmp_path):
    (tmp_path / "am.mvn").write_text(TOOL.cmvn_text())
    encoder = SanmEncoder(SanmConfig(**TOOL.SIZES, cmvn=str(tmp_path / "am.mvn")))
    sound = TOOL.sounds()["noise"]
    plain = SanmEncoder(SanmConfig(**TOOL.SIZES)).frontend(sound)
    assert not np.allclose(encoder.frontend(sound), plain)
    with pytest.raises(ModelError, match=r"560 values, but the front end makes 400"):
        SanmEncoder(SanmConfig(**TOOL.SIZES, cmvn=str(tmp_path / "am.mvn"), num_stack=5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"width": 30}, "30 is not a multiple of 4 heads"),
        ({"kernel": 10}, "10 has no middle frame"),
        ({"num_mels": 81}, "81 mels x 7 frames is odd"),
    ],
)
def test_sizes_that_cannot_be(options, words):
    with pytest.raises(ConfigError, match=words):
        SanmConfig(**options)
