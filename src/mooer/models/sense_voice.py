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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mooer.models.encoders.sanm import SanmConfig, SanmEncoder
from mooer.models.sense_voice_folder import WEIGHTS, Settings, read_settings
from mooer.models.sense_voice_labels import NUM_QUERIES, RELEASED_SIZE, Floats
from mooer.models.tensors import (
    Shapes,
    StrPath,
    Tensors,
    compare,
    only_tensors,
    read_pickle,
    shapes_of,
)

FULL = 233_999_167  # parameters of the released one

EVENT, EMOTION = 1, 2  # rows of `embed`; the others are in `sense_voice_labels`
_ROWS = 16
_EPS = 1e-5
_WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training code puts weights in


@dataclass(frozen=True)
class SenseVoiceConfig:
    """Sizes; the defaults are the released ones."""

    encoder: SanmConfig = field(default_factory=lambda: SanmConfig(num_tp_blocks=20, norm_eps=_EPS))
    num_classes: int = RELEASED_SIZE


class SenseVoice(nn.Module):
    """Features [B, F, M] in, log-probabilities [B, 4 + F, V] out, 60 ms a frame."""

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
        asked = torch.full_like(language, EVENT), torch.full_like(language, EMOTION)
        queries = self.embed(torch.stack([language, *asked, style], dim=1))
        frames = torch.cat([queries, features.to(queries.dtype)], dim=1)
        hidden, hidden_lengths = self.encoder(frames, lengths + NUM_QUERIES)
        return self.ctc["ctc_lo"](hidden).float().log_softmax(-1), hidden_lengths

    @torch.inference_mode()
    def log_probs(self, features: Sequence[Floats], language: int, style: int) -> list[Floats]:
        """Log-probabilities [4 + F, V] of each of some utterances [F, M], in one batch.

        `language` and `style` are values of `LANGUAGE_QUERIES` and `STYLE_QUERIES`.
        """
        device = self.embed.weight.device
        sounds = [torch.from_numpy(np.ascontiguousarray(one)) for one in features]
        padded = nn.utils.rnn.pad_sequence(sounds, batch_first=True).to(device)
        lengths = torch.tensor([len(one) for one in sounds], device=device)
        rows = [torch.full_like(lengths, row) for row in (language, style)]
        out, out_lengths = self(padded, lengths, *rows)
        numbers: Floats = out.cpu().numpy()
        return [row[:length] for row, length in zip(numbers, out_lengths.tolist(), strict=True)]


def load(folder: Path, device: str = "cpu") -> SenseVoice:
    """The network of a released folder, in float32. ModelError lists what does not fit."""
    tensors = read_weights(folder / WEIGHTS)
    with torch.device("meta"):
        model = SenseVoice(config_of(read_settings(folder), shapes_of(tensors)))
    compare(shapes_of(model.state_dict()), tensors).require(folder / WEIGHTS, "SenseVoice")
    model.to_empty(device="cpu")
    model.load_state_dict(dict(tensors), strict=True)
    return model.to(device).eval()


def read_weights(path: StrPath) -> Tensors:
    """The tensors of a model.pt, also where training code has put them beside its own state."""
    content = read_pickle(Path(path))
    for name in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
            break
    return only_tensors(content, path)


def config_of(settings: Settings, shapes: Shapes) -> SenseVoiceConfig:
    """Widths as the weights have them; what shapes do not tell, as config.yaml says.

    So are blocks: weights that end early would be as consistent without it.
    """

    def size(name: str, axis: int, stated: int) -> int:
        shape = shapes.get(name, ())
        return shape[axis] if axis < len(shape) else stated

    first = "encoder.encoders0.0."
    return SenseVoiceConfig(
        SanmConfig(
            num_mels=settings.num_mels,
            num_stack=settings.num_stack,
            stride=settings.stride,
            width=size("encoder.after_norm.weight", 0, settings.width),
            num_heads=settings.num_heads,
            ffn_width=size(first + "feed_forward.w_1.weight", 0, settings.ffn_width),
            num_blocks=settings.num_blocks,
            num_tp_blocks=settings.num_tp_blocks,
            kernel=size(first + "self_attn.fsmn_block.weight", 2, settings.kernel),
            norm_eps=_EPS,
        ),
        size("ctc.ctc_lo.weight", 0, RELEASED_SIZE),
    )
