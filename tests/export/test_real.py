"""Whisper-base and Qwen2.5-0.5B with random adapter and LoRA: torch, and a stock server."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tests.export import stock
from tests.export.saved import GATED
from tests.export.test_projector import tensors

from mooer.audio.wave import read_wave, write_wave
from mooer.config import write_yaml
from mooer.engines.llm import find_gguf
from mooer.export.gguf import export_gguf, read_saved
from mooer.export.gguf_file import field
from mooer.export.llm import Base
from mooer.export.parity import compare_model
from mooer.models.adapter import build_adapter
from mooer.models.llm import LlmConfig, LoraConfig
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM
from mooer.store import located

RANK, WIDTH, NUM_TOKENS = 4, 896, 8
LLM = "store:qwen2.5-0.5b"


def save_model(folder):
    """As `models.load.save` writes it, without the time that loading the LLM takes."""
    lora = LoraConfig(rank=RANK, alpha=8.0, dropout=0.0, targets=("q_proj", "v_proj"))
    options = {"extra_layers": 1, "pad_to_s": 30.0}
    adapter = replace(GATED, hidden_width=128, output_scale=1.0)
    config = ModelConfig(
        EncoderConfig("whisper", options, "store:whisper-base"),
        LlmConfig(LLM, lora=lora),
        adapter,
        template="mini",
    )
    torch.manual_seed(0)
    network = build_adapter(adapter, 512, WIDTH)
    with torch.no_grad():
        network.linear2.weight.mul_(0.03)  # as large as the LLM's own embeddings
    (folder / "lora").mkdir(parents=True)
    write_yaml(config, folder / "mooer.yaml")
    save_file(network.state_dict(), folder / "adapter.safetensors")
    sides = {}
    for i in range(24):
        for name, size in (("q_proj", WIDTH), ("v_proj", 128)):
            stem = f"base_model.model.model.layers.{i}.self_attn.{name}.lora_"
            sides[f"{stem}A.weight"] = torch.randn(RANK, WIDTH) * 0.02
            sides[f"{stem}B.weight"] = torch.randn(size, RANK) * 0.02
    save_file(sides, folder / "lora" / "adapter_model.safetensors")
    said = {"peft_type": "LORA", "r": RANK, "lora_alpha": 8.0, "target_modules": lora.targets}
    (folder / "lora" / "adapter_config.json").write_text(json.dumps(said))


def qwen(path):
    """The LLM in torch, with the weights of a GGUF file."""
    base = Base(path)
    said = {key.split(".", 1)[1]: field(base.reader, key) for key in base.reader.fields}
    config = transformers.Qwen2Config(
        vocab_size=base.shape("token_embd.weight")[0],
        hidden_size=WIDTH,
        intermediate_size=said["feed_forward_length"],
        num_hidden_layers=base.num_blocks,
        num_attention_heads=said["attention.head_count"],
        num_key_value_heads=said["attention.head_count_kv"],
        max_position_embeddings=said["context_length"],
        rms_norm_eps=said["attention.layer_norm_rms_epsilon"],
        rope_parameters={"rope_type": "default", "rope_theta": said["rope.freq_base"]},
        tie_word_embeddings=base.is_tied,
    )
    with torch.device("meta"):
        model = transformers.Qwen2ForCausalLM(config)
    model.to_empty(device="cpu")
    found = tensors(path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(found[base.name(name)])))
    model.model.rotary_emb = type(model.model.rotary_emb)(config)  # its buffers are in no file
    return model.float().eval()


@pytest.mark.real
@pytest.mark.slow
def test_a_stock_server_says_what_torch_says(examples, tmp_path):
    save_model(tmp_path / "model")
    exported = export_gguf(tmp_path / "model", tmp_path / "out", ["f16"])
    saved = read_saved(tmp_path / "model")
    base = find_gguf(located(LLM))
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        base.parent, gguf_file=base.name, local_files_only=True
    )
    model = SpeechLLM(
        saved.encoder,
        saved.adapter,
        qwen(exported.llms["f16"]),
        tokenizer,
        "mini",
        saved.config,
    ).eval()
    sound = tmp_path / "en.wav"
    write_wave(sound, read_wave(examples / "en.flac"))

    [clip] = compare_model(model, exported, [sound], max_new_tokens=NUM_TOKENS)

    # of embeddings with a deviation of 0.02: weights of 16 bits, and convolutions of 16 bits
    assert clip.embeddings.mean < 1e-4
    assert clip.embeddings.max < 2e-3
    assert clip.llms["f16"].logprobs.max < 0.1
    assert clip.llms["f16"].answer == clip.answer
    assert clip.answer
    with stock.server(exported.llms["f16"], exported.projector) as running:
        said = stock.answer(running, sound.read_bytes(), "Transcribe the speech.", NUM_TOKENS)
    assert said == clip.answer
