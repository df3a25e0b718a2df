"""A small random speech LLM of the kind that llama.cpp runs, saved as mooer saves."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.models.folders import save_gguf
from tests.tiny import tiny_llm

from mooer.models.adapter import AdapterConfig
from mooer.models.llm import LlmConfig, LoraConfig
from mooer.models.load import build, save
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM

WHISPER = {
    "width": 32,
    "num_heads": 2,
    "ffn_width": 48,
    "num_layers": 1,
    "extra_layers": 1,
    "pad_to_s": 30.0,
}
GATED = AdapterConfig("gated", stride=4, hidden_width=24, output_scale=0.5)


def save_speech_llm(
    root: Path,
    *,
    whisper: dict | None = None,
    adapter: AdapterConfig = GATED,
    lora: bool = True,
    encoder: str = "whisper",
) -> tuple[Path, SpeechLLM]:
    """Write `root/llm.gguf` and `root/model`; returns the folder and the network, LoRA unmerged."""
    save_gguf(root / "llm.gguf", tiny_llm())
    config = ModelConfig(
        EncoderConfig(encoder, WHISPER if whisper is None else whisper),
        LlmConfig(
            str(root / "llm.gguf"),
            lora=LoraConfig(rank=4, alpha=6.0, dropout=0.0) if lora else None,
        ),
        adapter,
        template="mini",
    )
    torch.manual_seed(1)
    model = build(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name or name.startswith("encoder.layers.1"):
                parameter.normal_(std=0.1)
            elif parameter.dim() == 1 and not name.startswith(
                "llm."
            ):  # biases and norms that are told apart
                parameter.add_(torch.randn_like(parameter) * 0.05)
        model.adapter.linear2.weight.mul_(0.1)
    save(model, root / "model")
    return root / "model", model
