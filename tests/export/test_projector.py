"""Encoder and adapter as mmproj: tensor by tensor, and through llama.cpp."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from tests.export.saved import GATED, WHISPER, save_speech_llm

from mooer.errors import ModelError
from mooer.export.gguf import export_gguf
from mooer.export.mtmd import AudioProjector
from mooer.export.projector import write_projector
from mooer.models.adapter import AdapterConfig


def tensors(path):
    """By name, as float32; shapes rows first."""
    return {
        t.name: gguf.dequantize(t.data, t.tensor_type).reshape(tuple(reversed(t.shape)))
        for t in gguf.GGUFReader(path).tensors
    }


def test_each_tensor_is_there_under_its_name(small, tmp_path):
    path = tmp_path / "mmproj.gguf"
    encoder, adapter = small.network.encoder, small.network.adapter
    write_projector(path, encoder, adapter, "f32")
    found = tensors(path)
    state = encoder.state_dict()
    assert len(found) == len(state) + len(adapter.state_dict())
    for theirs, ours in {
        "a.position_embd.weight": "embed_positions.weight",
        "a.conv1d.2.bias": "conv2.bias",
        "a.blk.0.attn_k.weight": "layers.0.self_attn.k_proj.weight",
        "a.blk.1.attn_out.bias": "layers.1.self_attn.out_proj.bias",
        "a.blk.1.ln2.weight": "layers.1.final_layer_norm.weight",
        "a.blk.1.ffn_down.weight": "layers.1.fc2.weight",
        "a.post_ln.bias": "layer_norm.bias",
    }.items():
        np.testing.assert_array_equal(found[theirs].squeeze(), state[ours].numpy())
    kernel = state["conv1.weight"].numpy().astype(np.float16)
    np.testing.assert_array_equal(found["a.conv1d.1.weight"], kernel)
    np.testing.assert_array_equal(
        found["mm.a.mlp.1.weight"], adapter.linear1.weight.detach().numpy()
    )
    np.testing.assert_array_equal(
        found["mm.a.norm_mid.weight"],
        adapter.norm_mid.weight.detach().numpy() * GATED.output_scale,
    )


def test_metadata_say_the_sizes(small):
    reader = gguf.GGUFReader(small.exported.projector)
    said = {key: reader.get_field(key).contents() for key in reader.fields}
    assert said["general.architecture"] == "clip"
    assert said["clip.projector_type"] == "ultravox"
    assert said["clip.audio.block_count"] == 2
    assert said["clip.audio.embedding_length"] == 32
    assert said["clip.audio.feed_forward_length"] == 48
    assert said["clip.audio.attention.head_count"] == 2
    assert said["clip.audio.num_mel_bins"] == 80
    assert said["clip.audio.projection_dim"] == 32
    assert said["clip.audio.projector.stack_factor"] == 4


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 2e-3), ("f16", 5e-3)])
def test_llama_cpp_hears_what_torch_hears(small, tone, tmp_path, precision, tolerance):
    # not 1e-3: convolutions of ggml round input and kernels to 16 bits, whatever the file holds
    model = small.network
    write_projector(tmp_path / "mmproj.gguf", model.encoder, model.adapter, precision)
    features = torch.from_numpy(model.encoder.frontend(tone))[None]
    with torch.no_grad():
        wanted, _ = model.embed_audio(features, torch.tensor([features.shape[1]]))
    wanted = wanted[0].numpy()
    with AudioProjector(tmp_path / "mmproj.gguf", small.exported.llms["f32"]) as projector:
        found = projector.embed(tone)
        assert projector.embed(np.tile(tone, 16)).shape == (750, 32)  # 32 s: two windows
    assert found.shape == (375, 32)
    assert np.abs(found - wanted).max() / wanted.std() < tolerance


def test_a_projector_of_another_llm_is_refused(small, tmp_path):
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load"):
        AudioProjector(small.exported.llms["f32"], small.exported.llms["f32"])
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(8))
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load"):
        AudioProjector(tmp_path / "bad.gguf", small.exported.llms["f32"])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"adapter": AdapterConfig("concat", hidden_width=24)}, "cannot run a ConcatAdapter"),
        ({"adapter": AdapterConfig("gated", stride=8, hidden_width=24)}, "one of 2, 3, 4, 5"),
        ({"whisper": {**WHISPER, "max_frames": 700, "pad_to_s": None}}, "this encoder has 700"),
        (
            {
                "encoder": "sanm",
                "whisper": {"num_mels": 560, "width": 16, "ffn_width": 24, "num_blocks": 2},
            },
            "it has Whisper's encoder alone",
        ),
    ],
)
def test_what_llama_cpp_cannot_run_is_refused(tmp_path, changes, why):
    folder, _ = save_speech_llm(tmp_path, **{"adapter": GATED, **changes})
    with pytest.raises(ModelError, match=why):
        export_gguf(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encoder_that_was_trained_without_padding_is_warned_of(tmp_path, caplog):
    folder, _ = save_speech_llm(tmp_path, whisper={**WHISPER, "pad_to_s": None})
    export_gguf(folder, tmp_path / "out")
    assert "pads recordings to 30 s" in caplog.text
