"""Paraformer: all tokens of an utterance in one pass of a decoder.

Gao et al. 2022, "Paraformer: Fast and Accurate Parallel Transformer for Non-autoregressive
End-to-End Speech Recognition". A SAN-M encoder hears, CIF counts the tokens and gives the sound of
each (`cif`), and the decoder, which sees all of these sounds at once, names them.

Weights: `model.pt` of Paraformer-large (220,084,533 parameters) or of the variant with times
(BiCifParaformer), under the names of this module. The folder: `paraformer_folder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad, relu, scaled_dot_product_attention

from mooer.models.cif import Cif, CifConfig, TimedCif, TimesConfig
from mooer.models.encoders.base import inside
from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.funasr_folder import WEIGHTS
from mooer.models.funasr_weights import filled, read_weights, sanm_config, side_by_side, size_of
from mooer.models.paraformer_folder import Settings, Times, read_settings
from mooer.models.tensors import Shapes, shapes_of

FULL = 220_084_533  # parameters of Paraformer-large
RELEASED_SIZE = 8404  # tokens

_EPS = 1e-12

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class DecoderConfig:
    """Sizes; the defaults are those of Paraformer-large."""

    num_blocks: int = 16
    num_hearing: int = 16  # of them, from the first on, attend to the sound
    num_heads: int = 4
    ffn_width: int = 2048
    kernel: int = 11


@dataclass(frozen=True)
class ParaformerConfig:
    """Sizes; the defaults are those of Paraformer-large."""

    encoder: SanmConfig = field(default_factory=SanmConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    cif: CifConfig = field(default_factory=CifConfig)
    times: TimesConfig | None = None
    num_tokens: int = RELEASED_SIZE


@dataclass(frozen=True)
class Said:
    """What is said in one utterance."""

    log_probs: Floats  # [N, V], natural log
    weights: Floats  # of frames, or of their parts: [F']
    parts: int  # of a frame that have a weight of their own


class Memory(nn.Module):
    """An FSMN memory over the tokens: each, and a weighted sum of its neighbours."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.fsmn_block = nn.Conv1d(width, width, kernel, groups=width, bias=False)
        self.margin = kernel // 2

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, N, D], [B, N] -> [B, N, D]."""
        x = x * mask[..., None]
        around = self.fsmn_block(pad(x.transpose(1, 2), (self.margin, self.margin)))
        found: Tensor = (around.transpose(1, 2) + x) * mask[..., None]
        return found


class Hearing(nn.Module):
    """Attention of tokens to the frames of the sound."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.linear_q = nn.Linear(width, width)
        self.linear_k_v = nn.Linear(width, 2 * width)
        self.linear_out = nn.Linear(width, width)

    def forward(self, x: Tensor, sound: Tensor, mask: Tensor) -> Tensor:
        """Shape: [B, N, D], [B, F, D], [B, F] -> [B, N, D]."""
        parts = (self.linear_q(x), *self.linear_k_v(sound).chunk(2, dim=-1))
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in parts)
        found = scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        out: Tensor = self.linear_out(found.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """Linear, ReLU, norm, linear."""

    def __init__(self, width: int, ffn_width: int) -> None:
        super().__init__()
        self.w_1 = nn.Linear(width, ffn_width)
        self.norm = nn.LayerNorm(ffn_width, _EPS)
        self.w_2 = nn.Linear(ffn_width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shape: [B, N, D] -> [B, N, D]."""
        out: Tensor = self.w_2(self.norm(relu(self.w_1(x))))
        return out


class DecoderBlock(nn.Module):
    """Feed-forward, memory with a residual around both, attention to the sound with its own.

    The last block of a decoder is the feed-forward alone, without a residual.
    """

    def __init__(
        self, width: int, config: DecoderConfig, *, remembers: bool = True, hears: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, _EPS)
        self.feed_forward = FeedForward(width, config.ffn_width)
        self.self_attn = Memory(width, config.kernel) if remembers else None
        self.src_attn = Hearing(width, config.num_heads) if hears else None
        if remembers:
            self.norm2 = nn.LayerNorm(width, _EPS)
        if hears:
            self.norm3 = nn.LayerNorm(width, _EPS)

    def forward(self, x: Tensor, mask: Tensor, sound: Tensor, sound_mask: Tensor) -> Tensor:
        """Shape: [B, N, D], [B, N], [B, F, D], [B, F] -> [B, N, D]."""
        y: Tensor = self.feed_forward(self.norm1(x))
        if self.self_attn is not None:
            y = x + self.self_attn(self.norm2(y), mask)
        if self.src_attn is not None:
            y = y + self.src_attn(self.norm3(y), sound, sound_mask)
        return y


class Decoder(nn.Module):
    """Sounds of tokens [B, N, D] in, logits [B, N, V] out."""

    def __init__(self, width: int, config: DecoderConfig, num_tokens: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(num_tokens, width))  # for its training alone
        self.decoders = nn.ModuleList(
            DecoderBlock(width, config) for _ in range(config.num_hearing)
        )
        if config.num_blocks > config.num_hearing:
            self.decoders2 = nn.ModuleList(
                DecoderBlock(width, config, hears=False)
                for _ in range(config.num_blocks - config.num_hearing)
            )
        self.decoders3 = nn.ModuleList([DecoderBlock(width, config, remembers=False, hears=False)])
        self.after_norm = nn.LayerNorm(width, _EPS)
        self.output_layer = nn.Linear(width, num_tokens)

    @property
    def blocks(self) -> list[DecoderBlock]:
        """All blocks, in order."""
        second = getattr(self, "decoders2", ())
        return [*self.decoders, *second, *self.decoders3]

    def forward(self, x: Tensor, counts: Tensor, sound: Tensor, lengths: Tensor) -> Tensor:
        """Shape: [B, N, D], N [B], [B, F, D], F [B] -> [B, N, V]."""
        mask, sound_mask = inside(counts, x.shape[1]), inside(lengths, sound.shape[1])
        for block in self.blocks:
            x = block(x, mask, sound, sound_mask)
        out: Tensor = self.output_layer(self.after_norm(x))
        return out


class Paraformer(nn.Module):
    """Features [B, F, M] in, log-probabilities of tokens [B, N, V] out."""

    def __init__(self, config: ParaformerConfig) -> None:
        super().__init__()
        self.config = config
        self.num_tokens = config.num_tokens
        width = config.encoder.width
        self.encoder = SanmEncoder(config.encoder)
        self.predictor = (
            Cif(config.cif) if config.times is None else TimedCif(config.cif, config.times)
        )
        self.decoder = Decoder(width, config.decoder, config.num_tokens)

    @property
    def parts(self) -> int:
        """Of a frame, that have a weight of their own when tokens are timed."""
        return 1 if self.config.times is None else self.config.times.parts

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape: [B, F, M], [B] -> log-probabilities [B, N, V], N [B], weights [B, F'].

        Weights are of the frames and of one place after the end, or of thirds of frames.
        """
        hidden, lengths = self.encoder(features, lengths)
        sounds, counts, weights = self.predictor(hidden, lengths)
        timed = self.predictor.time_weights(hidden, lengths, counts)
        logits = self.decoder(sounds, counts, hidden, lengths)
        return logits.float().log_softmax(-1), counts, weights if timed is None else timed

    @torch.inference_mode()
    def say(self, features: Sequence[Floats]) -> list[Said]:
        """What is said in each of some utterances [F, M], in one batch."""
        padded, lengths = side_by_side(features, self.decoder.after_norm.weight.device)
        log_probs, counts, weights = (part.cpu() for part in self(padded, lengths))
        extra = 1 if self.parts == 1 else 0
        return [
            Said(
                log_probs[i, :count].numpy(),
                weights[i, : len(one) * self.parts + extra].numpy(),
                self.parts,
            )
            for i, (one, count) in enumerate(zip(features, counts.tolist(), strict=True))
        ]


def load(folder: Path, device: str = "cpu") -> Paraformer:
    """The network of a released folder, in float32. ModelError lists what does not fit."""
    path = folder / WEIGHTS
    tensors = read_weights(path)
    with torch.device("meta"):
        model = Paraformer(config_of(read_settings(folder), shapes_of(tensors)))
    return filled(model, tensors, path, "Paraformer").to(device).eval()


def config_of(settings: Settings, shapes: Shapes) -> ParaformerConfig:
    """Widths as the weights have them; what shapes do not tell, as config.yaml says."""
    encoder = sanm_config(settings.front, settings.encoder, shapes, norm_eps=_EPS)
    decoder, cif = settings.decoder, settings.cif
    return ParaformerConfig(
        encoder=encoder,
        decoder=DecoderConfig(
            num_blocks=decoder.num_blocks,
            num_hearing=decoder.num_hearing,
            num_heads=decoder.num_heads,
            ffn_width=size_of(
                shapes, "decoder.decoders3.0.feed_forward.w_1.weight", 0, decoder.ffn_width
            ),
            kernel=decoder.kernel,
        ),
        cif=CifConfig(
            width=encoder.width,
            before=cif.before,
            after=cif.after,
            factor=cif.factor,
            noise=cif.noise,
            tail=cif.tail,
        ),
        times=None if settings.times is None else _times(settings.times),
        num_tokens=size_of(shapes, "decoder.output_layer.weight", 0, RELEASED_SIZE),
    )


def _times(times: Times) -> TimesConfig:
    return replace(
        TimesConfig(),
        factor=times.factor,
        noise=times.noise,
        parts=times.parts,
        after_conv=times.after_conv,
    )
