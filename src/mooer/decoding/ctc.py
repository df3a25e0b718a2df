"""CTC (Graves et al. 2006): the model, and the greedy text.

A path is a class a frame, blanks among them; what it says is the path with repeats once and blanks
not at all. The greedy text is that of the likeliest path; `prefixes` searches among all texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


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


def along(path: Sequence[int], units: Sequence[int], log_probs: Floats, blank: int) -> list[Heard]:
    """Units with their frames in a path [F] that says them.

    A run of one unit may be several of it (`graphs`): it is divided among them.

    >>> rows = np.log(np.full((6, 3), 1 / 3, np.float32))
    >>> [(one.unit, one.start, one.end) for one in along([0, 1, 1, 0, 2, 1], [1, 1, 2, 1], rows, 0)]
    [(1, 1, 2), (1, 2, 3), (2, 4, 5), (1, 5, 6)]
    """
    classes = np.asarray(path)
    runs = collapse(classes, log_probs[np.arange(len(classes)), classes], blank)
    found: list[Heard] = []
    groups = itertools.groupby(runs, lambda run: run.unit)
    for (_, alike), (_, said) in zip(groups, itertools.groupby(units), strict=True):
        *before, last = alike
        parts = len(list(said)) - len(before)
        size = last.end - last.start
        cuts = [last.start + size * i // parts for i in range(parts + 1)]
        divided = [replace(last, start=a, end=b) for a, b in itertools.pairwise(cuts)]
        found += [*before, *divided]
    return found


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
