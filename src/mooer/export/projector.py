"""A Whisper encoder and a gated adapter as llama.cpp's multimodal projector (mmproj).

llama.cpp has the two as one network, of the projector type `ultravox`. It always hears 30 s: a
shorter recording has silence after it, and a longer one is cut into such windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mooer.errors import ModelError
from mooer.export.gguf_file import Entry, typed, write_gguf
from mooer.export.precision import FILE_TYPES, Precision, TensorType, pack
from mooer.models.adapter import Adapter, GatedAdapter
from mooer.models.encoders.base import Encoder
from mooer.models.encoders.whisper import WhisperEncoder

WINDOW_S = 30.0
WINDOW_FRAMES = 1500  # of 20 ms, in llama.cpp
_NORM_EPS = 1e-5

_ENCODER = {  # after layers.N. and a.blk.N.
    "self_attn_layer_norm": "ln1",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_out",
    "final_layer_norm": "ln2",
    "fc1": "ffn_up",
    "fc2": "ffn_down",
}
_OUTSIDE = {
    "conv1": "a.conv1d.1",
    "conv2": "a.conv1d.2",
    "embed_positions": "a.position_embd",
    "layer_norm": "a.post_ln",
}
_ADAPTER = {
    "norm_pre": "mm.a.norm_pre",
    "linear1": "mm.a.mlp.1",
    "norm_mid": "mm.a.norm_mid",
    "linear2": "mm.a.mlp.2",
}


def require_runnable(encoder: Encoder, adapter: Adapter) -> None:
    """ModelError if stock llama.cpp has no network of this kind."""
    if not isinstance(encoder, WhisperEncoder):
        raise ModelError(
            f"llama.cpp cannot run a {type(encoder).__name__}: it has Whisper's encoder alone, so "
            "train with `encoder: {name: whisper}`, or serve this model with mooer"
        )
    if not isinstance(adapter, GatedAdapter):
        raise ModelError(
            f"llama.cpp cannot run a {type(adapter).__name__} after Whisper's encoder: train with "
            "`adapter: {name: gated}`, or serve this model with mooer"
        )
    if encoder.config.max_frames < WINDOW_FRAMES:
        raise ModelError(
            f"llama.cpp hears windows of {WINDOW_S:g} s, {WINDOW_FRAMES} positions, but this "
            f"encoder has {encoder.config.max_frames}: train one with all of Whisper's"
        )
    if WINDOW_FRAMES % adapter.stride:
        fits = ", ".join(str(n) for n in range(2, 13) if WINDOW_FRAMES % n == 0)
        raise ModelError(
            f"an adapter of stride {adapter.stride} leaves a rest of {WINDOW_FRAMES} frames, which "
            f"llama.cpp counts otherwise: train with one of {fits}"
        )


def write_projector(
    path: Path, encoder: Encoder, adapter: Adapter, precision: Precision = "f16"
) -> None:
    """Write the mmproj file; `precision` of its matrices, f16 or f32.

    ModelError if llama.cpp cannot run the two.
    """
    require_runnable(encoder, adapter)
    assert isinstance(encoder, WhisperEncoder)
    assert isinstance(adapter, GatedAdapter)
    assert precision in ("f16", "f32")
    config = encoder.config
    values: dict[str, str | bool | int | float] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.file_type": FILE_TYPES[precision],
        "clip.projector_type": "ultravox",
        "clip.has_audio_encoder": True,
        "clip.has_vision_encoder": False,
        "clip.audio.embedding_length": config.width,
        "clip.audio.feed_forward_length": config.ffn_width,
        "clip.audio.block_count": len(encoder.layers),
        "clip.audio.attention.head_count": config.num_heads,
        "clip.audio.attention.layer_norm_epsilon": _NORM_EPS,
        "clip.audio.num_mel_bins": config.num_mels,
        "clip.audio.projection_dim": adapter.linear2.out_features,
        "clip.audio.projector.stack_factor": adapter.stride,
    }
    kind = TensorType.F32 if precision == "f32" else TensorType.F16
    tensors = [*_encoder_tensors(encoder), *_adapter_tensors(adapter)]
    entries = [_entry(name, tensor, kind) for name, tensor in tensors]
    write_gguf(path, {key: typed(value) for key, value in values.items()}, entries)


def _encoder_tensors(encoder: WhisperEncoder) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in encoder.state_dict().items():
        stem, _, kind = name.rpartition(".")
        if stem.startswith("layers."):
            _, number, part = stem.split(".", 2)
            yield f"a.blk.{number}.{_ENCODER[part]}.{kind}", tensor
        elif stem == "embed_positions":
            yield f"{_OUTSIDE[stem]}.{kind}", tensor[:WINDOW_FRAMES]
        elif stem.startswith("conv") and kind == "bias":
            yield f"{_OUTSIDE[stem]}.{kind}", tensor[:, None]  # added to [channels, frames]
        else:
            yield f"{_OUTSIDE[stem]}.{kind}", tensor


def _adapter_tensors(adapter: GatedAdapter) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in adapter.state_dict().items():
        stem, _, kind = name.rpartition(".")
        # the last layer has no bias, so the scale may come before it
        scaled = tensor * adapter.output_scale if stem == "norm_mid" else tensor
        yield f"{_ADAPTER[stem]}.{kind}", scaled


def _entry(name: str, tensor: Tensor, kind: TensorType) -> Entry:
    """Kernels are F16, because ggml's convolution takes no other; vectors and positions F32."""
    is_kernel = tensor.dim() == 3
    is_small = tensor.dim() == 1 or tensor.shape[-1] == 1 or "position_embd" in name
    chosen = TensorType.F16 if is_kernel else TensorType.F32 if is_small else kind

    def load() -> Any:
        return pack(tensor.detach().to("cpu", torch.float32).numpy(), chosen)

    return Entry(name, tuple(tensor.shape), chosen, load)
