"""OSUM's adapter: strided convolutions, a small transformer, one linear layer.

Geng et al. 2025, "OSUM: Advancing Open Speech Understanding Models with Limited Resources in
Academia". The transformer is WeNet's (Zhang et al. 2022): a linear layer and a norm, sinusoids,
blocks with the norm first. All convolutions look back only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, relu, scaled_dot_product_attention

from mooer.errors import ConfigError
from mooer.models.adapter import Adapter, AdapterConfig
from mooer.models.encoders.base import inside, zero_after

_KERNEL = 3


class Attention(nn.Module):
    """Multi-head attention under a mask of padding."""

    def __init__(self, config: AdapterConfig, width: int) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k = nn.Linear(width, width)
        self.linear_v = nn.Linear(width, width)
        self.linear_out = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, N, D], mask [B, N] -> [B, N, D]."""
        q, k, v = (
            linear(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for linear in (self.linear_q, self.linear_k, self.linear_v)
        )
        found = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        out: Tensor = self.linear_out(found.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, config: AdapterConfig, width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.w_1 = nn.Linear(width, config.ffn_width)
        self.w_2 = nn.Linear(config.ffn_width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, N, D] -> [B, N, D]."""
        out: Tensor = self.w_2(dropout(relu(self.w_1(x)), self.dropout, self.training))
        return out


class Block(nn.Module):
    """Norm, attention, norm, feed-forward, each pair with its residual."""

    def __init__(self, config: AdapterConfig, width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.self_attn = Attention(config, width)
        self.feed_forward = FeedForward(config, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, N, D], mask [B, N] -> [B, N, D]."""
        x = x + dropout(self.self_attn(self.norm1(x), mask), self.dropout, self.training)
        return x + dropout(self.feed_forward(self.norm2(x)), self.dropout, self.training)


class Transformer(nn.Module):
    """Linear layer and norm, sinusoids, blocks, norm."""

    def __init__(self, config: AdapterConfig, width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.embed = nn.Linear(width, width)
        self.embed_norm = nn.LayerNorm(width)
        self.encoders = nn.ModuleList(Block(config, width) for _ in range(config.num_layers))
        self.after_norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, N, D], mask [B, N] -> [B, N, D]."""
        x = dropout(self.embed_norm(self.embed(x)), self.dropout, self.training)
        places = sinusoids(x.shape[1], x.shape[2], x.device).to(x.dtype)
        x = dropout(x * math.sqrt(x.shape[2]) + places, self.dropout, self.training)
        for block in self.encoders:
            x = block(x, mask)
        out: Tensor = self.after_norm(x)
        return out


class ConvAdapter(Adapter):
    """Convolutions over 3 frames, the first of stride 1, each of the others of stride 2.

    `stride` is therefore a power of two: OSUM's is 4, 80 ms per embedding over Whisper's 20 ms.
    """

    RELEASED: ClassVar[Mapping[str, str]] = {
        "down_sample_2.conv.": "convs.",
        "speech_transformer.": "transformer.",
        "speech_transformer.embed.out.0.": "transformer.embed.",
        "speech_transformer.embed.out.1.": "transformer.embed_norm.",
        "speech_llama_proj.": "linear.",
    }

    def __init__(self, config: AdapterConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        if config.stride & (config.stride - 1):
            raise ConfigError(
                f"the conv adapter halves the frame rate again and again: "
                f"stride {config.stride} is not a power of two"
            )
        if in_width % config.num_heads or in_width % 2:
            raise ConfigError(
                f"the conv adapter cannot split width {in_width} over {config.num_heads} heads"
            )
        self.stride = config.stride
        layers: list[nn.Module] = []
        for stride in (1, *[2] * (config.stride.bit_length() - 1)):
            before = nn.ConstantPad1d((_KERNEL - 1, 0), 0.0)
            layers += [before, nn.Conv1d(in_width, in_width, _KERNEL, stride), nn.GELU()]
        self.convs = nn.Sequential(*layers)
        self.transformer = Transformer(config, in_width)
        self.linear = nn.Linear(in_width, out_width)

    def num_embeddings(self, num_frames: int) -> int:
        """One per `stride` frames or part of them."""
        return -(-num_frames // self.stride)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, D], [B] -> [B, ceil(F / stride), W] with zeros after the end, [B]."""
        num_embeddings = (lengths + self.stride - 1) // self.stride
        x = self.convs(zero_after(hidden, lengths).transpose(1, 2)).transpose(1, 2)
        embeddings = self.linear(self.transformer(x, inside(num_embeddings, x.shape[1])))
        return zero_after(embeddings, num_embeddings), num_embeddings


def sinusoids(num_frames: int, width: int, device: torch.device) -> Tensor:
    """Sine and cosine of positions 0 … N - 1 by turns: [N, D] in float32 (Vaswani et al. 2017)."""
    places = torch.arange(num_frames, device=device, dtype=torch.float32)
    steps = torch.arange(0, width, 2, device=device, dtype=torch.float32)
    angles = places[:, None] * torch.exp(steps * (-math.log(1e4) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
