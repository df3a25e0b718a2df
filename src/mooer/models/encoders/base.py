"""What every speech encoder declares, so that nobody asks for its name."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from mooer.audio.frontend import Frontend
from mooer.models.tensors import StrPath, Tensors, fill, read_tensors


class Encoder(nn.Module, ABC):
    """Features [B, F, M] in, hidden frames [B, F', D] out."""

    frontend: Frontend  # how samples become the features that it reads
    width: int  # D
    frame_ms: float  # milliseconds of sound per hidden frame
    stored_width: int | None = None  # of stored hidden frames, if it takes them instead of features

    @abstractmethod
    def num_frames(self, num_features: int) -> int:
        """Hidden frames of so many feature frames."""

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden frames [B, F', D] and how many of them count [B]; what is padded changes none."""

    def load_weights(self, path: StrPath) -> None:
        """Fill strictly from released weights, a file or a folder; ModelError lists what is off."""
        fill(self, self.released(path), path, "encoder")

    def released(self, path: StrPath) -> Tensors:
        """The tensors of released weights under this module's own names."""
        return read_tensors(path)


def inside(lengths: Tensor, num_frames: int) -> Tensor:
    """Mask [B, F]: True where a frame counts.

    The first frame always does, so that an attention over nothing never gives NaN.

    >>> inside(torch.tensor([1, 3]), 3).int().tolist()
    [[1, 0, 0], [1, 1, 1]]
    """
    places = torch.arange(num_frames, device=lengths.device)
    return places[None, :] < lengths.clamp(min=1)[:, None]


def zero_after(x: Tensor, lengths: Tensor) -> Tensor:
    """Zeros in [B, F, D] after the end, even where there was NaN.

    >>> zero_after(torch.full((1, 2, 1), torch.nan), torch.tensor([0])).flatten().tolist()
    [0.0, 0.0]
    """
    places = torch.arange(x.shape[1], device=lengths.device)
    return x.masked_fill((places[None, :] >= lengths[:, None])[..., None], 0.0)
