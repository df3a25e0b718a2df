"""Batches of utterances of like length under a budget of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mooer.data.stages import Example, Stage, State, blocks
from mooer.data.supervision import Utterance
from mooer.errors import ConfigError, ManifestError

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True)
class Budget:
    """What a batch may hold, padding included."""

    max_frames: int = 3000
    max_utterances: int = 64
    max_padding: float = 0.2  # share of the frames that may be padding

    def __post_init__(self) -> None:
        if self.max_frames < 1 or self.max_utterances < 1:
            raise ConfigError("a batch holds at least one frame and one utterance")
        if not 0 <= self.max_padding <= 1:
            raise ConfigError(f"max_padding is a share, 0 to 1, got {self.max_padding}")


@dataclass(frozen=True)
class Batches:
    """Tuples of examples: `pool` of them are sorted by length, cut into batches, and these mixed.

    A larger pool leaves less padding. Going on from a position reads at most one pool again.
    """

    upstream: Stage[Example]
    num_features: Callable[[int], int]  # frames of so many samples, as the front end says
    budget: Budget = Budget()
    pool: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pool < 1:
            raise ConfigError(f"a pool holds at least one utterance, got {self.pool}")

    def stream(self, state: State | None = None) -> Iterator[tuple[tuple[Example, ...], State]]:
        """Batches without their sound. ManifestError for an utterance above the whole budget."""
        for block in blocks(self.upstream, self.pool, state):
            frames = [self._num_frames(e) for e in block.items]
            groups = cut(frames, self.budget, [_num_bytes(e.utterance) for e in block.items])
            order = np.random.default_rng([self.seed, block.number]).permutation(len(groups))
            for i in range(block.position, len(order)):
                yield tuple(block.items[j] for j in groups[order[i]]), block.after(i + 1)

    def _num_frames(self, example: Example) -> int:
        frames = self.num_features(round(example.duration_s * SAMPLE_RATE_HZ))
        if frames > self.budget.max_frames:
            raise ManifestError(
                f"{example.utterance.id} has {frames} frames, but a batch holds at most "
                f"{self.budget.max_frames}: raise the budget, or lower the longest duration"
            )
        return frames


def _num_bytes(utterance: Utterance) -> int:
    """Of what is written before and after the sound; tokens have like numbers of bytes."""
    shown = (utterance.prompt, utterance.text, utterance.translation, utterance.answer)
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in shown if text)


def cut(frames: Sequence[int], budget: Budget, ties: Sequence[int] = ()) -> list[list[int]]:
    """Indices of `frames` in groups under the budget, by length; equal lengths by `ties`.

    >>> cut([5, 100, 5, 100, 5], Budget(max_frames=200))
    [[0, 2, 4], [1, 3]]
    """
    groups: list[list[int]] = []
    total = 0
    ties = ties or [0] * len(frames)
    for index in sorted(range(len(frames)), key=lambda i: (frames[i], ties[i], i)):
        longest = frames[index]
        if groups and _fits(len(groups[-1]) + 1, total + longest, longest, budget):
            groups[-1].append(index)
            total += longest
        else:
            groups.append([index])
            total = longest
    return groups


def _fits(num_utterances: int, num_frames: int, longest: int, budget: Budget) -> bool:
    padded = num_utterances * longest
    return (
        num_utterances <= budget.max_utterances
        and padded <= budget.max_frames
        and padded - num_frames <= budget.max_padding * padded
    )
