"""What decoding asks of a language model, what may be wished for, and what comes out.

The model is anything that reads embeddings once and then continues id by id. Tensors are torch's,
which is imported only when something is decoded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from mooer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

State = TypeVar("State")


class StepModel(Protocol[State]):
    """A causal language model with a memory of what it read. Rows are continued texts."""

    def start(self, embeds: Tensor, mask: Tensor) -> tuple[Tensor, State]:
        """Read prompts [B, L, W], padded to the left where `mask` [B, L] is False.

        Gives the logits [B, V] of the first new id, and the memory.
        """
        ...

    def step(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Add one id to every row: ids [R] on the CPU to logits [R, V]. `state` is used up."""
        ...

    def reorder(self, state: State, indices: Tensor) -> State:
        """Memory of the rows `indices` [R'] on the CPU, repeats allowed. `state` is used up."""
        ...


@dataclass(frozen=True)
class SearchOptions:
    """How to decode. The defaults are those of MooER's release.

    Greedy decoding is one beam without sampling; several beams with sampling draw the
    continuations of the beams.
    """

    num_beams: int = 4
    num_best: int = 1  # hypotheses returned for each utterance
    max_new_tokens: int = 200
    min_new_tokens: int = 0  # before the end is allowed
    length_penalty: float = 0.8  # score = log-probability / length ** length_penalty
    eos_bias: float = -0.2  # added to the log-probability of the end
    repetition_penalty: float = 1.0  # above 1: ids that were said become less likely
    no_repeat_ngram: int = 0  # no run of so many ids comes twice; 0: any may
    sample: bool = False
    temperature: float = 1.0
    top_k: int = 0  # draw from so many of the likeliest; 0: from all
    top_p: float = 1.0  # draw from the likeliest that make up this probability
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = {
            "num_beams must be at least 1": self.num_beams < 1,
            "num_best must be at least 1": self.num_best < 1,
            "max_new_tokens must be at least 1": self.max_new_tokens < 1,
            "min_new_tokens must be from 0 to max_new_tokens": not 0
            <= self.min_new_tokens
            <= self.max_new_tokens,
            "repetition_penalty must be above 0": not self.repetition_penalty > 0,
            "no_repeat_ngram must be at least 0": self.no_repeat_ngram < 0,
            "temperature must be above 0 (for greedy decoding set sample to false)": not (
                self.temperature > 0
            ),
            "top_k must be at least 0": self.top_k < 0,
            "top_p must be above 0 and at most 1": not 0 < self.top_p <= 1,
            "num_best must be at most num_beams, or sample must be set": self.num_best
            > self.num_beams
            and (self.num_beams > 1 or not self.sample),
            "temperature, top_k and top_p need sample to be set": not self.sample
            and (self.temperature, self.top_k, self.top_p) != (1.0, 0, 1.0),
        }
        for sentence, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(f"{sentence}, got {self}")


@dataclass(frozen=True)
class Hypothesis:
    """One way to continue a prompt."""

    tokens: tuple[int, ...]  # without the end
    logprobs: tuple[float, ...]  # natural, as the model gave them; of the end too, if it came
    score: float  # what the search ranked it by
    ended: bool  # False: cut at the most tokens allowed

    @property
    def avg_logprob(self) -> float:
        """Mean over the tokens, the end included."""
        return math.fsum(self.logprobs) / len(self.logprobs)

    @property
    def confidence(self) -> float:
        """Geometric mean of the probabilities of the tokens, from 0 to 1."""
        return math.exp(self.avg_logprob)
