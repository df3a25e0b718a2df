"""Whisper's encoder for recordings of any length up to 30 s.

Radford et al. 2022, "Robust Speech Recognition via Large-Scale Weak Supervision". Two
convolutions halve the frame rate to 20 ms, sinusoids give positions, blocks have the norm first.
Unlike the released code it needs no silence up to 30 s: positions are cut to the length, and
padding in a batch is masked. Whisper was trained on 30 s windows all the same; `pad_to_s` gives
them back.

Names of weights are those of transformers. They are filled from a transformers folder or file
(Whisper, or the `audio_tower` of Qwen2-Audio) or from CTranslate2's model.bin, where q, k and v
are one array and k has a bias of zeros.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, gelu, scaled_dot_product_attention

from mooer.audio.frontend import LogMel
from mooer.errors import ConfigError, ModelError
from mooer.models.encoders.base import Encoder, inside, zero_after
from mooer.models.tensors import StrPath, Tensors, read_tensors, without_prefix
from mooer.store.ct2 import Array, Ct2Model, read_ct2

FRAME_MS = 20.0
_PREFIXES = ("model.encoder.", "encoder.", "model.audio_tower.", "audio_tower.", "")
_CT2_BLOCK = r"encoder/layer_\d"


@dataclass(frozen=True)
class WhisperConfig:
    """Whisper base; `whisper_config` reads the sizes of released weights."""

    num_mels: int = 80  # 128 in large-v3
    width: int = 512
    num_heads: int = 8
    ffn_width: int = 2048
    num_layers: int = 6
    max_frames: int = 1500  # of 20 ms: as many as there are positions
    pad_to_s: float | None = None  # silence up to so many seconds; Whisper was trained with 30
    extra_layers: int = 0  # blocks after the released ones, which change nothing until they learn
    stored_layers: int = 0  # that stored hidden frames have been through; 0: it takes none
    final_norm: bool = True  # False where an adapter pools before the norm: Qwen2-Audio
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.width % self.num_heads or self.width % 2:
            raise ConfigError(f"width {self.width} cannot be split over {self.num_heads} heads")
        if self.stored_layers and self.num_mels == self.width:
            raise ConfigError("stored frames are known by their width, which is that of the mels")


def whisper_config(path: StrPath) -> WhisperConfig:
    """The sizes of released weights: a folder with model.bin, or a transformers config.json."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if (folder / "model.bin").is_file():
        model = read_ct2(folder / "model.bin")
        arrays = {
            name: array for name, array in model.arrays.items() if name.startswith("encoder/")
        }
        try:
            return WhisperConfig(
                num_mels=arrays["encoder/conv1/weight"].shape[1],
                width=arrays["encoder/conv1/weight"].shape[0],
                num_heads=int(arrays["encoder/num_heads"]),
                ffn_width=len(arrays["encoder/layer_0/ffn/linear_0/bias"]),
                num_layers=len({n.split("/")[1] for n in arrays if re.match(_CT2_BLOCK, n)}),
                max_frames=len(arrays["encoder/position_encodings/encodings"]),
            )
        except (KeyError, IndexError, TypeError) as error:
            raise ModelError(f"{folder}/model.bin is not a Whisper model ({error})") from None
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        config = config.get("audio_config", config)
        return WhisperConfig(
            num_mels=int(config["num_mel_bins"]),
            width=int(config["d_model"]),
            num_heads=int(config["encoder_attention_heads"]),
            ffn_width=int(config["encoder_ffn_dim"]),
            num_layers=int(config["encoder_layers"]),
            max_frames=int(config["max_source_positions"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{folder} has neither a model.bin nor the config.json of a Whisper model ({error!r})"
        ) from None


class Attention(nn.Module):
    """Multi-head attention under a mask of padding; k has no bias."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width, bias=False)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, F, D], mask [B, F] -> [B, F, D]."""
        q, k, v = (
            linear(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for linear in (self.q_proj, self.k_proj, self.v_proj)
        )
        found = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        out: Tensor = self.out_proj(found.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Norm, attention, norm, two linear layers, each pair with its residual."""

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.self_attn_layer_norm = nn.LayerNorm(config.width)
        self.self_attn = Attention(config)
        self.final_layer_norm = nn.LayerNorm(config.width)
        self.fc1 = nn.Linear(config.width, config.ffn_width)
        self.fc2 = nn.Linear(config.ffn_width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, F, D], mask [B, F] -> [B, F, D]."""
        attended = self.self_attn(self.self_attn_layer_norm(x), mask)
        x = x + dropout(attended, self.dropout, self.training)
        fed = self.fc2(gelu(self.fc1(self.final_layer_norm(x))))
        return x + dropout(fed, self.dropout, self.training)


class WhisperEncoder(Encoder):
    """Log-mel [B, F, M] in, hidden frames [B, ceil(F / 2), D] out, 20 ms each.

    With `stored_layers` it also takes what `below` gives, [B, F', D], and goes on from there: what
    is frozen is then computed once and kept.
    """

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        self.frontend = LogMel(config.num_mels, pad_to_s=config.pad_to_s)
        self.width = config.width
        self.frame_ms = FRAME_MS
        self.stored_width = config.width if config.stored_layers else None
        self.conv1 = nn.Conv1d(config.num_mels, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(config.max_frames, config.width)
        self.embed_positions.weight.requires_grad_(False)
        if self.embed_positions.weight.device.type != "meta":
            self.embed_positions.weight.copy_(sinusoids(config.max_frames, config.width))
        num_blocks = config.num_layers + config.extra_layers
        blocks = [Block(config) for _ in range(num_blocks)]
        for block in blocks[config.num_layers :]:
            for linear in (block.self_attn.out_proj, block.fc2):
                nn.init.zeros_(linear.weight)
                nn.init.zeros_(linear.bias)
        self.layers = nn.ModuleList(blocks)
        self.layer_norm = nn.LayerNorm(config.width) if config.final_norm else nn.Identity()

    def num_frames(self, num_features: int) -> int:
        """Half as many, rounded up."""
        return (num_features + 1) // 2

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, M], [B] -> [B, ceil(F / 2), D] with zeros after the end, [B].

        ModelError if a recording has more frames than there are positions.
        """
        first = self.config.stored_layers
        if first and features.shape[-1] == self.width:
            x, frame_lengths = features.to(self.conv1.weight.dtype), lengths
        else:
            first = 0
            x, frame_lengths = self._front(features, lengths)
        x = self._through(self.layers[first:], x, frame_lengths)
        return zero_after(self.layer_norm(x), frame_lengths), frame_lengths

    def below(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """[B, F, M], [B] -> hidden frames [B, F', D] after `stored_layers` layers, [B]."""
        x, frame_lengths = self._front(features, lengths)
        x = self._through(self.layers[: self.config.stored_layers], x, frame_lengths)
        return zero_after(x, frame_lengths), frame_lengths

    def _through(self, layers: Iterable[nn.Module], x: Tensor, lengths: Tensor) -> Tensor:
        mask = inside(lengths, x.shape[1])
        for layer in layers:
            x = layer(x, mask)
        return x

    def _front(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Convolutions and positions."""
        num_frames = self.num_frames(features.shape[1])
        if num_frames > self.config.max_frames:
            raise ModelError(
                f"the Whisper encoder hears {self.config.max_frames * FRAME_MS / 1000:g} s, but "
                f"got {num_frames * FRAME_MS / 1000:g} s: cut the recording into shorter ones"
            )
        x = zero_after(features, lengths).to(self.conv1.weight.dtype)
        x = gelu(self.conv1(x.transpose(1, 2))).transpose(1, 2)
        x = gelu(self.conv2(zero_after(x, lengths).transpose(1, 2))).transpose(1, 2)
        return x + self.embed_positions.weight[:num_frames], (lengths + 1) // 2

    def released(self, path: StrPath) -> Tensors:
        """Tensors of a CTranslate2 or a transformers folder or file under this module's names."""
        path = Path(path)
        if path.is_dir() and (path / "model.bin").is_file():
            path = path / "model.bin"
        if path.name == "model.bin":
            tensors = _from_ct2(read_ct2(path), self.config, path)
        else:
            tensors = _from_transformers(read_tensors(path), path)
        if not self.config.final_norm:  # the adapter takes it
            tensors = {name: t for name, t in tensors.items() if not name.startswith("layer_norm.")}
        first = self.config.num_layers
        added = tuple(f"layers.{first + i}." for i in range(self.config.extra_layers))
        own = {name: t for name, t in self.state_dict().items() if name.startswith(added)}
        return {**own, **tensors}


def sinusoids(num_frames: int, width: int) -> Tensor:
    """Sines, then cosines, of positions 0 … F - 1: [F, D] in float32, as in the released code."""
    steps = torch.arange(width // 2, dtype=torch.float32)
    frequencies = torch.exp(steps * (-np.log(1e4) / (width // 2 - 1)))
    angles = torch.arange(num_frames, dtype=torch.float32)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _from_transformers(tensors: Tensors, path: Path) -> Tensors:
    """The encoder's tensors, without the prefix of the model that it is part of."""
    for prefix in _PREFIXES:
        if f"{prefix}conv1.weight" in tensors:
            return without_prefix(tensors, prefix)
    raise ModelError(
        f"{path} holds no Whisper encoder: none of its {len(tensors)} tensors is conv1.weight "
        f"under a prefix of {', '.join(repr(p) for p in _PREFIXES)}"
    )


# Names of CTranslate2 after `encoder/` -> ours; {} is the number of the block. Of the arrays that
# hold q, k and v together see `_split`.
_CT2_NAMES = {
    r"(conv1|conv2)/(weight|bias)": r"\1.\2",
    r"position_encodings/encodings": r"embed_positions.weight",
    r"layer_norm/gamma": r"layer_norm.weight",
    r"layer_norm/beta": r"layer_norm.bias",
    r"layer_(\d+)/self_attention/layer_norm/gamma": r"layers.\1.self_attn_layer_norm.weight",
    r"layer_(\d+)/self_attention/layer_norm/beta": r"layers.\1.self_attn_layer_norm.bias",
    r"layer_(\d+)/self_attention/linear_0/(weight|bias)": r"layers.\1.self_attn.qkv.\2",
    r"layer_(\d+)/self_attention/linear_1/(weight|bias)": r"layers.\1.self_attn.out_proj.\2",
    r"layer_(\d+)/ffn/layer_norm/gamma": r"layers.\1.final_layer_norm.weight",
    r"layer_(\d+)/ffn/layer_norm/beta": r"layers.\1.final_layer_norm.bias",
    r"layer_(\d+)/ffn/linear_0/(weight|bias)": r"layers.\1.fc1.\2",
    r"layer_(\d+)/ffn/linear_1/(weight|bias)": r"layers.\1.fc2.\2",
}


def _from_ct2(model: Ct2Model, config: WhisperConfig, path: Path) -> Tensors:
    """The encoder's arrays as tensors; an array that is not known keeps its name, to be refused."""
    if model.specification != "WhisperSpec":
        raise ModelError(f"{path} is a {model.specification}, not a Whisper model")
    tensors: Tensors = {}
    for full_name, array in model.arrays.items():
        name = full_name.removeprefix("encoder/")
        if name == full_name:
            continue
        if array.ndim == 0:  # options; heads are the one that sizes do not tell
            if name == "num_heads" and int(array) != config.num_heads:
                raise ModelError(f"{path} has {int(array)} heads, not {config.num_heads}")
            continue
        if array.dtype.kind != "f":
            raise ModelError(f"{path} is quantized ({name} is {array.dtype}): take it in float16")
        for pattern, ours in _CT2_NAMES.items():
            if match := re.fullmatch(pattern, name):
                name = match.expand(ours)
                break
        tensors.update(_split(name, array, path))
    return tensors


def _split(name: str, array: Array, path: Path) -> Tensors:
    """One tensor, or those of q, k and v; the bias of k must be zeros, for Whisper has none."""
    tensor = torch.from_numpy(np.array(array))
    if ".qkv." not in name:
        return {name: tensor}
    parts = dict(zip("qkv", tensor.chunk(3), strict=True))
    if name.endswith("bias") and bool(parts.pop("k").any()):
        raise ModelError(f"{path} has a bias of k ({name}), which Whisper has not")
    return {name.replace(".qkv.", f".{part}_proj."): t for part, t in parts.items()}
