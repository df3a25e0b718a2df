"""Beam search over the prefixes of CTC texts, frame by frame, with whatever scorers weigh texts.

    search = PrefixSearch(blank=0, scorers=[boost, lm])
    search.push(log_probs)      # [F, V], in as many pieces as there are
    search.found()[0].units

It adds up all paths of a text (Hannun et al. 2014, arXiv:1408.2873). Probabilities are kept as
such and scaled to the best text at every frame, with what scorers add as a factor of them: sums
are then sums, and a logarithm is taken once a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.scorer import Scorer, Sum
from mooer.errors import ConfigError, DecodeError

Floats = NDArray[np.float32]

_START = -1  # the unit of the prefix of no units
_TOTAL = attrgetter("total")


@dataclass(frozen=True)
class CtcOptions:
    """How wide prefixes are searched."""

    beam_size: int = 8
    top_k: int = 16  # units that each frame may add
    min_logprob: float = -12.0  # of a unit that is tried (natural log); -inf: any
    beam_drop: float = 16.0  # nats behind the best at which a text is given up; inf: never
    blank_skip: float = 0.999  # where the blank is as likely no unit is tried; 1: try everywhere
    change_cost: float = 0.0  # nats that a path loses where its class changes; see `steady`

    def __post_init__(self) -> None:
        if self.beam_size < 1 or self.top_k < 1:
            raise ConfigError(f"beam_size and top_k must be at least 1, got {self}")
        if not 0 < self.blank_skip <= 1:
            raise ConfigError(f"blank_skip must be above 0 and at most 1, got {self.blank_skip}")
        if not 0 <= self.change_cost < math.inf:
            raise ConfigError(f"change_cost must be at least 0, got {self.change_cost}")
        if not self.min_logprob < 0 or not self.beam_drop > 0:
            raise ConfigError(f"min_logprob must be below 0 and beam_drop above it, got {self}")


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


def prefix_search(
    log_probs: Floats,
    blank: int,
    options: CtcOptions | None = None,
    scorers: Sequence[Scorer[Any]] = (),
) -> list[Found]:
    """Texts of log-probabilities [F, V], the best first, at most `beam_size`.

    `scorers` add to each text: hotwords, a language model. DecodeError for NaN.
    """
    search = PrefixSearch(blank, options, scorers)
    search.push(log_probs)
    return search.found()


class PrefixSearch:
    """A search that goes on as frames come; what was found so far can be asked at any time."""

    def __init__(
        self, blank: int, options: CtcOptions | None = None, scorers: Sequence[Scorer[Any]] = ()
    ) -> None:
        self._blank = blank
        self._options = options or CtcOptions()
        self._scorer: Scorer[Any] = scorers[0] if len(scorers) == 1 else Sum(scorers)
        self._change = math.exp(-self._options.change_cost)
        self._kept = math.exp(-self._options.beam_drop)
        root = _Prefix(None, _START, self._scorer.start(), 0.0, 1.0)
        root.in_blank = root.total = 1.0
        self._beams = [root]
        self._scale = 0.0  # natural log of what a probability of 1 stands for
        self._frame = 0

    def push(self, log_probs: Floats) -> None:
        """Frames [F, V] more, in natural logs. DecodeError for NaN."""
        options = self._options
        if np.isnan(log_probs).any():
            raise DecodeError(
                "the model gives NaN instead of probabilities: its weights are damaged"
            )
        blanks = log_probs[:, self._blank].astype(np.float64).tolist()
        skip = math.log(options.blank_skip) if options.blank_skip < 1 else math.inf
        tried = _candidates(log_probs, self._blank, options.top_k, options.min_logprob)
        for row, silence, (units, logs) in zip(log_probs, blanks, tried, strict=True):
            if silence > skip:
                self._rest(silence)
            else:
                own = row[[one.unit for one in self._beams]].astype(np.float64)
                probs = np.exp(logs).tolist()
                pairs = list(zip(units.tolist(), probs, strict=True))
                self._step(math.exp(silence), pairs, np.exp(own).tolist())

    def found(self) -> list[Found]:
        """The texts of all frames so far, the best first, as if they ended here."""
        texts = []
        for one in self._beams:
            logprob = math.log(one.total) + self._scale - one.bonus
            bonus = one.bonus + self._scorer.finish(one.state)
            texts.append(Found(one.units(), logprob, bonus))
        return sorted(texts, key=lambda one: -one.score)

    def _rest(self, silence: float) -> None:
        """A frame of which all is blank but what is left out."""
        change = self._change
        self._scale += silence
        for one in self._beams:
            one.in_blank += one.in_unit * change
            one.in_unit = 0.0
            one.total = one.in_blank

    def _step(
        self, silence: float, pairs: Sequence[tuple[int, float]], own: Sequence[float]
    ) -> None:
        """One frame; `pairs` are the units that are tried, the likeliest first."""
        self._frame = frame = self._frame + 1
        change = self._change
        first = self._beams[0]
        stays = (first.in_blank + first.in_unit * change) * silence + first.in_unit * own[0]
        goes = (first.in_blank + first.in_unit) * change * pairs[0][1] if pairs else 0.0
        floor = self._kept * max(stays, goes)  # less is given up before scorers are asked
        reached: list[_Prefix] = []
        for prefix, own_prob in zip(self._beams, own, strict=True):
            in_blank, in_unit = prefix.in_blank, prefix.in_unit
            if prefix.frame != frame:
                prefix.frame = frame
                prefix.next_unit = 0.0
                reached.append(prefix)
            prefix.next_blank = (in_blank + in_unit * change) * silence
            prefix.next_unit += in_unit * own_prob  # the same unit goes on
            again = in_blank * change
            either = again + in_unit * change
            children, same = prefix.children, prefix.unit
            for unit, prob in pairs:
                value = either * prob
                if value < floor:
                    break
                if unit == same:
                    value = again * prob
                if value <= 0.0:
                    continue
                child = children.get(unit)
                if child is None:
                    child = children[unit] = self._longer(prefix, unit)
                if child.frame != frame:
                    child.frame = frame
                    child.next_blank = 0.0
                    child.next_unit = value * child.factor
                    reached.append(child)
                else:
                    child.next_unit += value * child.factor
        self._prune(reached)

    def _prune(self, reached: list[_Prefix]) -> None:
        """The best of what was reached, with the very best at 1."""
        for one in reached:
            one.total = one.next_blank + one.next_unit
        reached.sort(key=_TOTAL, reverse=True)
        best = reached[0].total
        if best <= 0.0:
            raise DecodeError("every text has a probability of 0: weigh the scorers less")
        del reached[self._options.beam_size :]
        least = best * self._kept
        while reached[-1].total < least or reached[-1].total <= 0.0:
            reached.pop()
        scale = 1.0 / best
        for one in reached:
            one.in_blank = one.next_blank * scale
            one.in_unit = one.next_unit * scale
            one.total *= scale
        self._scale += math.log(best)
        self._beams = reached

    def _longer(self, prefix: _Prefix, unit: int) -> _Prefix:
        added, state = self._scorer.advance(prefix.state, unit)
        return _Prefix(prefix, unit, state, prefix.bonus + added, math.exp(added))


class _Prefix:
    """A text so far; two are the same only if they are one object.

    `in_blank` and `in_unit` are probabilities of ending in a blank and in its last unit, times
    `exp(bonus)`; `next_…` those at the frame `frame`, while it is worked on.
    """

    __slots__ = (
        "bonus",
        "children",
        "factor",
        "frame",
        "in_blank",
        "in_unit",
        "next_blank",
        "next_unit",
        "parent",
        "state",
        "total",
        "unit",
    )

    def __init__(
        self, parent: _Prefix | None, unit: int, state: Any, bonus: float, factor: float
    ) -> None:
        self.parent = parent
        self.unit = unit
        self.state = state
        self.bonus = bonus
        self.factor = factor  # what scorers made of its last unit
        self.children: dict[int, _Prefix] = {}
        self.frame = 0
        self.in_blank = self.in_unit = self.total = 0.0
        self.next_blank = self.next_unit = 0.0

    def units(self) -> tuple[int, ...]:
        found: list[int] = []
        here: _Prefix | None = self
        while here is not None and here.parent is not None:
            found.append(here.unit)
            here = here.parent
        return tuple(found[::-1])


def _candidates(
    log_probs: Floats, blank: int, top_k: int, min_logprob: float
) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """The likeliest units of each frame and their log-probabilities, the blank left out."""
    likely = log_probs > min_logprob
    likely[:, blank] = False
    rows, units = np.nonzero(likely)
    logs = log_probs[rows, units].astype(np.float64)
    order = np.lexsort((-logs, rows))
    units, logs = units[order], logs[order]
    counts = np.bincount(rows, minlength=len(log_probs))
    ends = np.cumsum(counts)
    return [
        (units[start : min(end, start + top_k)], logs[start : min(end, start + top_k)])
        for start, end in zip((ends - counts).tolist(), ends.tolist(), strict=True)
    ]
