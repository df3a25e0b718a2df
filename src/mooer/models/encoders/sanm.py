"""The encoder of Paraformer, MooER and SenseVoice: self-attention with a memory (SAN-M).

Gao et al. 2020, "SAN-M: Memory Equipped Self-Attention for End-to-End Speech Recognition": beside
the attention each block adds an FSMN memory, a depthwise convolution over the values. Positions
are sinusoids added to the stacked features themselves, so the first block, from 560 to 512, has
no residual around its attention.

Weights: `paraformer-encoder.pth` of MooER (157,975,648 parameters, un-prefixed) and the keys under
`encoder.` of SenseVoiceSmall, which adds 20 blocks (`tp_encoders`) and takes query frames in
front of the features. Names and shapes are theirs, so either fills the module strictly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad, relu, scaled_dot_product_attention

from mooer.audio.features import load_cmvn
from mooer.audio.frontend import KaldiLfr
from mooer.errors import ConfigError
from mooer.models.encoders.base import Encoder, inside, zero_after

_FEATURE_MS = 10.0


@dataclass(frozen=True)
class SanmConfig:
    """MooER's and Paraformer's encoder. SenseVoice's: `num_tp_blocks` 20, `norm_eps` 1e-5."""

    cmvn: str | None = None  # path of am.mvn; without it features are not normalised
    num_mels: int = 80
    num_stack: int = 7  # frames side by side in one feature frame
    stride: int = 6  # frames of 10 ms from one feature frame to the next
    width: int = 512
    num_heads: int = 4
    ffn_width: int = 2048
    num_blocks: int = 50  # the first, from features to width, included
    num_tp_blocks: int = 0  # blocks after the first norm
    kernel: int = 11  # frames that the memory sees, the middle one included
    norm_eps: float = 1e-12
    dropout: float = 0.0  # 0.1 when it was trained

    def __post_init__(self) -> None:
        if self.width % self.num_heads:
            raise ConfigError(f"width {self.width} is not a multiple of {self.num_heads} heads")
        if self.kernel % 2 == 0:
            raise ConfigError(f"kernel {self.kernel} has no middle frame: use an odd number")
        if self.num_mels * self.num_stack % 2:
            raise ConfigError(
                f"{self.num_mels} mels x {self.num_stack} frames is odd: "
                f"the sines and cosines of positions need an even width"
            )


class Attention(nn.Module):
    """Attention over the whole sequence, plus the memory over a few neighbours."""

    def __init__(self, config: SanmConfig, in_width: int) -> None:
        super().__init__()
        width = config.width
        self.num_heads = config.num_heads
        self.dropout = config.dropout
        self.linear_q_k_v = nn.Linear(in_width, 3 * width)
        self.linear_out = nn.Linear(width, width)
        self.fsmn_block = nn.Conv1d(width, width, config.kernel, groups=width, bias=False)
        self.margin = config.kernel // 2

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, F, in_width], mask [B, F] -> [B, F, D]."""
        q, k, v = self.linear_q_k_v(x).chunk(3, dim=-1)
        heads = [t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in (q, k, v)]
        found = scaled_dot_product_attention(
            heads[0],
            heads[1],
            heads[2],
            attn_mask=mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        attended: Tensor = self.linear_out(found.transpose(1, 2).flatten(2))
        return attended + self.memory(v, mask)

    def memory(self, v: Tensor, mask: Tensor) -> Tensor:
        """Each value and a weighted sum of its neighbours; nothing comes from padding."""
        v = v * mask[..., None]
        around = self.fsmn_block(pad(v.transpose(1, 2), (self.margin, self.margin)))
        remembered = dropout(around.transpose(1, 2) + v, self.dropout, self.training)
        return remembered * mask[..., None]


class FeedForward(nn.Module):
    """Linear, ReLU, linear."""

    def __init__(self, config: SanmConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.w_1 = nn.Linear(config.width, config.ffn_width)
        self.w_2 = nn.Linear(config.ffn_width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, F, D] -> [B, F, D]."""
        hidden = dropout(relu(self.w_1(x)), self.dropout, self.training)
        out: Tensor = self.w_2(hidden)
        return out


class Block(nn.Module):
    """Norm, attention, norm, feed-forward; the residuals around them are un-normalised."""

    def __init__(self, config: SanmConfig, in_width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.residual = in_width == config.width
        self.norm1 = nn.LayerNorm(in_width, config.norm_eps)
        self.self_attn = Attention(config, in_width)
        self.norm2 = nn.LayerNorm(config.width, config.norm_eps)
        self.feed_forward = FeedForward(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, F, in_width], mask [B, F] -> [B, F, D]."""
        attended = dropout(self.self_attn(self.norm1(x), mask), self.dropout, self.training)
        y: Tensor = x + attended if self.residual else attended
        return y + dropout(self.feed_forward(self.norm2(y)), self.dropout, self.training)


class SanmEncoder(Encoder):
    """Stacked features [B, F, 560] in, as many hidden frames [B, F, 512] out, 60 ms each."""

    def __init__(self, config: SanmConfig) -> None:
        super().__init__()
        self.config = config
        self.frontend = KaldiLfr(
            load_cmvn(config.cmvn) if config.cmvn else None,
            num_mels=config.num_mels,
            num_stack=config.num_stack,
            stride=config.stride,
        )
        self.width = config.width
        self.frame_ms = _FEATURE_MS * config.stride
        in_width = self.frontend.num_mels
        self.encoders0 = nn.ModuleList([Block(config, in_width)])
        self.encoders = nn.ModuleList(
            Block(config, config.width) for _ in range(config.num_blocks - 1)
        )
        self.after_norm = nn.LayerNorm(config.width, config.norm_eps)
        if config.num_tp_blocks:
            self.tp_encoders = nn.ModuleList(
                Block(config, config.width) for _ in range(config.num_tp_blocks)
            )
            self.tp_norm = nn.LayerNorm(config.width, config.norm_eps)

    def num_frames(self, num_features: int) -> int:
        """One hidden frame per feature frame."""
        return num_features

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, M], [B] -> [B, F, D] with zeros after the end, [B]."""
        mask = inside(lengths, features.shape[1])
        x = zero_after(features.float(), lengths) * math.sqrt(self.width)
        x = (x + sinusoids(x.shape[1], x.shape[2], x.device)).to(self.after_norm.weight.dtype)
        for block in (*self.encoders0, *self.encoders):
            x = block(x, mask)
        x = self.after_norm(x)
        if self.config.num_tp_blocks:
            for block in self.tp_encoders:
                x = block(x, mask)
            x = self.tp_norm(x)
        return zero_after(x, lengths), lengths


def sinusoids(num_frames: int, width: int, device: torch.device) -> Tensor:
    """Sines, then cosines, of positions 1 … F: [F, D] in float32.

    Angular frequencies fall from 1 to 1e-4 (Vaswani et al. 2017, section 3.5; sines and cosines
    side by side as in tensor2tensor).
    """
    places = torch.arange(1, num_frames + 1, device=device, dtype=torch.float32)
    steps = torch.arange(width // 2, device=device, dtype=torch.float32)
    angles = places[:, None] * torch.exp(steps * (-math.log(1e4) / (width / 2 - 1)))
    return torch.cat([angles.sin(), angles.cos()], dim=1)
