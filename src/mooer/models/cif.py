"""Continuous integrate-and-fire: how many tokens were said, and the sound of each.

Dong and Xu 2020, "CIF: Continuous Integrate-and-Fire for End-to-End Speech Recognition". Each
frame is given a weight; when the weights of some frames come to one, their weighted sum is the
sound of a token, and what is left over goes to the next.

`TimedCif` (Shi et al. 2023) has weights for thirds of a frame besides, for the times of tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from mooer.models.encoders.base import inside


@dataclass(frozen=True)
class CifConfig:
    """Weights are relu(factor * sigmoid - noise); after the end stands a weight of `tail`."""

    width: int = 512
    before: int = 1  # frames that a weight sees before its own, and after it
    after: int = 1
    factor: float = 1.0
    noise: float = 0.0
    tail: float = 0.45


@dataclass(frozen=True)
class TimesConfig:
    """The weights of parts of a frame."""

    factor: float = 0.25
    noise: float = 0.01
    parts: int = 3  # of a frame
    after_conv: bool = False  # whether they see the frames, or what the first convolution makes


class Cif(nn.Module):
    """Letters: B utterances, F frames, D width, N tokens."""

    def __init__(self, config: CifConfig) -> None:
        super().__init__()
        self.config = config
        span = config.before + config.after + 1
        self.cif_conv1d = nn.Conv1d(config.width, config.width, span)
        self.cif_output = nn.Linear(config.width, 1)

    def forward(self, hidden: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Shape: [B, F, D] with zeros after the end, [B] -> sounds [B, N, D], N [B], [B, F + 1].

        The last are the weights of the frames, and of the place after the end.
        """
        config = self.config
        seen = relu(self.around(hidden)).transpose(1, 2)
        weights = relu(self.cif_output(seen)[..., 0].sigmoid() * config.factor - config.noise)
        weights = pad(weights * inside(lengths, hidden.shape[1]), (0, 1))
        places = torch.arange(weights.shape[1], device=hidden.device)
        weights = weights + config.tail * (places[None, :] == lengths[:, None])
        hidden = pad(hidden, (0, 0, 0, 1))
        total = weights.double().cumsum(1)
        counts = total[:, -1].float().floor().long()
        most = max(1, int(counts.max()))  # the decoder cannot read nothing
        return gather(hidden, total, most), counts, weights

    def around(self, hidden: Tensor) -> Tensor:
        """What the convolution makes of each frame and its neighbours: [B, D, F]."""
        frames = pad(hidden.transpose(1, 2), (self.config.before, self.config.after))
        made: Tensor = self.cif_conv1d(frames)
        return made

    def time_weights(self, hidden: Tensor, lengths: Tensor, counts: Tensor) -> Tensor | None:
        """Weights of parts of frames, if it has them."""
        return None


class TimedCif(Cif):
    """With the weights of parts of a frame, by a recurrent network over all of them."""

    def __init__(self, config: CifConfig, times: TimesConfig) -> None:
        super().__init__(config)
        self.times = times
        width = config.width
        self.upsample_cnn = nn.ConvTranspose1d(width, width, times.parts, times.parts)
        self.blstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.cif_output2 = nn.Linear(2 * width, 1)

    def time_weights(self, hidden: Tensor, lengths: Tensor, counts: Tensor) -> Tensor:
        """Shape: [B, F, D], [B], N [B] -> [B, 3 F], which come to N."""
        seen = relu(self.around(hidden)) if self.times.after_conv else hidden.transpose(1, 2)
        parts = self.upsample_cnn(seen).transpose(1, 2)
        num_parts = lengths * self.times.parts
        packed = nn.utils.rnn.pack_padded_sequence(
            parts, num_parts.cpu(), batch_first=True, enforce_sorted=False
        )
        read, _ = nn.utils.rnn.pad_packed_sequence(
            self.blstm(packed)[0], batch_first=True, total_length=parts.shape[1]
        )
        raw = self.cif_output2(read)[..., 0].sigmoid() * self.times.factor - self.times.noise
        weights = relu(raw) * inside(num_parts, parts.shape[1])
        return weights * (counts / weights.sum(1).clamp(min=1e-9))[:, None]


def gather(hidden: Tensor, total: Tensor, num_tokens: int) -> Tensor:
    """Sounds [B, N, D] of frames [B, F, D] whose weights come to `total` [B, F] so far.

    The share of a frame in token n is how much of it lies between n and n + 1.

    >>> total = torch.tensor([[0.5, 1.5, 2.0]]).double()
    >>> gather(torch.tensor([[[1.0], [2.0], [4.0]]]), total, 2).flatten().tolist()
    [1.5, 3.0]
    """
    before = pad(total[:, :-1], (1, 0))
    tokens = torch.arange(num_tokens, device=total.device, dtype=total.dtype)[None, :, None]
    ends, begins = total[:, None, :].minimum(tokens + 1), before[:, None, :].maximum(tokens)
    return (ends - begins).clamp(min=0).to(hidden.dtype) @ hidden
