"""When each translated sentence is heard: near what it translates, and one after the other.

A translation is often longer than what it translates. Then it is spoken a little faster, and what
follows is delayed; silence between two sentences makes up for it. Who falls too far behind hurries,
and at last leaves a sentence out: the listener of a talk must not be minutes behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mooer.errors import ConfigError
from mooer.text import is_cjk

_S_A_LETTER, _S_A_CHARACTER = 0.066, 0.23  # of English, of Chinese: before a voice is known
_NEW = 0.3  # weight of what was spoken last in a voice's pace; of the first, all
_TIGHT = 1.06  # a sentence that is too long by less is not spoken again, faster


@dataclass(frozen=True)
class PlaceOptions:
    """Where translations are put."""

    align: Literal["begin", "end"] = "begin"  # of its sentence, before which none is heard
    gap_s: float = 0.15  # between two of them
    slack_s: float = 0.5  # by which one may run over the place of the next, unhurried
    max_speed: float = 1.3  # where one does not fit
    hurry_speed: float = 1.6  # where one is late by more than half of `max_lag_s`
    max_lag_s: float = 12.0  # behind its place: a sentence that is later is left out

    def __post_init__(self) -> None:
        if self.align not in ("begin", "end"):
            raise ConfigError(
                f"a translation waits for the begin or the end of its sentence, not {self.align!r}"
            )
        if not 1.0 <= self.max_speed <= self.hurry_speed <= 2.0:
            raise ConfigError(
                "speeds must be 1 to 2, and the one to hurry by not the lower, got "
                f"{self.max_speed:g} and {self.hurry_speed:g}"
            )
        if not (min(self.gap_s, self.slack_s) >= 0 and self.max_lag_s > 0):
            raise ConfigError(
                f"gap and slack must be at least 0 s and the longest lag above 0 s, got "
                f"{self.gap_s:g}, {self.slack_s:g} and {self.max_lag_s:g}"
            )


@dataclass(frozen=True, slots=True)
class Slot:
    """The room that a sentence has."""

    start_s: float
    room_s: float  # until the next sentence wants to be heard; infinite behind the last
    lag_s: float  # behind its place
    is_late: bool  # too late to be said


class Placer:
    """Gives each sentence its slot, in order; times are seconds of the recording."""

    def __init__(self, options: PlaceOptions | None = None) -> None:
        self.options = options or PlaceOptions()
        self.free_s = 0.0  # where the last sentence ends that was placed

    def place_s(self, start_s: float, end_s: float) -> float:
        """Where the translation belongs of a sentence from `start_s` to `end_s`."""
        return start_s if self.options.align == "begin" else end_s

    def slot(self, place_s: float, next_s: float | None) -> Slot:
        """The slot of a sentence that belongs at `place_s`, and the next one at `next_s`."""
        options = self.options
        earliest_s = self.free_s + options.gap_s if self.free_s else 0.0
        start_s = max(place_s, earliest_s)
        lag_s = start_s - place_s
        room_s = float("inf")
        if next_s is not None:
            slack_s = max(0.0, options.slack_s - lag_s)
            room_s = max(0.0, next_s - start_s - options.gap_s + slack_s)
        return Slot(start_s, room_s, lag_s, lag_s > options.max_lag_s)

    def speed(self, slot: Slot, natural_s: float) -> float:
        """How fast to speak what takes `natural_s` seconds, so that it fits if it can."""
        options = self.options
        hurries = slot.lag_s > options.max_lag_s / 2
        most = options.hurry_speed if hurries else options.max_speed
        if natural_s <= slot.room_s:
            return 1.0
        return most if slot.room_s * most <= natural_s else natural_s / slot.room_s

    def catching_up(self, lag_s: float) -> float:
        """How fast to speak where nobody knows when the next sentence comes, `lag_s` behind."""
        options = self.options
        if lag_s <= options.slack_s:
            return 1.0
        half_s = options.max_lag_s / 2
        if lag_s > half_s:
            return options.hurry_speed
        return 1.0 + (options.max_speed - 1.0) * lag_s / half_s

    def is_too_long(self, slot: Slot, spoken_s: float, speed: float) -> bool:
        """Whether what was spoken at `speed` is to be spoken again, faster."""
        natural_s = spoken_s * speed
        return spoken_s > _TIGHT * slot.room_s and self.speed(slot, natural_s) > _TIGHT * speed

    def put(self, slot: Slot, spoken_s: float) -> float:
        """Fill a slot; where the sound ends."""
        self.free_s = slot.start_s + spoken_s
        return self.free_s


class Pace:
    """How long a voice takes for a text, learned while it speaks."""

    def __init__(self) -> None:
        self._factor = 1.0
        self._num_learned = 0

    def natural_s(self, text: str) -> float:
        """About how long the text takes at speed 1."""
        return self._factor * usual_s(text)

    def learn(self, text: str, spoken_s: float, speed: float) -> None:
        """A text took so long at `speed`."""
        expected_s = usual_s(text)
        if expected_s > 0 and spoken_s > 0:
            self._num_learned += 1
            weight = max(_NEW, 1 / self._num_learned)
            self._factor += weight * (spoken_s * speed / expected_s - self._factor)


def usual_s(text: str) -> float:
    """Seconds that a text takes to be spoken at a usual pace.

    >>> round(usual_s("Good evening, viewers."), 2), round(usual_s("各位观众晚上好"), 2)
    (1.19, 1.61)
    """
    return sum(_S_A_CHARACTER if is_cjk(char) else _S_A_LETTER for char in text if char.isalnum())
