"""From an encoder's hidden frames to embeddings that an LLM reads, fewer and of its width.

`concat` stacks neighbouring frames and sends them through two linear layers: MooER, SLAM-LLM
(Ma et al. 2024, "An Embarrassingly Simple Approach for LLM with Strong ASR Capacity") and
FireRedASR-LLM. `pool` takes their mean and one linear layer: Qwen2-Audio (Chu et al. 2024,
"Qwen2-Audio Technical Report"). `gated` is Ultravox's (fixie-ai, since v0.5), which llama.cpp runs:
stacked frames through SwiGLU between two norms. `conv` is OSUM's, in `adapter_conv`.

An embedding stands for `encoder.frame_ms * adapter.stride` milliseconds of sound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, silu

from mooer.errors import ConfigError
from mooer.models.encoders.base import zero_after
from mooer.models.tensors import StrPath, Tensors, fill, read_tensors
from mooer.registry import Table

ADAPTERS = Table(
    "adapter",
    {
        "concat": "mooer.models.adapter:ConcatAdapter",
        "conv": "mooer.models.adapter_conv:ConvAdapter",
        "gated": "mooer.models.adapter:GatedAdapter",
        "pool": "mooer.models.adapter:PoolAdapter",
    },
)


@dataclass(frozen=True)
class AdapterConfig:
    """Which adapter, and its sizes; a field that only one kind reads names it."""

    name: str = "concat"
    stride: int = 2  # encoder frames per embedding
    hidden_width: int = 2048  # concat, gated: between the two linear layers
    output_scale: float = 1.0  # gated: so that what it makes at first is as long as LLM embeddings
    num_layers: int = 4  # conv: of the transformer
    num_heads: int = 4  # conv
    ffn_width: int = 2560  # conv
    dropout: float = 0.0  # conv; OSUM was trained with 0.1
    norm: bool = False  # pool: a layer norm after the mean, as in Qwen2-Audio

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ConfigError(f"adapter stride {self.stride} is not at least 1")


class Adapter(nn.Module, ABC):
    """Hidden frames [B, F, D] in, embeddings [B, N, W] out, one per `stride` frames."""

    RELEASED: ClassVar[Mapping[str, str]]  # prefix of a released name -> prefix of ours
    stride: int

    @abstractmethod
    def num_embeddings(self, num_frames: int) -> int:
        """Embeddings N of so many frames."""

    @abstractmethod
    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings [B, N, W] and how many of them count [B]; what is padded changes none."""

    def load_weights(self, path: StrPath) -> None:
        """Fill strictly from released weights; ModelError lists what is off."""
        fill(self, self.released(read_tensors(path)), path, "adapter")

    def released(self, tensors: Mapping[str, Tensor]) -> Tensors:
        """Tensors under this module's names; a name of no known prefix stays, to be refused."""
        renamed = {}
        for name, tensor in tensors.items():
            known = [p for p in self.RELEASED if name.startswith(p)]
            prefix = max(known, key=len, default="")
            renamed[self.RELEASED.get(prefix, "") + name[len(prefix) :]] = tensor
        return renamed


def build_adapter(config: AdapterConfig, in_width: int, out_width: int) -> Adapter:
    """The adapter of that name with random weights, from D `in_width` to W `out_width`.

    >>> adapter = build_adapter(AdapterConfig(), 512, 3584)
    >>> sum(p.numel() for p in adapter.parameters())
    9442816
    """
    adapter: Adapter = ADAPTERS.load(config.name)(config, in_width, out_width)
    return adapter


class ConcatAdapter(Adapter):
    """`stride` frames side by side, linear, ReLU, linear; what is left at the end is dropped."""

    RELEASED: ClassVar[Mapping[str, str]] = {"encoder_projector.": ""}

    def __init__(self, config: AdapterConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.linear1 = nn.Linear(in_width * config.stride, config.hidden_width)
        self.linear2 = nn.Linear(config.hidden_width, out_width)

    def num_embeddings(self, num_frames: int) -> int:
        """Whole groups of `stride` frames."""
        return num_frames // self.stride

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, D], [B] -> [B, F // stride, W] with zeros after the end, [B]."""
        num_embeddings = lengths // self.stride
        groups = _groups(hidden, lengths, self.stride).flatten(2)
        embeddings = self.linear2(torch.relu(self.linear1(groups)))
        return zero_after(embeddings, num_embeddings), num_embeddings


class GatedAdapter(Adapter):
    """`stride` frames side by side, norm, linear, SwiGLU, norm, linear, without biases.

    What is left at the end is filled up with zeros. Both norms are RMSNorm; the second half of what
    the first layer makes is the gate.
    """

    RELEASED: ClassVar[Mapping[str, str]] = {
        "multi_modal_projector.ln_pre.": "norm_pre.",
        "multi_modal_projector.linear_1.": "linear1.",
        "multi_modal_projector.ln_mid.": "norm_mid.",
        "multi_modal_projector.linear_2.": "linear2.",
    }

    def __init__(self, config: AdapterConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.norm_pre = nn.RMSNorm(in_width * config.stride, eps=1e-6)
        self.linear1 = nn.Linear(in_width * config.stride, 2 * config.hidden_width, bias=False)
        self.norm_mid = nn.RMSNorm(config.hidden_width, eps=1e-6)
        self.linear2 = nn.Linear(config.hidden_width, out_width, bias=False)
        self.output_scale = config.output_scale

    def num_embeddings(self, num_frames: int) -> int:
        """Groups of `stride` frames, the last filled up."""
        return -(-num_frames // self.stride)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, D], [B] -> [B, ceil(F / stride), W] with zeros after the end, [B]."""
        num_embeddings = -(-lengths // self.stride)
        filled = pad(hidden, (0, 0, 0, -hidden.shape[1] % self.stride))
        groups = _groups(filled, lengths, self.stride).flatten(2)
        value, gate = self.linear1(self.norm_pre(groups)).chunk(2, dim=-1)
        embeddings = self.linear2(self.norm_mid(value * silu(gate))) * self.output_scale
        return zero_after(embeddings, num_embeddings), num_embeddings


class PoolAdapter(Adapter):
    """The mean of `stride` frames, then one linear layer; what is left at the end is dropped.

    In Qwen2-Audio the mean is taken before the encoder's last norm, which is therefore here
    (`norm`), while the Whisper encoder is built without it (`final_norm`).
    """

    RELEASED: ClassVar[Mapping[str, str]] = {
        "multi_modal_projector.linear.": "linear.",
        "audio_tower.layer_norm.": "norm.",
    }

    def __init__(self, config: AdapterConfig, in_width: int, out_width: int) -> None:
        super().__init__()
        self.stride = config.stride
        self.norm = nn.LayerNorm(in_width) if config.norm else nn.Identity()
        self.linear = nn.Linear(in_width, out_width)

    def num_embeddings(self, num_frames: int) -> int:
        """Whole groups of `stride` frames."""
        return num_frames // self.stride

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, D], [B] -> [B, F // stride, W] with zeros after the end, [B]."""
        num_embeddings = lengths // self.stride
        means = _groups(hidden, lengths, self.stride).mean(dim=2)
        return zero_after(self.linear(self.norm(means)), num_embeddings), num_embeddings


def _groups(hidden: Tensor, lengths: Tensor, stride: int) -> Tensor:
    """Zeros after the end, then whole groups: [B, F, D] -> [B, F // stride, stride, D]."""
    batch, num_frames, width = hidden.shape
    whole = zero_after(hidden, lengths)[:, : num_frames // stride * stride]
    return whole.reshape(batch, num_frames // stride, stride, width)
