"""Where in a recording the words of a text were said: CTC forced alignment (Viterbi 1967).

    words = align_words(emissions, [(17,), (5, 9), ()], AlignOptions())
    words[0].start, words[0].score

States are the units of the text with a blank before, between and behind them, as Graves et al. 2006
have it. Two things are added. A blank between two words may also be anything that is said there at
a cost a frame, so that speech which the text lacks does not push words out of place. And a word
that cannot be spelled is one unit that is whatever is said (a star: Pratap et al. 2022,
arXiv:2201.12208).

A long recording is cut where the greedy text and the given one agree for certain; between two cuts
the best path is found exactly, or, where that would be too much, in a band along the diagonal. The
pointers of one piece are all that is held: one byte a cell, `max_cells` at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.emissions import LEAST, Emissions
from mooer.errors import ConfigError
from mooer.text import edit

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

PIECE_S = 20.0  # a recording is cut into pieces of at least this length
_SURE_UNITS = 3  # so many must agree on both sides of a cut
_CROWD_UNITS, _CROWD_RATE = 12, 2.5  # a dozen units, and the rest said so many times as fast
_STAR_REST = 0.1  # of the cost: of a blank in a word that cannot be spelled
_BLOCK_FRAMES = 512  # whose log-probabilities are looked up at once
_MIN_WIDTH = 64  # states of a band


@dataclass(frozen=True)
class AlignOptions:
    """What a path may do, and at what cost; natural logarithms a frame."""

    star_cost: float = 1.0  # of sound between words that is not in the text
    blank_cost: float = (
        0.0  # of a blank: above 0, units last longer (Huang et al. 2024, 2406.02560)
    )
    max_cells: int = 1 << 26  # frames times states of one piece: bytes of its pointers

    def __post_init__(self) -> None:
        if not self.star_cost >= 0 or not math.isfinite(self.blank_cost):
            raise ConfigError(
                f"star_cost must be at least 0 and blank_cost a number, got {self.star_cost} and "
                f"{self.blank_cost}"
            )


@dataclass(frozen=True, slots=True)
class AlignedUnit:
    """A unit of the text, from its first frame to before `end`."""

    start: int
    end: int
    logprob: float  # natural log, at its best frame
    score: float  # the same less that of the likeliest class there: 0 is what the model hears

    def moved(self, frames: int) -> AlignedUnit:
        """So many frames later."""
        return AlignedUnit(self.start + frames, self.end + frames, self.logprob, self.score)


@dataclass(frozen=True, slots=True)
class AlignedWord:
    """A word of the text as its units; of one that cannot be spelled, what was said there."""

    units: tuple[AlignedUnit, ...]
    is_spelled: bool
    is_placed: bool = True  # False: there is no room for it, and its times are guesses

    @property
    def start(self) -> int:
        """Its first frame."""
        return self.units[0].start

    @property
    def end(self) -> int:
        """The first frame after it."""
        return self.units[-1].end

    @property
    def logprob(self) -> float:
        """Mean of its units; natural log."""
        return math.fsum(one.logprob for one in self.units) / len(self.units)

    @property
    def score(self) -> float:
        """Mean of its units: near 0 where the model hears it, far below where it does not."""
        return math.fsum(one.score for one in self.units) / len(self.units)


def mean_score(words: Sequence[AlignedWord]) -> float | None:
    """Mean score of the units of words; None where not one can be spelled."""
    scores = [unit.score for word in words if word.is_spelled for unit in word.units]
    return math.fsum(scores) / len(scores) if scores else None


def mean_logprob(words: Sequence[AlignedWord]) -> float | None:
    """Mean log-probability of the units of words; None where not one can be spelled."""
    found = [unit.logprob for word in words if word.is_spelled for unit in word.units]
    return math.fsum(found) / len(found) if found else None


def align_words(
    emissions: Emissions, words: Sequence[Sequence[int]], options: AlignOptions | None = None
) -> list[AlignedWord]:
    """Frames of each word, given as its units; none for a word that cannot be spelled.

    Words for which there is no room are squeezed in with the least score.
    """
    options = options or AlignOptions()
    found: list[AlignedWord] = []
    for piece in pieces(emissions, words):
        part = words[piece.first : piece.last]
        placed = None
        if part and not piece.is_crowded:
            placed = _align(emissions.cut(piece.start, piece.end), part, options)
        if part and placed is None:
            placed = _squeezed(piece.end - piece.start, part)
        found += [
            AlignedWord(
                tuple(unit.moved(piece.start) for unit in one.units), one.is_spelled, one.is_placed
            )
            for one in placed or ()
        ]
    return found


def min_frames(words: Sequence[Sequence[int]]) -> int:
    """The fewest frames that can hold these words: one a unit, and a blank where two are alike."""
    units = list(chain.from_iterable(word or (-1,) for word in words))
    return len(units) + sum(a == b for a, b in pairwise(units))


# --- pieces -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames of a recording, and the words that belong there."""

    start: int
    end: int
    first: int
    last: int  # the word after them
    is_crowded: bool = False  # there are more words than anybody says in this time


def pieces(emissions: Emissions, words: Sequence[Sequence[int]]) -> list[Piece]:
    """A recording in pieces, cut between words on both sides of which greedy and given text agree.

    Where two cuts have far more text between them than they have time, the words between them were
    not said, and must not take the place of those that were.
    """
    room = round(PIECE_S / emissions.frame_s)
    whole = Piece(0, len(emissions), 0, len(words))
    anchors, typical = _anchors(emissions, words)
    found: list[Piece] = []
    last = (0, 0, 0)  # cut, as frame, word and unit
    for before, after in pairwise([(0, 0, 0), *anchors]):
        num_units, num_frames = after[2] - before[2], after[0] - before[0]
        if num_units > _CROWD_UNITS + _CROWD_RATE * num_frames / typical:
            if before != last:
                found.append(Piece(last[0], before[0], last[1], before[1]))
            found.append(Piece(before[0], after[0], before[1], after[1], is_crowded=True))
            last = after
        elif after[0] - last[0] >= room and whole.end - after[0] >= room:
            found.append(Piece(last[0], after[0], last[1], after[1]))
            last = after
    if (last[0], last[1]) != (whole.end, whole.last):
        found.append(Piece(last[0], whole.end, last[1], whole.last))
    return found


def _anchors(
    emissions: Emissions, words: Sequence[Sequence[int]]
) -> tuple[list[tuple[int, int, int]], float]:
    """Frame, word and unit of all sure cuts and of the end; and how many frames a unit has."""
    # A word that cannot be spelled stands for itself: nothing that is heard is like it.
    units = [list(word) or [-1 - i] for i, word in enumerate(words)]
    heard = emissions.greedy()
    given = list(chain.from_iterable(units))
    places = _matches(given, [one.unit for one in heard])
    begins = np.array([one.start for one in heard], np.int64)
    follows = places[(places >= 0) & (np.append(places[1:], -1) == places + 1)]
    steps = begins[follows + 1] - begins[follows]
    found: list[tuple[int, int, int]] = []
    first = 0  # unit at which the word begins
    for word, spelled in enumerate(units):
        low, high = first - _SURE_UNITS, first + _SURE_UNITS
        if low >= 0 and high <= len(given):
            near = places[low:high]
            if near[0] >= 0 and (near == near[0] + np.arange(2 * _SURE_UNITS)).all():
                before, after = heard[places[first - 1]], heard[places[first]]
                found.append(((before.end + after.start + 1) // 2, word, first))
        first += len(spelled)
    found.append((len(emissions), len(words), len(given)))
    return found, float(np.median(steps)) if len(steps) else 1.0


def _matches(given: Sequence[int], heard: Sequence[int]) -> Ints:
    """The place of each unit in what was heard, -1 where it is not there."""
    places = np.full(len(given), -1, np.int64)
    i = j = 0
    for op in edit.align(given, heard).ops:
        if op == "=":
            places[i] = j
        i += op != "I"
        j += op != "D"
    return places


def _squeezed(num_frames: int, words: Sequence[Sequence[int]]) -> list[AlignedWord]:
    """Words one after the other over all frames, as no path can have them."""
    lengths = [len(word) or 1 for word in words]
    edges = np.round(np.cumsum([0, *lengths]) * (num_frames / sum(lengths))).astype(int).tolist()
    return [
        AlignedWord((AlignedUnit(start, end, LEAST, LEAST),), bool(word), is_placed=False)
        for word, (start, end) in zip(words, pairwise(edges), strict=True)
    ]


# --- the best path ----------------------------------------------------------------------------


def _align(
    emissions: Emissions, words: Sequence[Sequence[int]], options: AlignOptions
) -> list[AlignedWord] | None:
    """The best path of one piece; None if the words do not fit into it."""
    if min_frames(words) > len(emissions):
        return None
    trellis = _Trellis(emissions, words, options)
    path = best_path(trellis.rows(), len(emissions), trellis.columns, options.max_cells)
    if path is None:
        return None
    spans = _spans(path, trellis, emissions.top)
    return [
        AlignedWord(tuple(spans[first:last]), bool(word))
        for word, (first, last) in zip(words, pairwise(trellis.begins.tolist()), strict=True)
    ]


class _Trellis:
    """States of a text and their log-probabilities: blank, unit, blank, unit ... blank.

    `columns` [S] are the columns of `rows` that belong to the states, `begins` the unit that each
    word begins with, and one more.
    """

    def __init__(
        self, emissions: Emissions, words: Sequence[Sequence[int]], options: AlignOptions
    ) -> None:
        self._emissions = emissions
        self._options = options
        units = list(chain.from_iterable(word or (-1,) for word in words))
        self.begins = np.cumsum([0, *(len(word) or 1 for word in words)])
        self._named = sorted(set(units) - {-1})
        blank, gap, star = (len(self._named) + k for k in range(3))
        classes = {unit: place for place, unit in enumerate(self._named)} | {-1: star}
        self.columns = np.full(2 * len(units) + 1, blank)
        self.columns[2 * self.begins] = gap
        self.columns[1::2] = [classes[unit] for unit in units]

    def rows(self) -> Iterator[Floats]:
        """Log-probabilities of each frame: units, blank, gap between words, star."""
        options = self._options
        for start in range(0, len(self._emissions), _BLOCK_FRAMES):
            part = self._emissions.cut(start, start + _BLOCK_FRAMES)
            blanks = part.blanks - np.float32(options.blank_cost)
            gaps = np.maximum(blanks, part.best - np.float32(options.star_cost))
            stars = np.maximum(part.best, blanks - np.float32(_STAR_REST * options.star_cost))
            yield from np.column_stack([part.columns(self._named), blanks, gaps, stars])


def best_path(
    rows: Iterable[Floats], num_frames: int, columns: Ints, max_cells: int = 1 << 26
) -> Ints | None:
    """The likeliest state [F] of each frame; None if no path leads from the first to the last.

    `rows` are the log-probabilities [C] of each frame, `columns` [S] says which of them is each
    state's. States are blank, unit, blank, unit ... blank; a blank is stepped over between units
    that differ.
    """
    num_states = len(columns)
    width = min(num_states, max(_MIN_WIDTH, max_cells // max(1, num_frames)))
    lows = _band(num_frames, num_states, width)
    pointers = np.empty((num_frames, width), np.uint8)
    stepped = np.full(num_states, -np.inf)  # what it costs to step over the state before
    stepped[3::2] = np.where(columns[3::2] != columns[1:-2:2], 0.0, -np.inf)
    stepped[1:2] = 0.0
    scores = np.full(num_states + 2, -np.inf)  # two in front that are no states
    scores[1] = 0.0  # before the first frame: the states 0 and 1 are entered from here
    low = 0
    for frame, row in enumerate(rows):
        low, before = int(lows[frame]), low
        scores[before + 2 : low + 2] = -np.inf  # what the band has left behind
        stay, enter, over = (scores[low + k : low + k + width] for k in (2, 1, 0))
        leap = over + stepped[low : low + width]
        entered = enter > stay
        best = np.where(entered, enter, stay)
        leapt = leap > best
        np.copyto(best, leap, where=leapt)
        best += row[columns[low : low + width]]
        np.copyto(pointers[frame], entered)
        pointers[frame][leapt] = 2
        scores[low + 2 : low + 2 + width] = best
        scores[:2] = -np.inf
    return _trace(pointers, lows, scores[2:])


def _band(num_frames: int, num_states: int, width: int) -> Ints:
    """The first state that is looked at, frame by frame."""
    middle = np.linspace(0, num_states - 1, num_frames)
    return np.clip(np.round(middle - width / 2), 0, num_states - width).astype(np.int64)


def _trace(pointers: NDArray[np.uint8], lows: Ints, scores: NDArray[np.float64]) -> Ints | None:
    """The path [F] back from the better of the last two states."""
    num_states = len(scores)
    state = num_states - 1 if scores[-1] >= scores[-2] else num_states - 2
    if scores[state] == -np.inf:
        return None
    path = np.empty(len(pointers), np.int64)
    for frame in range(len(pointers) - 1, -1, -1):
        path[frame] = state
        state -= int(pointers[frame, state - lows[frame]])
    return path


def _spans(path: Ints, trellis: _Trellis, top: Floats) -> list[AlignedUnit]:
    """Frames and log-probabilities of the units of a path, in order."""
    classes = trellis.columns[path]
    said = np.array([row[one] for row, one in zip(trellis.rows(), classes, strict=True)])
    frames = np.flatnonzero(path % 2)
    states = path[frames]
    starts = np.flatnonzero(np.concatenate([[True], states[1:] != states[:-1]]))
    ends = np.append(starts[1:], len(frames))
    logprobs = np.maximum.reduceat(said[frames], starts)
    scores = np.maximum.reduceat(said[frames] - top[frames], starts)
    return [
        AlignedUnit(int(frames[a]), int(frames[b - 1]) + 1, float(logprob), min(0.0, float(score)))
        for a, b, logprob, score in zip(starts, ends, logprobs, scores, strict=True)
    ]
