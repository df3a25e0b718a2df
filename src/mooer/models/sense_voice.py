"""SenseVoiceSmall: words, language, emotion and events of an utterance in one pass.

An et al. 2024, "FunAudioLLM: Voice Understanding and Generation Foundation Models for Natural
Interaction Between Humans and LLMs". The SAN-M encoder (50 blocks and 20 after the first norm)
reads four learned frames before those of the speech: the language or 0 for any, a query for the
event, one for the emotion, and the style of the text. CTC says a class for each frame; those of
the first four are labels.

Weights: `model.pt` of SenseVoiceSmall, 233,999,167 parameters, under the names of this module.
The rest of its folder: `sense_voice_folder`; what its classes mean: `sense_voice_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.funasr_folder import WEIGHTS
from mooer.models.funasr_weights import filled, read_weights, sanm_config, side_by_side, size_of
from mooer.models.sense_voice_folder import Settings, read_settings
from mooer.models.sense_voice_labels import (
    EMOTION_QUERY,
    EVENT_QUERY,
    NUM_QUERIES,
    RELEASED_SIZE,
    Floats,
)
from mooer.models.tensors import Shapes, shapes_of

FULL = 233_999_167  # parameters of the released one

_ROWS = 16  # of `embed`: what they mean is in `sense_voice_labels`
_EPS = 1e-5


@dataclass(frozen=True)
class SenseVoiceConfig:
    """Sizes; the defaults are the released ones."""

    encoder: SanmConfig = field(default_factory=lambda: SanmConfig(num_tp_blocks=20, norm_eps=_EPS))
    num_classes: int = RELEASED_SIZE


class SenseVoice(nn.Module):
    """Features [B, F, M] in, logits [B, 4 + F, V] out, 60 ms a frame."""

    def __init__(self, config: SenseVoiceConfig) -> None:
        super().__init__()
        self.config = config
        self.num_classes = config.num_classes
        self.encoder = SanmEncoder(config.encoder)
        self.embed = nn.Embedding(_ROWS, self.encoder.frontend.num_mels)
        self.ctc = nn.ModuleDict({"ctc_lo": nn.Linear(config.encoder.width, config.num_classes)})

    def forward(
        self, features: Tensor, lengths: Tensor, language: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shape: [B, F, M], lengths [B], rows of `embed` [B] and [B] -> [B, 4 + F, V], [B]."""
        asked = torch.full_like(language, EVENT_QUERY), torch.full_like(language, EMOTION_QUERY)
        queries = self.embed(torch.stack([language, *asked, style], dim=1))
        frames = torch.cat([queries, features.to(queries.dtype)], dim=1)
        hidden, hidden_lengths = self.encoder(frames, lengths + NUM_QUERIES)
        return self.ctc["ctc_lo"](hidden).float(), hidden_lengths

    @torch.inference_mode()
    def logits(self, features: Sequence[Floats], language: int, style: int) -> list[Floats]:
        """Logits [4 + F, V] of each of some utterances [F, M], in one batch.

        `language` and `style` are values of `LANGUAGE_QUERIES` and `STYLE_QUERIES`.
        """
        padded, lengths = side_by_side(features, self.embed.weight.device)
        rows = [torch.full_like(lengths, row) for row in (language, style)]
        out, out_lengths = self(padded, lengths, *rows)
        numbers: Floats = out.cpu().numpy()
        return [row[:length] for row, length in zip(numbers, out_lengths.tolist(), strict=True)]


def load(folder: Path, device: str = "cpu", *, dropout: float = 0.0) -> SenseVoice:
    """The network of a released folder, in float32. ModelError lists what does not fit."""
    path = folder / WEIGHTS
    tensors = read_weights(path)
    config = config_of(read_settings(folder), shapes_of(tensors))
    config = replace(config, encoder=replace(config.encoder, dropout=dropout))
    with torch.device("meta"):
        model = SenseVoice(config)
    return filled(model, tensors, path, "SenseVoice").to(device).eval()


def config_of(settings: Settings, shapes: Shapes) -> SenseVoiceConfig:
    """Widths as the weights have them; what shapes do not tell, as config.yaml says."""
    return SenseVoiceConfig(
        sanm_config(
            settings.front,
            settings.encoder,
            shapes,
            norm_eps=_EPS,
            num_tp_blocks=settings.num_tp_blocks,
        ),
        size_of(shapes, "ctc.ctc_lo.weight", 0, RELEASED_SIZE),
    )
