"""Where words begin and end, by the loudness of the sound between what is surely theirs.

CTC says a unit at one frame or two, somewhere inside of it, and blanks around: a word is longer
than the frames of its units. Between two words the edge is looked for in the loudness of the sound.
Where it is quiet long enough there is a pause, and both words end at it; else they meet, nearer to
the one with fewer letters.

Whisper's attention enters a word before it is said, by about as much in Mandarin as in English, in
read speech as in synthetic (`python bench/align.py attention`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.emissions import SAMPLE_RATE_HZ
from mooer.errors import ConfigError

Floats = NDArray[np.float32]

Span = tuple[float, float]

STEP_S = 0.01  # of the loudness
SILENT_DB = -90.0  # of digital silence
_STEP_SAMPLES = round(STEP_S * SAMPLE_RATE_HZ)


@dataclass(frozen=True)
class EdgeOptions:
    """How far words reach beyond the frames of their units."""

    reach_s: float = 0.3  # at most, before the first frame and behind the last
    pause_s: float = 0.08  # so long a quiet stretch between two words is a pause
    quiet_db: float = 25.0  # this much below the loudest of the words beside it is quiet
    floor_db: float = 6.0  # so is what is no louder than this above the quietest tenth
    peak: float = 0.5  # where in a unit its frame is: 0 at its beginning, 1 at its end

    def __post_init__(self) -> None:
        if not (self.reach_s >= 0 and self.pause_s > 0 and 0 <= self.peak <= 1):
            raise ConfigError(f"reach_s, pause_s and peak (0 to 1) cannot be {self}")


# Chosen on synthetic speech, whose durations are known.
ATTENTION_LAG_S = (0.072, 0.046)  # by which starts and ends are early
ATTENTION_TRIM_S = 0.1  # of both ends of a word, which may be its neighbours'
ATTENTION_EDGES = EdgeOptions(pause_s=0.05, quiet_db=30.0)


class Loudness:
    """Loudness of a recording in steps of 10 ms, taken as its blocks pass: 1.4 MB an hour."""

    def __init__(self) -> None:
        self._parts: list[Floats] = []
        self._rest = np.zeros(0, np.float32)

    def listened(self, blocks: Iterable[Floats]) -> Iterator[Floats]:
        """The same blocks [T] at 16 kHz."""
        for block in blocks:
            samples = np.concatenate([self._rest, block])
            num = len(samples) // _STEP_SAMPLES
            self._parts.append(
                _decibels(samples[: num * _STEP_SAMPLES].reshape(num, _STEP_SAMPLES))
            )
            self._rest = samples[num * _STEP_SAMPLES :]
            yield block

    @property
    def db(self) -> Floats:
        """Decibels [N] below full scale of all that has passed."""
        last = [_decibels(self._rest[None])] if len(self._rest) else []
        return np.concatenate([*self._parts, *last, np.zeros(0, np.float32)])


def word_times(
    spans: Sequence[Span],
    letters: Sequence[float],
    db: Floats,
    options: EdgeOptions | None = None,
) -> list[Span]:
    """Start and end of each word in seconds; they do not overlap.

    `spans` are what is surely of each, in order; `letters` how many a unit of each has, about;
    `db` is the loudness of the recording.
    """
    options = options or EdgeOptions()
    if not spans:
        return []
    end_s = len(db) * STEP_S or spans[-1][1]
    spans = [(min(start, end_s), min(end, end_s)) for start, end in spans]
    levels = _levels(spans, db, options)
    starts, ends = [0.0] * len(spans), [0.0] * len(spans)
    starts[0] = _reach(db, spans[0][0], -min(spans[0][0], options.reach_s), levels[0])
    for i in range(len(spans) - 1):
        gap = spans[i][1], spans[i + 1][0]
        share = (1 - options.peak) * letters[i], options.peak * letters[i + 1]
        level = max(levels[i], levels[i + 1])
        ends[i], starts[i + 1] = _edge(gap, share, db, level, options)
    ends[-1] = _reach(db, spans[-1][1], min(end_s - spans[-1][1], options.reach_s), levels[-1])
    return list(zip(starts, ends, strict=True))


def attended_times(spans: Sequence[Span], db: Floats) -> list[Span]:
    """Start and end of each word of which attention and DTW say when it is heard."""
    early_s, late_s = ATTENTION_LAG_S
    surely: list[Span] = []
    last_s = 0.0
    for start_s, end_s in spans:
        low_s, high_s = start_s + early_s, end_s + late_s
        inner_s = max(0.0, min(ATTENTION_TRIM_S, (high_s - low_s) / 2))
        last_s = max(last_s, low_s + inner_s)
        surely.append((last_s, max(last_s, high_s - inner_s)))
        last_s = surely[-1][1]
    return word_times(surely, [1.0] * len(surely), db, ATTENTION_EDGES)


def _edge(
    gap: tuple[float, float],
    share: tuple[float, float],
    db: Floats,
    level: float,
    options: EdgeOptions,
) -> tuple[float, float]:
    """Where the word before a gap ends, and where the one behind it begins."""
    low, high = gap
    pause = _longest_quiet(db, low, high, level)
    if pause is not None and pause[1] - pause[0] >= options.pause_s:
        return min(pause[0], low + options.reach_s), max(pause[1], high - options.reach_s)
    if high - low > 2 * options.reach_s:  # something else is said there
        return low + options.reach_s, high - options.reach_s
    both = share[0] + share[1]
    edge = low + (high - low) * (share[0] / both if both else 0.5)
    return edge, edge


def _reach(db: Floats, time_s: float, reach_s: float, level: float) -> float:
    """How far the sound at a time goes on, to the left or to the right."""
    low, high = sorted((time_s, time_s + reach_s))
    steps = db[round(low / STEP_S) : round(high / STEP_S)]
    quiet = np.flatnonzero(steps <= level)
    if not len(quiet):
        return time_s + reach_s
    if reach_s < 0:
        return min(time_s, low + (int(quiet[-1]) + 1) * STEP_S)
    return max(time_s, low + int(quiet[0]) * STEP_S)


def _longest_quiet(db: Floats, low: float, high: float, level: float) -> tuple[float, float] | None:
    """The longest stretch between two times that is not louder than a level."""
    first = round(low / STEP_S)
    quiet = np.concatenate([[False], db[first : round(high / STEP_S)] <= level, [False]])
    edges = np.flatnonzero(quiet[1:] != quiet[:-1])
    if not len(edges):
        return None
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return (
        max(low, (first + int(starts[longest])) * STEP_S),
        min(high, (first + int(ends[longest])) * STEP_S),
    )


def _levels(spans: Sequence[Span], db: Floats, options: EdgeOptions) -> list[float]:
    """What is quiet beside each word."""
    if not len(db):
        return [SILENT_DB] * len(spans)
    heard = db[db > SILENT_DB]
    floor = float(np.percentile(heard, 10)) + options.floor_db if len(heard) else SILENT_DB
    levels = []
    for start, end in spans:
        steps = db[max(0, round(start / STEP_S) - 2) : round(end / STEP_S) + 2]
        loudest = float(steps.max(initial=SILENT_DB))
        # In speech without a pause the quietest tenth is speech: then the word itself says it.
        levels.append(max(loudest - options.quiet_db, min(floor, loudest - 10.0)))
    return levels


def loudness(samples: Floats) -> Floats:
    """Loudness of samples [T] at 16 kHz, as `Loudness` takes it."""
    heard = Loudness()
    for _ in heard.listened([samples]):
        pass
    return heard.db


def _decibels(frames: Floats) -> Floats:
    """Of frames [N, T], root mean square."""
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    db = 10 * np.log10(np.maximum(power, 1e-20))
    found: Floats = np.maximum(db, SILENT_DB).astype(np.float32)
    return found
