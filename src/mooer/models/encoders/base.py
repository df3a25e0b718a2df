"""What every speech encoder declares, so that nobody asks for its name."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from mooer.audio.frontend import Frontend


class Encoder(nn.Module, ABC):
    """Features [B, F, M] in, hidden frames [B, F', D] out."""

    frontend: Frontend  # how samples become the features that it reads
    width: int  # D
    frame_ms: float  # milliseconds of sound per hidden frame

    @abstractmethod
    def num_frames(self, num_features: int) -> int:
        """Hidden frames of so many feature frames."""

    @abstractmethod
    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden frames [B, F', D] and how many of them count [B]; what is padded changes none."""
