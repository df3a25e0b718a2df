"""Qwen2 as a graph of ONNX, beside transformers and peft."""

import os
from contextlib import closing

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tests.models.folders import save_gguf
from tests.tiny import tiny_llm

from mooer.engines.gguf_weights import GgufWeights
from mooer.engines.llama_context import Row
from mooer.engines.onnx_context import OnnxContext
from mooer.engines.qwen_graph import in_blocks
from mooer.engines.qwen_onnx import MAX_KEPT, packed, write_onnx
from mooer.errors import DecodeError, ModelError, OutputError

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def tuned():
    """With LoRA, and weights large enough that every one of them is heard."""
    model = tiny_llm(width=64)
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    lora = LoraConfig(r=4, lora_alpha=6, target_modules=LAYERS, lora_dropout=0.0)
    model = get_peft_model(model, lora)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture(scope="module")
def places(tuned, tmp_path_factory):
    """The base as a GGUF, and the folder of its LoRA."""
    folder = tmp_path_factory.mktemp("qwen")
    tuned.save_pretrained(folder / "lora")
    theirs = tuned.get_base_model().named_parameters()
    plain = {name.replace(".base_layer", ""): parameter for name, parameter in theirs}
    base = tiny_llm(width=64)
    for name, parameter in base.named_parameters():
        parameter.data.copy_(plain[name])
    save_gguf(folder / "base.gguf", base)
    return folder / "base.gguf", folder / "lora"


def frames(num_rows, seed=0):
    return np.random.default_rng(seed).standard_normal((num_rows, 64)).astype(np.float32)


def after(context, sequence, position, content):
    """Logits after the last row."""
    last = len(content) - 1
    rows = [Row(sequence, position + i, wanted=i == last) for i in range(len(content))]
    [logits] = context.evaluate(content, rows)
    return logits


@torch.no_grad()
def expected(tuned, content):
    if isinstance(content, np.ndarray):
        return tuned(inputs_embeds=torch.from_numpy(content)[None]).logits[0, -1].numpy()
    return tuned(torch.tensor([content])).logits[0, -1].numpy()


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("int8", 0.6)])
def test_logits_are_those_of_transformers_with_lora(tuned, places, tmp_path, precision, tolerance):
    write_onnx(tmp_path / "m.onnx", *places, precision=precision)
    context = OnnxContext(places[0], tmp_path / "m.onnx", num_threads=1, context_tokens=100)
    x, ids = frames(30), list(range(60, 90))
    np.testing.assert_allclose(after(context, 0, 0, x), expected(tuned, x), atol=tolerance)
    np.testing.assert_allclose(after(context, 1, 0, ids), expected(tuned, ids), atol=tolerance)
    assert np.abs(after(context, 2, 0, ids)).max() > 3  # beside which the tolerance is small
    context.copy(1, 3, 20)
    found = after(context, 3, 20, ids[20:])
    np.testing.assert_allclose(found, expected(tuned, ids), atol=tolerance)
    with pytest.raises(DecodeError, match="do not fit a context of 100"):
        after(context, 1, 30, ids * 3)
    context.close()
    with pytest.raises(ModelError, match="has been closed"):
        after(context, 0, 30, ids)


def test_several_sequences_are_read_as_each_alone(places, tmp_path):
    write_onnx(tmp_path / "m.onnx", places[0], None)
    context = OnnxContext(places[0], tmp_path / "m.onnx", num_threads=1, context_tokens=256)
    begun = [list(range(5, 20)), list(range(50, 65)), list(range(90, 97))]
    alone = []
    for sequence, ids in enumerate(begun):
        after(context, sequence, 0, ids)
        alone.append(after(context, sequence, len(ids), [7]))
    context.clear()
    for sequence, ids in enumerate(begun):
        after(context, sequence, 0, ids)
    rows = [Row(sequence, len(ids), True) for sequence, ids in enumerate(begun)]
    together = context.evaluate([7] * 3, rows)
    np.testing.assert_allclose(together, alone, atol=1e-4)
    context.close()


def test_what_is_no_graph_is_told_and_leaves_nothing_open(places, tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="not a usable ONNX file"):
        OnnxContext(places[0], tmp_path / "m.onnx", context_tokens=100)


def test_it_can_be_closed_between_two_steps(places, tmp_path):
    write_onnx(tmp_path / "m.onnx", places[0], None)
    context = OnnxContext(places[0], tmp_path / "m.onnx", num_threads=1, context_tokens=100)
    after(context, 0, 0, [1, 2, 3])
    context.close()
    context.close()
    for use in (lambda: context.copy(0, 1, 2), lambda: after(context, 0, 3, [4])):
        with pytest.raises(ModelError, match="has been closed"):
            use()
    context.remove(0)
    context.clear()


def test_a_graph_is_made_once(places, tmp_path, monkeypatch):
    monkeypatch.setenv("MOOER_HOME", str(tmp_path))
    path = packed(*places)
    weights = path.with_suffix(".bin")
    written = weights.stat().st_mtime_ns
    assert packed(*places) == path
    assert (weights.stat().st_mtime_ns, path.parent) == (written, tmp_path / "llm")
    assert packed(places[0], None) != path


def test_graphs_that_were_not_used_for_long_are_removed(places, tmp_path, monkeypatch):
    monkeypatch.setenv("MOOER_HOME", str(tmp_path))
    used = packed(places[0], None)
    for number in range(MAX_KEPT):
        for suffix in (".onnx", ".bin"):
            other = used.with_name(f"{number}{suffix}")
            other.touch()
            os.utime(other, (number, number))
    assert packed(places[0], None) == used
    new = packed(*places)
    kept = {path.stem for path in used.parent.glob("*.onnx")}
    assert kept == {new.stem, used.stem, "2", "3"} == {p.stem for p in used.parent.glob("*.bin")}


def test_where_nothing_can_be_kept_it_is_told(places, tmp_path, monkeypatch):
    (tmp_path / "llm").write_text("")
    monkeypatch.setenv("MOOER_HOME", str(tmp_path))
    with pytest.raises(OutputError, match="cannot write"):
        packed(*places)


@pytest.mark.parametrize("cut", [10, 2000, -100])
def test_a_damaged_file_is_told(places, tmp_path, cut):
    damaged = tmp_path / "cut.gguf"
    damaged.write_bytes(places[0].read_bytes()[:cut])
    with pytest.raises(ModelError, match=r"cut\.gguf"):
        write_onnx(tmp_path / "m.onnx", damaged, None)
    assert not (tmp_path / "m.bin").exists()


def test_what_a_file_does_not_hold(places):
    with closing(GgufWeights(places[0])) as weights:
        with pytest.raises(ModelError, match=r"has no blk\.9"):
            weights.tensor("blk.9.attn_q.weight", 64, 64)
        with pytest.raises(ModelError, match=r"not of shape \[3, 64\]"):
            weights.tensor("blk.0.attn_q.weight", 3, 64)
        with pytest.raises(ModelError, match=r"does not say its qwen2\.depth"):
            weights.number("qwen2.depth")
        assert weights.number("qwen2.depth", 3) == 3
        whole = weights.tensor("token_embd.weight", 264, 64)
        assert (weights.rows("token_embd.weight", [3, 200], 64) == whole[[3, 200]]).all()


def test_blocks_are_as_near_as_eight_bits_allow():
    weight = np.random.default_rng(0).standard_normal((5, 100)).astype(np.float32)
    bytes_, scale = in_blocks(weight)
    again = ((bytes_.astype(np.float32) - 128) * scale[..., None]).reshape(5, -1)[:, :100]
    assert np.abs(again - weight).max() <= scale.max() / 2 + 1e-6
    assert not in_blocks(np.zeros((2, 64), np.float32))[1].any()
