"""Diarization error rate: how much of what people said was given to nobody, or to somebody else.

Between two moments at which anything begins or ends, reference and hypothesis do not change, so the
times are added up exactly, without frames. The speakers of the hypothesis are matched with those of
the reference, one to one, so that they share as much time as they can. Of a moment with R speakers
in the reference, H in the hypothesis and C matched ones among them: max(0, R - H) is missed,
max(0, H - R) is false alarm and min(R, H) - C is confusion (NIST, "The 2009 (RT-09) Rich
Transcription Meeting Recognition Evaluation Plan", section 6).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mooer.subtitles.rttm import Turn

Moment = tuple[float, frozenset[str], frozenset[str]]  # seconds, reference, hypothesis


@dataclass(frozen=True, slots=True)
class DiarizationError:
    """Seconds of speech, a moment with two speakers counted twice; `+` adds recordings up."""

    total_s: float = 0.0  # of the reference
    missed_s: float = 0.0
    false_alarm_s: float = 0.0
    confusion_s: float = 0.0

    def __add__(self, other: DiarizationError) -> DiarizationError:
        return DiarizationError(
            self.total_s + other.total_s,
            self.missed_s + other.missed_s,
            self.false_alarm_s + other.false_alarm_s,
            self.confusion_s + other.confusion_s,
        )

    @property
    def error_s(self) -> float:
        """Seconds that are wrong in any way."""
        return self.missed_s + self.false_alarm_s + self.confusion_s

    @property
    def rate(self) -> float | None:
        """Wrong seconds per second of the reference; None without a reference. It can exceed 1."""
        return self.error_s / self.total_s if self.total_s > 0 else None


def diarization_error(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    *,
    duration_s: float | None = None,
    collar_s: float = 0.0,
    skip_overlap: bool = False,
) -> DiarizationError:
    """The error of one recording.

    `duration_s` is where scoring ends; None is after the last turn. `collar_s` is left out on both
    sides of every beginning and end of the reference. `skip_overlap` leaves out where the reference
    has two speakers or more.

    >>> reference = [Turn(0, 6, "anna"), Turn(6, 10, "ben")]
    >>> diarization_error(reference, [Turn(1, 7, "S1"), Turn(7, 10, "S2")]).rate
    0.2
    """
    moments = list(_moments(reference, hypothesis, duration_s, collar_s))
    if skip_overlap:
        moments = [moment for moment in moments if len(moment[1]) < 2]
    matched = match(_shared(moments))
    error = DiarizationError()
    for length_s, spoken, found in moments:
        right = sum(matched.get(speaker) in spoken for speaker in found)
        error += DiarizationError(
            len(spoken) * length_s,
            max(0, len(spoken) - len(found)) * length_s,
            max(0, len(found) - len(spoken)) * length_s,
            (min(len(spoken), len(found)) - right) * length_s,
        )
    return error


def _moments(
    reference: Sequence[Turn],
    hypothesis: Sequence[Turn],
    duration_s: float | None,
    collar_s: float,
) -> Iterator[Moment]:
    """Stretches in which nobody begins or ends, without the collars."""
    end_s = math.inf if duration_s is None else duration_s
    steps: list[tuple[float, int, str, int]] = []  # time, of which list, speaker, +1 or -1
    for which, turns in enumerate((reference, hypothesis)):
        for begin, end, speaker in _joined(turns):
            steps += [(begin, which, speaker, 1), (end, which, speaker, -1)]
            if which == 0 and collar_s > 0:
                for edge in (begin, end):
                    steps += [(edge - collar_s, 2, "", 1), (edge + collar_s, 2, "", -1)]
    steps.sort(key=lambda step: step[0])
    now: tuple[set[str], set[str]] = (set(), set())
    num_collars, last = 0, 0.0
    for time_s, which, speaker, step in steps:
        begin, end = max(last, 0.0), min(time_s, end_s)
        if end > begin and num_collars == 0 and (now[0] or now[1]):
            yield end - begin, frozenset(now[0]), frozenset(now[1])
        last = time_s
        if which == 2:
            num_collars += step
        elif step > 0:
            now[which].add(speaker)
        else:
            now[which].discard(speaker)


def _joined(turns: Sequence[Turn]) -> Iterator[tuple[float, float, str]]:
    """Turns of which those of one speaker neither overlap nor touch."""
    by_speaker: dict[str, list[Turn]] = {}
    for turn in sorted(turns, key=lambda turn: turn.start_s):
        if turn.end_s > turn.start_s:
            by_speaker.setdefault(turn.speaker, []).append(turn)
    for speaker, own in by_speaker.items():
        begin, end = own[0].start_s, own[0].end_s
        for turn in own[1:]:
            if turn.start_s > end:
                yield begin, end, speaker
                begin = turn.start_s
            end = max(end, turn.end_s)
        yield begin, end, speaker


def _shared(moments: Sequence[Moment]) -> dict[tuple[str, str], float]:
    """Seconds that a speaker of the hypothesis shares with one of the reference."""
    shared: dict[tuple[str, str], float] = {}
    for length_s, spoken, found in moments:
        for pair in ((a, b) for a in found for b in spoken):
            shared[pair] = shared.get(pair, 0.0) + length_s
    return shared


def match(shared: Mapping[tuple[str, str], float]) -> dict[str, str]:
    """For speakers of the hypothesis, those of the reference with whom most time is shared in all.

    >>> match({("S1", "anna"): 3.0, ("S1", "ben"): 2.9, ("S2", "anna"): 2.0, ("S2", "ben"): 0.1})
    {'S1': 'ben', 'S2': 'anna'}
    """
    left = sorted({a for a, _ in shared})
    right = sorted({b for _, b in shared})
    if not left:
        return {}
    size = max(len(left), len(right))
    gain = np.zeros((size, size))
    for (a, b), seconds in shared.items():
        gain[left.index(a), right.index(b)] = seconds
    columns = assignment(gain.max() - gain)[: len(left)].tolist()
    pairs = zip(left, columns, strict=True)
    return {a: right[column] for a, column in pairs if column < len(right)}


def assignment(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column of each row of a square cost [N, N], all different, of least cost in all.

    Rows are added one at a time, each along the shortest path that frees a column for it (Jonker
    and Volgenant 1987, "A shortest augmenting path algorithm for dense and sparse linear assignment
    problems"): N steps of N rows of N.

    >>> assignment(np.array([[4.0, 1, 3], [2, 0, 5], [3, 2, 2]])).tolist()
    [1, 0, 2]
    """
    num = len(cost)
    row_price, column_price = np.zeros(num), np.zeros(num)
    owner = np.full(num, -1)  # row of each column
    for new in range(num):
        far = np.full(num, np.inf)  # shortest path to each column
        before = np.full(num, -1)  # column before it on the path
        done = np.zeros(num, bool)
        row, column, length = new, -1, 0.0
        while True:
            path = length + cost[row] - row_price[row] - column_price
            shorter = ~done & (path < far)
            far[shorter], before[shorter] = path[shorter], column
            column = int(np.where(done, np.inf, far).argmin())
            length, done[column] = far[column], True
            if owner[column] < 0:
                break
            row = int(owner[column])
        # Prices change so that the path costs nothing and no pair becomes cheaper than free.
        row_price[new] += length
        for seen in np.flatnonzero(done).tolist():
            if owner[seen] >= 0:
                row_price[owner[seen]] += length - far[seen]
            column_price[seen] -= length - far[seen]
        while column >= 0:
            last = int(before[column])
            owner[column] = new if last < 0 else owner[last]
            column = last
    found = np.empty(num, np.int64)
    found[owner] = np.arange(num)
    return found
