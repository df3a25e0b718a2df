"""Choose ids from rows of logits, in numpy: the likeliest, a draw, or several beams.

What one prompt is answered does not depend on what is decoded beside it. Beams are kept and
compared as in transformers' `generate` (early_stopping=False), like those of `mooer.decoding`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ConfigError, DecodeError

Floats = NDArray[np.float32]
MAX_BEAMS = 5
_BLOCK = 256  # scores whose largest is looked at first


@dataclass(frozen=True)
class GenerateOptions:
    """How to answer a prompt; greedy as it stands."""

    max_new_tokens: int = 200
    stop_ids: frozenset[int] = frozenset()  # empty: those that end an answer of the model
    num_beams: int = 1
    length_penalty: float = 0.8  # of beams: score = log-probability / length ** length_penalty
    eos_bias: float = 0.0  # added to the score of the stop ids
    temperature: float = 0.0  # above 0: draw
    seed: int = 0
    logit_bias: Mapping[int, float] = field(default_factory=dict)  # added to scores of ids
    # Given the ids so far and their scores [V], may change these in place: hotwords, penalties.
    adjust: Callable[[Sequence[int], Floats], None] | None = None
    # Given the ids so far, says whether to stop there: an answer that goes round in circles.
    guard: Callable[[Sequence[int]], bool] | None = None

    def __post_init__(self) -> None:
        wrong = {
            "max_new_tokens must be at least 1": self.max_new_tokens < 1,
            f"num_beams must be from 1 to {MAX_BEAMS}": not 1 <= self.num_beams <= MAX_BEAMS,
            "temperature must be at least 0": not self.temperature >= 0,
            "temperature is for one beam alone": self.temperature > 0 and self.num_beams > 1,
        }
        for sentence, is_wrong in wrong.items():
            if is_wrong:
                raise ConfigError(f"{sentence}, got {self}")


@dataclass(frozen=True)
class Generated:
    """An answer."""

    tokens: tuple[int, ...]  # without the stop id
    logprobs: tuple[float, ...]  # natural, as the model gave them; of the stop id too, if it came
    score: float  # sum of the scores / length ** length_penalty
    finish: Literal["stop", "length", "guard"]  # why it ended

    @property
    def avg_logprob(self) -> float:
        """Mean over the tokens, the stop id included."""
        return math.fsum(self.logprobs) / len(self.logprobs)


class Step(NamedTuple):
    """One id more, after what the row `parent` of the last logits had said."""

    parent: int
    token: int
    logprob: float


class Search(Protocol):
    """The rows of one prompt."""

    num_rows: int  # at most

    def advance(self, logits: Floats) -> list[Step]:
        """Logits [R, V] of the rows that go on to those that do next; none: it is over."""
        ...

    def result(self) -> Generated:
        """The best answer; once it is over."""
        ...


def start(options: GenerateOptions) -> Search:
    """A search that has said nothing yet."""
    return BeamSearch(options) if options.num_beams > 1 else RowSearch(options)


class RowSearch:
    """One row: the likeliest id, or with a temperature a draw."""

    num_rows = 1

    def __init__(self, options: GenerateOptions) -> None:
        self._options = options
        self._tokens: list[int] = []
        self._logprobs: list[float] = []
        self._finish: Literal["stop", "length", "guard"] | None = None
        self._random = np.random.default_rng(options.seed) if options.temperature > 0 else None

    def advance(self, logits: Floats) -> list[Step]:
        """Logits [1, V] to the next id."""
        [row] = logits
        total = _logsumexp(row)
        scores = _adjusted(row.copy(), self._tokens, self._options)
        if self._random is not None:  # the largest under Gumbel noise is a draw
            waits = self._random.standard_exponential(len(scores), np.float32)
            scores = scores / self._options.temperature - np.log(np.maximum(waits, 1e-30))
        token = int(scores.argmax())
        logprob = float(row[token]) - total
        self._logprobs.append(logprob)
        if token in self._options.stop_ids:
            self._finish = "stop"
            return []
        self._tokens.append(token)
        if self._options.guard is not None and self._options.guard(self._tokens):
            self._finish = "guard"
        elif len(self._tokens) >= self._options.max_new_tokens:
            self._finish = "length"
        return [] if self._finish else [Step(0, token, logprob)]

    @property
    def last(self) -> tuple[int, float] | None:
        """The newest id and its log-probability; None if that was a stop id."""
        if self._finish == "stop" or not self._tokens:
            return None
        return self._tokens[-1], self._logprobs[-1]

    def result(self) -> Generated:
        """What was said."""
        assert self._finish is not None, "not over yet"
        score = sum(self._logprobs) / len(self._logprobs) ** self._options.length_penalty
        return Generated(tuple(self._tokens), tuple(self._logprobs), score, self._finish)


@dataclass(frozen=True, slots=True)
class _Beam:
    score: float
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


class BeamSearch:
    """Several rows that compete; `guard` ends a beam like a stop id does."""

    def __init__(self, options: GenerateOptions) -> None:
        self.num_rows = options.num_beams
        self._options = options
        self._beams = [_Beam(0.0)]
        self._length = 0
        self._done: list[Generated] = []

    def advance(self, logits: Floats) -> list[Step]:
        """Logits [R, V] to the best continuations that are still open."""
        options = self._options
        scores = np.empty_like(logits)
        totals = []
        for row, beam in enumerate(self._beams):
            totals.append(_logsumexp(logits[row]))
            np.subtract(logits[row], np.float32(totals[-1]), out=scores[row])
            _adjusted(scores[row], beam.tokens, options)
            scores[row] += np.float32(beam.score)
        self._length += 1
        going: list[tuple[_Beam, Step]] = []
        num = max(2, 1 + len(options.stop_ids)) * options.num_beams
        for rank, (row, token, score) in enumerate(_best(scores, num)):
            beam = self._beams[row]
            logprob = float(logits[row, token]) - totals[row]
            longer = _Beam(score, (*beam.tokens, token), (*beam.logprobs, logprob))
            finish = self._finish(longer)
            if finish is None:
                going.append((longer, Step(row, token, logprob)))
            elif rank < options.num_beams:
                said = beam.tokens if finish == "stop" else longer.tokens
                final = score / self._length**options.length_penalty
                self._done.append(Generated(said, longer.logprobs, final, finish))
        going = sorted(going, key=lambda pair: -pair[0].score)[: options.num_beams]
        self._done = sorted(self._done, key=lambda one: -one.score)[: options.num_beams]
        self._beams = [beam for beam, _ in going]
        return [] if self._is_over() else [step for _, step in going]

    def result(self) -> Generated:
        """The best of what ended."""
        return self.results()[0]

    def results(self) -> list[Generated]:
        """What ended, the best first, at most as many as there are beams."""
        if not self._done:
            raise DecodeError("the search has ended without an answer: allow fewer biases")
        return list(self._done)

    def _finish(self, beam: _Beam) -> Literal["stop", "length", "guard"] | None:
        if beam.tokens[-1] in self._options.stop_ids:
            return "stop"
        if self._length >= self._options.max_new_tokens:
            return "length"
        if self._options.guard is not None and self._options.guard(beam.tokens):
            return "guard"
        return None

    def _is_over(self) -> bool:
        """Nothing that is still open can become one of the best."""
        if not self._beams or self._length >= self._options.max_new_tokens:
            return True
        divisor = self._length**self._options.length_penalty
        return (
            len(self._done) == self._options.num_beams
            and self._beams[0].score / divisor <= self._done[-1].score
        )


def _adjusted(scores: Floats, said: Sequence[int], options: GenerateOptions) -> Floats:
    """Scores [V] changed in place by what the options say."""
    if options.eos_bias:
        scores[list(options.stop_ids)] += np.float32(options.eos_bias)
    for token, bias in options.logit_bias.items():
        scores[token] += np.float32(bias)
    if options.adjust is not None:
        options.adjust(said, scores)
    return scores


def _best(scores: Floats, num: int) -> list[tuple[int, int, float]]:
    """(row, id, score) of the largest scores of all rows [R, V], the largest first."""
    flat = scores.ravel()
    num = min(num, flat.size)
    places = _likely(flat, num)
    places = places[np.argpartition(flat[places], -num)[-num:]]
    places = places[np.argsort(-flat[places], kind="stable")]
    rows, tokens = np.divmod(places, scores.shape[1])
    found: Any = zip(rows.tolist(), tokens.tolist(), flat[places].tolist(), strict=True)
    return [one for one in found if one[2] > -math.inf]


def _likely(flat: Floats, num: int) -> NDArray[np.intp]:
    """Places among which the `num` largest of [N] are: the blocks with the largest maxima.

    A maximum is found much more quickly than a place in the order.
    """
    whole = len(flat) // _BLOCK * _BLOCK
    largest = flat[:whole].reshape(-1, _BLOCK).max(axis=1)
    if len(largest) <= num:
        return np.arange(len(flat))
    blocks = np.argpartition(largest, -num)[-num:]
    inside = blocks[:, None] * _BLOCK + np.arange(_BLOCK)
    return np.concatenate([inside.ravel(), np.arange(whole, len(flat))])


def _logsumexp(row: Floats) -> float:
    """Natural logarithm of the sum of exponentials [V]; DecodeError for NaN."""
    largest = row.max()
    total = float(largest) + math.log(float(np.exp(row - largest).sum(dtype=np.float64)))
    if math.isnan(total):
        raise DecodeError(
            "the model gives NaN instead of probabilities: its weights or the embeddings are "
            "damaged"
        )
    return total
