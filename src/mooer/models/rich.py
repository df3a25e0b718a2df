"""Small heads on a frozen Whisper encoder: a speller (CTC), and a labeller.

The speller stacks two frames of 20 ms, runs blocks of a depthwise convolution and two linear
layers over them (ConvNeXt's, Liu et al. 2022), and takes them apart again, so that it spells every
20 ms at the price of 40. The embedding of a character is the sum of its own, its syllable's and
its syllable's without the tone: characters that no text held are still spelled by how they sound.

The labeller pools by attention, mean and deviation (Okabe et al. 2018, "Attentive Statistics
Pooling"). Events are scored frame by frame, and of a recording is what its loudest frames say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout, pad, silu

from mooer.models.encoders.base import Encoder, inside, zero_after
from mooer.tasks.rich import LabellerConfig, RichConfig, SpellerConfig
from mooer.text.units import Units


class ConvBlock(nn.Module):
    """Shape: [B, F, W] -> [B, F, W]; what is padded changes nothing."""

    def __init__(self, config: SpellerConfig) -> None:
        super().__init__()
        width, kernel = config.width, config.kernel
        self.dropout = config.dropout
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, config.ffn_width)
        self.contract = nn.Linear(config.ffn_width, width)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Frames and how many count."""
        seen = self.depthwise(zero_after(x, lengths).transpose(1, 2)).transpose(1, 2)
        fed: Tensor = self.contract(silu(self.expand(self.norm(seen))))
        return x + dropout(fed, self.dropout, self.training)


class UnitTable(nn.Module):
    """Scores of classes: blank first, then the units. Letters: E embedding, V classes."""

    sums: Tensor
    own_counts: Tensor
    unseen: Tensor

    def __init__(self, config: SpellerConfig, units: Units) -> None:
        super().__init__()
        toned = sorted({reading for reading in units.readings if reading})
        plain = sorted({reading.rstrip("12345") for reading in toned})
        self.own = nn.Parameter(torch.randn(1 + len(units), config.embedding_width) * 0.02)
        self.toned = nn.Parameter(torch.randn(1 + len(toned), config.embedding_width) * 0.02)
        self.plain = nn.Parameter(torch.randn(1 + len(plain), config.embedding_width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(1 + len(units)))
        places = [(0, 0)]  # row 0 of a table is that of what has no reading, and is not used
        for reading in units.readings:
            base = reading.rstrip("12345")
            places.append((1 + toned.index(reading), 1 + plain.index(base)) if reading else (0, 0))
        seen = [True, *(score is not None for score in units.log_probs)]
        self.register_buffer("sums", torch.tensor(places), persistent=False)
        self.register_buffer("own_counts", torch.tensor(seen).float()[:, None], persistent=False)
        unseen = torch.tensor([0.0 if one else config.unseen_bias for one in seen])
        self.register_buffer("unseen", unseen, persistent=False)

    def merged(self) -> tuple[Tensor, Tensor]:
        """Weight [V, E] and bias [V] of one linear layer that does the same."""
        has = (self.sums[:, :1] > 0).to(self.own.dtype)
        shared = self.toned[self.sums[:, 0]] + self.plain[self.sums[:, 1]]
        weight = self.own * self.own_counts + shared * has
        return weight, self.bias * self.own_counts[:, 0] + self.unseen

    def forward(self, x: Tensor) -> Tensor:
        """[..., E] -> [..., V]."""
        weight, bias = self.merged()
        scores: Tensor = nn.functional.linear(x, weight, bias)
        return scores


class Speller(nn.Module):
    """Hidden frames [B, F, D] to log-probabilities [B, F, V], at the frames' own rate."""

    def __init__(self, config: SpellerConfig, units: Units, in_width: int) -> None:
        super().__init__()
        self.config = config
        self.project = nn.Linear(in_width * config.stack, config.width)
        self.norm_in = nn.LayerNorm(config.width)
        self.blocks = nn.ModuleList(ConvBlock(config) for _ in range(config.num_blocks))
        self.norm_out = nn.LayerNorm(config.width)
        self.apart = nn.Linear(config.width, config.embedding_width * config.stack)
        self.norm_unit = nn.LayerNorm(config.embedding_width)
        self.table = UnitTable(config, units)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Log-probabilities in float32."""
        stack, num_frames = self.config.stack, hidden.shape[1]
        filled = pad(zero_after(hidden, lengths), (0, 0, 0, -num_frames % stack))
        x = self.norm_in(self.project(filled.reshape(filled.shape[0], -1, stack * filled.shape[2])))
        halved = (lengths + stack - 1) // stack
        for block in self.blocks:
            x = block(x, halved)
        x = self.apart(self.norm_out(x)).unflatten(-1, (stack, -1)).flatten(1, 2)
        scores = self.table(self.norm_unit(x[:, :num_frames]))
        log_probs: Tensor = scores.float().log_softmax(-1)
        return log_probs


class Head(nn.Module):
    """Hidden frames [B, F, D] to the scores of classes [B, C] of a recording."""

    def __init__(self, config: LabellerConfig, in_width: int, num_classes: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.project = nn.Linear(in_width, config.width)
        self.attend = nn.Linear(config.width, 1)
        self.norm = nn.LayerNorm(2 * config.width)
        self.hidden = nn.Linear(2 * config.width, config.hidden_width)
        self.out = nn.Linear(config.hidden_width, num_classes)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Scores; they are not normalised."""
        x = silu(self.project(dropout(hidden, self.dropout, self.training)))
        mask = inside(lengths, hidden.shape[1])[..., None]
        share = self.attend(x).masked_fill(~mask, -torch.inf).softmax(1)
        mean = (share * x).sum(1)
        deviation = (share * (x - mean[:, None]).square()).sum(1).add(1e-5).sqrt()
        pooled = self.norm(torch.cat([mean, deviation], -1))
        x = silu(self.hidden(dropout(pooled, self.dropout, self.training)))
        scores: Tensor = self.out(x)
        return scores


class EventHead(nn.Module):
    """Hidden frames [B, F, D] to scores of events of every frame [B, F, E]."""

    def __init__(self, config: LabellerConfig, in_width: int) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.project = nn.Linear(in_width, config.width)
        self.hidden = nn.Linear(config.width, config.hidden_width)
        self.out = nn.Linear(config.hidden_width, len(config.events))

    def forward(self, hidden: Tensor) -> Tensor:
        """Scores before the sigmoid."""
        x = silu(self.project(dropout(hidden, self.dropout, self.training)))
        x = silu(self.hidden(dropout(x, self.dropout, self.training)))
        scores: Tensor = self.out(x)
        return scores


def loudest(scores: Tensor, lengths: Tensor) -> Tensor:
    """Scores of frames [B, F, E] to those of a recording [B, E]: a mean weighted by softmax."""
    mask = inside(lengths, scores.shape[1])[..., None]
    share = scores.masked_fill(~mask, -torch.inf).softmax(1)
    return (share * scores.masked_fill(~mask, 0.0)).sum(1)


@dataclass(frozen=True)
class Told:
    """What a labeller says of recordings."""

    classes: dict[str, Tensor]  # scores [B, C] by head
    events: Tensor | None  # scores [B, E]
    frames: Tensor | None  # of the events, [B, F, E]


class Labeller(nn.Module):
    """One head for each kind of label; none knows of the others."""

    def __init__(self, config: LabellerConfig, in_width: int) -> None:
        super().__init__()
        self.config = config
        self.heads = nn.ModuleDict(
            {name: Head(config, in_width, len(c)) for name, c in config.classes.items()}
        )
        self.events = EventHead(config, in_width) if config.events else None

    def forward(self, hidden: Tensor, lengths: Tensor) -> Told:
        """Scores of hidden frames [B, F, D]."""
        hidden = zero_after(hidden, lengths)
        frames = None if self.events is None else self.events(hidden)
        return Told(
            {name: head(hidden, lengths) for name, head in self.heads.items()},
            None if frames is None else loudest(frames, lengths),
            frames,
        )


class RichModel(nn.Module):
    """A frozen encoder and its heads; `units` are those of the speller."""

    def __init__(self, config: RichConfig, encoder: Encoder, units: Units | None) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.units = units
        self.speller: Speller | None = None
        self.labeller: Labeller | None = None
        if config.speller is not None:
            assert units is not None
            self.speller = Speller(config.speller, units, encoder.width)
        if config.labeller is not None:
            self.labeller = Labeller(config.labeller, encoder.width)

    def hear(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Features [B, F, M], or stored frames, as hidden frames [B, F', D], and their lengths."""
        with torch.no_grad():
            hidden, num_frames = self.encoder(features, lengths)
        return hidden.detach(), num_frames
