"""A LoRA of peft's as GGUF."""

from __future__ import annotations

from pathlib import Path

import gguf


def save_lora(path: Path, model, alpha: float) -> Path:
    """Write the LoRA of a PeftModel around a Qwen2 as llama.cpp's converter lays it out."""
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", alpha)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, model.config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:  # base_model.model.model.layers.0.….q_proj.lora_A.default.weight
            stem, part = name.removeprefix("base_model.model.").split(".lora_")
            ours = f"{names.get_name(stem)}.weight.lora_{part[0].lower()}"
            writer.add_tensor(ours, tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
