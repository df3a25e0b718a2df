"""CTC (Graves et al. 2006): the model, the greedy text, and beam search over prefixes.

A path is a class a frame, blanks among them; what it says is the path with repeats once and blanks
not at all. The greedy text is that of the likeliest path. Beam search adds up all paths of a text
(Hannun et al. 2014, arXiv:1408.2873), so that hotwords and language models can weigh texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.scorer import Scorer
from mooer.errors import ConfigError, DecodeError

Floats = NDArray[np.float32]

_NEVER = -math.inf
_START = -1  # the unit of the prefix of no units


class CtcModel(Protocol):
    """An acoustic model that can be aligned to."""

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        ...

    @property
    def blank(self) -> int:
        """The class that says nothing."""
        ...

    def log_probs(self, samples: Floats) -> Floats:
        """Natural logarithms [F, V] of at most about 30 s [T] at 16 kHz."""
        ...

    def spell(self, word: str) -> tuple[int, ...]:
        """Units of a word or a Chinese character; none if it cannot be spelled."""
        ...


@dataclass(frozen=True, slots=True)
class Heard:
    """A unit of the greedy text."""

    unit: int
    start: int  # first frame
    end: int  # first frame after it
    logprob: float  # natural log, at its best frame


@dataclass(frozen=True)
class CtcOptions:
    """How wide prefixes are searched."""

    beam_size: int = 8
    top_k: int = 16  # units that each frame may add
    blank_skip: float = 0.999  # where the blank is as likely no unit is tried; 1: try everywhere
    change_cost: float = 0.0  # nats that a path loses where its class changes; see `steady`

    def __post_init__(self) -> None:
        if self.beam_size < 1 or self.top_k < 1:
            raise ConfigError(f"beam_size and top_k must be at least 1, got {self}")
        if not 0 < self.blank_skip <= 1:
            raise ConfigError(f"blank_skip must be above 0 and at most 1, got {self.blank_skip}")
        if not 0 <= self.change_cost < math.inf:
            raise ConfigError(f"change_cost must be at least 0, got {self.change_cost}")


@dataclass(frozen=True, slots=True)
class Found:
    """A text that was found, in units."""

    units: tuple[int, ...]
    logprob: float  # natural log of all its paths that were kept
    bonus: float  # what scorers added

    @property
    def score(self) -> float:
        """What the search ranked it by."""
        return self.logprob + self.bonus


def greedy(log_probs: Floats, blank: int) -> list[Heard]:
    """The units of the likeliest path through [F, V], with their frames.

    >>> rows = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]))
    >>> [(one.unit, one.start, one.end) for one in greedy(rows, 0)]
    [(1, 1, 3)]
    """
    best = log_probs.argmax(axis=1)
    sure = np.take_along_axis(log_probs, best[:, None], axis=1)[:, 0]
    return collapse(best, sure, blank)


def steady(log_probs: Floats, blank: int, change_cost: float) -> list[Heard]:
    """The units of the path through [F, V] of which each change of class costs so much.

    A model that was taught by frames tells of every frame alone what it is: between two units it
    may waver, and each wavering would be a unit of the greedy text. This is Viterbi in a model
    where every class may follow every other.

    >>> rows = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.9, 0.1]]))
    >>> len(greedy(rows, 0)), len(steady(rows, 0, 2.0))
    (1, 0)
    """
    if not len(log_probs):
        return []
    came_from = np.empty(log_probs.shape, np.int32)  # the class of the frame before
    same = np.arange(log_probs.shape[1], dtype=np.int32)
    scores = log_probs[0].astype(np.float64)
    for frame, row in enumerate(log_probs[1:], 1):
        best = int(scores.argmax())
        changed = scores[best] - change_cost
        came_from[frame] = np.where(scores >= changed, same, best)
        scores = np.maximum(scores, changed) + row
    path = np.empty(len(log_probs), np.int64)
    path[-1] = scores.argmax()
    for frame in range(len(path) - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    sure = np.take_along_axis(log_probs, path[:, None], axis=1)[:, 0]
    return collapse(path, sure, blank)


def collapse(best: NDArray[np.integer[Any]], sure: NDArray[Any], blank: int) -> list[Heard]:
    """What a path [F] says, and how sure it is at the best frame of each unit."""
    if not len(best):
        return []
    starts = np.flatnonzero(np.concatenate([[True], best[1:] != best[:-1]]))
    ends = np.append(starts[1:], len(best))
    peaks = np.maximum.reduceat(sure, starts)
    return [
        Heard(unit, start, end, float(peak))
        for unit, start, end, peak in zip(
            best[starts].tolist(), starts.tolist(), ends.tolist(), peaks, strict=True
        )
        if unit != blank
    ]


def prefix_search(
    log_probs: Floats,
    blank: int,
    options: CtcOptions | None = None,
    scorers: Sequence[Scorer[Any]] = (),
) -> list[Found]:
    """Texts of log-probabilities [F, V], the best first, at most `beam_size`.

    `scorers` add to each text: hotwords, a language model. DecodeError for NaN.
    """
    options = options or CtcOptions()
    if np.isnan(log_probs).any():
        raise DecodeError("the model gives NaN instead of probabilities: its weights are damaged")
    root = _Prefix(None, _START, tuple(one.start() for one in scorers), 0.0)
    beams: dict[_Prefix, tuple[float, float]] = {root: (0.0, _NEVER)}
    skip = math.log(options.blank_skip) if options.blank_skip < 1 else math.inf
    for row, units in zip(log_probs, _candidates(log_probs, blank, options.top_k), strict=True):
        silence = float(row[blank])
        if silence > skip:
            beams = {
                one: (_add(in_blank, in_unit - options.change_cost) + silence, _NEVER)
                for one, (in_blank, in_unit) in beams.items()
            }
        else:
            odds = _Odds(row, units.tolist(), silence, options.change_cost)
            beams = _step(beams, odds, scorers)
            ranked = sorted(beams.items(), key=lambda item: -_add(*item[1]) - item[0].bonus)
            beams = dict(ranked[: options.beam_size])
    found = [
        Found(one.units(), _add(*odds), one.bonus + _ended(one, scorers))
        for one, odds in beams.items()
    ]
    return sorted((one for one in found if one.logprob > _NEVER), key=lambda one: -one.score)


class _Prefix:
    """A text so far; two are the same only if they are one object."""

    __slots__ = ("bonus", "children", "parent", "states", "unit")

    def __init__(
        self, parent: _Prefix | None, unit: int, states: tuple[Any, ...], bonus: float
    ) -> None:
        self.parent = parent
        self.unit = unit
        self.states = states
        self.bonus = bonus
        self.children: dict[int, _Prefix] = {}

    def child(self, unit: int, scorers: Sequence[Scorer[Any]]) -> _Prefix:
        """The text with one unit more."""
        if unit not in self.children:
            pairs = [
                one.advance(state, unit) for one, state in zip(scorers, self.states, strict=True)
            ]
            bonus = self.bonus + sum(added for added, _ in pairs)
            self.children[unit] = _Prefix(self, unit, tuple(state for _, state in pairs), bonus)
        return self.children[unit]

    def units(self) -> tuple[int, ...]:
        found: list[int] = []
        here: _Prefix | None = self
        while here is not None and here.parent is not None:
            found.append(here.unit)
            here = here.parent
        return tuple(found[::-1])


class _Odds(NamedTuple):
    """Log-probabilities of a frame."""

    row: Floats  # [V]
    units: list[int]  # that are tried
    silence: float
    change_cost: float


def _step(
    beams: dict[_Prefix, tuple[float, float]], odds: _Odds, scorers: Sequence[Scorer[Any]]
) -> dict[_Prefix, tuple[float, float]]:
    """All that may stand after one frame more: log-probabilities of ending in a blank, or not."""
    blanks: dict[_Prefix, float] = {}
    others: dict[_Prefix, float] = {}
    cost = odds.change_cost
    for prefix, (in_blank, in_unit) in beams.items():
        here = _add(in_blank, in_unit - cost) + odds.silence
        blanks[prefix] = _add(blanks.get(prefix, _NEVER), here)
        if prefix.unit != _START:  # the same unit goes on
            here = in_unit + float(odds.row[prefix.unit])
            others[prefix] = _add(others.get(prefix, _NEVER), here)
        either = _add(in_blank, in_unit)
        for unit in odds.units:
            before = in_blank if unit == prefix.unit else either
            if before == _NEVER:
                continue
            longer = prefix.child(unit, scorers)
            here = before - cost + float(odds.row[unit])
            others[longer] = _add(others.get(longer, _NEVER), here)
    return {
        one: (blanks.get(one, _NEVER), others.get(one, _NEVER))
        for one in dict.fromkeys((*blanks, *others))
    }


def _candidates(log_probs: Floats, blank: int, top_k: int) -> NDArray[np.intp]:
    """The likeliest units [F, K] of each frame, the blank left out."""
    num = min(top_k, log_probs.shape[1] - 1)
    scores = log_probs.copy()
    scores[:, blank] = -np.inf
    return np.argpartition(scores, -num, axis=1)[:, -num:]


def _ended(prefix: _Prefix, scorers: Sequence[Scorer[Any]]) -> float:
    return sum(one.finish(state) for one, state in zip(scorers, prefix.states, strict=True))


def _add(one: float, other: float) -> float:
    """Logarithm of a sum of probabilities, given by their logarithms."""
    if one < other:
        one, other = other, one
    return one if other == _NEVER else one + math.log1p(math.exp(other - one))
