"""LLM and LoRA as GGUF: tensor by tensor, and through llama.cpp."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace

import gguf
import numpy as np
import pytest
from tests.export.test_projector import tensors
from tests.models.folders import save_gguf
from tests.tiny import tiny_llm

from mooer.config import read_yaml, write_yaml
from mooer.engines.llama_context import LlamaContext, Row
from mooer.errors import ConfigError, ModelError
from mooer.export.gguf import chat_template, export_gguf, known_precision
from mooer.export.llm import Base, write_lora
from mooer.export.precision import TensorType, pack, tensor_type
from mooer.models.llm import LlmConfig, merge_lora
from mooer.models.load import LLM, LORA
from mooer.models.lora import read_lora
from mooer.models.speech_llm import ModelConfig

# peft looks for the config of a base that is a GGUF file
pytestmark = pytest.mark.filterwarnings("ignore:Could not find a config file")

NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "blk.0.attn_q.weight": "model.layers.0.self_attn.q_proj.weight",
    "blk.0.attn_q.bias": "model.layers.0.self_attn.q_proj.bias",
    "blk.1.attn_output.weight": "model.layers.1.self_attn.o_proj.weight",
    "blk.1.ffn_gate.weight": "model.layers.1.mlp.gate_proj.weight",
    "blk.1.ffn_norm.weight": "model.layers.1.post_attention_layernorm.weight",
}


def logits(path, lora=None):
    """Of the last of a few ids."""
    context = LlamaContext(path, lora=lora, context_tokens=256, num_sequences=1, exact=True)
    try:
        ids = [72, 101, 108, 108, 111]
        return context.evaluate(ids, [Row(0, i, i == 4) for i in range(5)])[0]
    finally:
        context.close()


def test_lora_is_in_the_weights(small):
    merged = merge_lora(copy.deepcopy(small.network.llm)).state_dict()
    before = tensors(small.root / "llm.gguf")
    for precision, tolerance in (("f32", 1e-6), ("f16", 2e-4), ("q8_0", 3e-3)):
        found = tensors(small.exported.llms[precision])
        assert list(found) == list(before)
        for ours, theirs in NAMES.items():
            np.testing.assert_allclose(found[ours], merged[theirs].numpy(), atol=tolerance)
    moved = np.abs(found["blk.0.attn_q.weight"] - before["blk.0.attn_q.weight"]).max()
    assert moved > 0.01


def test_tokenizer_and_metadata_are_those_of_the_base(small):
    base = gguf.GGUFReader(small.root / "llm.gguf")
    found = gguf.GGUFReader(small.exported.llms["q8_0"])
    for key in base.fields:
        if not key.startswith("GGUF."):
            assert found.get_field(key).contents() == base.get_field(key).contents(), key
    assert found.get_field("general.file_type").contents() == 7
    assert found.get_field("tokenizer.chat_template").contents() == chat_template("mini")


def test_llama_cpp_reads_lora_alone_as_it_reads_the_merged_llm(small):
    assert small.exported.lora is not None
    apart = logits(small.exported.base, small.exported.lora)
    together = logits(small.exported.llms["f32"])
    np.testing.assert_allclose(apart, together, atol=1e-4)
    assert np.abs(apart - logits(small.exported.base)).max() > 0.01


def test_weights_of_transformers_need_the_base(small, tmp_path):
    merged = tiny_llm()
    merged.load_state_dict(merge_lora(copy.deepcopy(small.network.llm)).state_dict())
    shutil.copytree(small.folder, tmp_path / "merged")
    merged.save_pretrained(tmp_path / "merged" / LLM)
    config = read_yaml(ModelConfig, small.folder / "mooer.yaml")
    write_yaml(replace(config, llm=LlmConfig(LLM)), tmp_path / "merged" / "mooer.yaml")
    with pytest.raises(ModelError, match=r"convert_hf_to_gguf\.py"):
        export_gguf(tmp_path / "merged", tmp_path / "out")
    base = small.root / "llm.gguf"
    exported = export_gguf(tmp_path / "merged", tmp_path / "out", ["f32"], base=base)
    assert exported.lora is None
    wanted, found = tensors(small.exported.llms["f32"]), tensors(exported.llms["f32"])
    for name, tensor in wanted.items():
        np.testing.assert_allclose(found[name], tensor, atol=1e-6)


def test_a_base_of_another_size_is_refused(small, tmp_path):
    lora = read_lora(small.folder / LORA)
    save_gguf(tmp_path / "wide.gguf", tiny_llm(width=64))
    with pytest.raises(ModelError, match="was not trained on this LLM"):
        write_lora(tmp_path / "lora.gguf", Base(tmp_path / "wide.gguf"), lora)
    save_gguf(tmp_path / "short.gguf", tiny_llm(num_layers=1))
    with pytest.raises(ModelError, match=r"which .* has not"):
        write_lora(tmp_path / "lora.gguf", Base(tmp_path / "short.gguf"), lora)
    assert not (tmp_path / "lora.gguf").exists()


def test_another_architecture_is_refused(small):
    with pytest.raises(ModelError, match="is a clip: of qwen2 alone"):
        Base(small.exported.projector)


def test_lora_of_another_model_is_refused(small, tmp_path):
    shutil.copytree(small.folder, tmp_path / "model")
    config = read_yaml(ModelConfig, tmp_path / "model" / "mooer.yaml")
    other = replace(config, llm=replace(config.llm, lora=replace(config.llm.lora, alpha=1.0)))
    write_yaml(other, tmp_path / "model" / "mooer.yaml")
    with pytest.raises(ModelError, match="not of one model"):
        export_gguf(tmp_path / "model", tmp_path / "out")


def test_an_unknown_precision_names_the_nearest(small, tmp_path):
    assert known_precision("q8_0") == "q8_0"
    with pytest.raises(ConfigError, match="did you mean q4_k_m"):
        known_precision("q4_k")


@pytest.mark.parametrize(
    ("kind", "tolerance"),
    [
        (TensorType.F32, 1e-9),
        (TensorType.F16, 2e-3),
        (TensorType.Q8_0, 0.02),
        (TensorType.Q6_K, 0.08),
        (TensorType.Q5_0, 0.2),
        (TensorType.Q4_K, 0.3),
    ],
)
def test_packed_rows_are_read_back_by_gguf(kind, tolerance):
    rows = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    found = gguf.dequantize(pack(rows, kind), gguf.GGMLQuantizationType(kind))
    assert found.shape == rows.shape
    assert np.abs(found - rows).max() < tolerance


def test_types_of_q4_k_m_are_those_of_llama_quantize():
    def of(name, shape=(896, 4864), tied=False):
        return tensor_type(name, shape, "q4_k_m", 24, is_tied=tied).name

    more = [i for i in range(24) if of(f"blk.{i}.ffn_down.weight") == "Q6_K"]
    assert more == [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]
    assert of("blk.0.attn_v.weight", (128, 896)) == "Q8_0"
    assert of("blk.3.attn_v.weight", (128, 896)) == "Q5_0"
    assert of("output.weight", (99, 1024)) == "Q6_K"
    assert of("token_embd.weight", (99, 1024)) == "Q4_K"
    assert of("token_embd.weight", (99, 1024), tied=True) == "Q6_K"
    assert of("blk.0.attn_q.bias", (896,)) == "F32"
    assert of("blk.0.ffn_up.weight", (8, 40)) == "F16"
