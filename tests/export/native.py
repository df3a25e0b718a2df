"""A small random speech LLM over a released Whisper of its own, saved as mooer saves."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tests.models.folders import save_gguf
from tests.models.test_encoder_whisper import THEIRS, random_model, write_ct2
from tests.tiny import tiny_llm

from mooer.models.adapter import AdapterConfig
from mooer.models.ctc import CtcConfig
from mooer.models.llm import LlmConfig, LoraConfig
from mooer.models.load import build, save
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM

SIZES = {
    "num_mels": 80,
    "width": 16,
    "num_heads": 2,
    "ffn_width": 24,
    "num_layers": 2,
    "max_frames": 1500,
    "extra_layers": 1,
}
GATED = AdapterConfig("gated", stride=4, hidden_width=24, output_scale=0.5)


def save_released(folder: Path) -> None:
    """Write `folder/model.bin`, a Whisper of these sizes."""
    config = {**THEIRS.to_dict(), "num_mel_bins": 80, "max_source_positions": 1500}
    folder.mkdir(parents=True)
    write_ct2(random_model(config=transformers.WhisperConfig(**config)), folder / "model.bin")


def save_native(
    root: Path, *, lora: bool = True, adapter: AdapterConfig = GATED, options: dict | None = None
) -> tuple[Path, SpeechLLM]:
    """Write `root/llm.gguf`, `root/whisper` and `root/model`; the folder and the network.

    The added block and the last norm of the encoder have learned. `options` are of the encoder.
    """
    llm = tiny_llm(width=64)  # of heads that onnxruntime reads
    torch.manual_seed(1)
    for name, parameter in llm.named_parameters():  # large enough that every one is heard
        if parameter.ndim > 1 or name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    save_gguf(root / "llm.gguf", llm)
    save_released(root / "whisper")
    config = ModelConfig(
        EncoderConfig("whisper", {**SIZES, **(options or {})}, str(root / "whisper")),
        LlmConfig(
            str(root / "llm.gguf"),
            lora=LoraConfig(rank=4, alpha=6.0, dropout=0.0) if lora else None,
        ),
        adapter,
        template="mini",
        ctc=CtcConfig(),
    )
    model = build(config).eval()
    model.set_units([5, 7, 9])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
            elif name.startswith(("encoder.layers.2", "encoder.layer_norm", "adapter.")):
                parameter.add_(torch.randn_like(parameter) * 0.2)
    save(model, root / "model", with_encoder="changed")
    return root / "model", model
