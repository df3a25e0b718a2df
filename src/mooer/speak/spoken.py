"""Speech on its way: what a speaker gives for a text that is still being written."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Protocol

from mooer.speak.base import Samples, Voice


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, or a Chinese character, and when it is heard."""

    text: str  # with what is written around it: the words of a clause, joined, are its text
    start_s: float  # from the beginning of its clause
    end_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """A clause as sound."""

    text: str  # as it was written: joined, they are the text, but for what could not be said
    samples: Samples  # [T] at `rate_hz`, in [-1, 1]
    rate_hz: int
    words: tuple[SpokenWord, ...] = ()  # of all its text, in order


class Voicing(Protocol):
    """Turns a text that is still being written into sound, clause by clause."""

    rate_hz: int

    def voice(
        self, pieces: Iterable[str], *, voice: Voice | None = None, speed: float = 1.0
    ) -> Generator[Spoken, None, None]:
        """Clauses as soon as each is whole; closing the generator stops it.

        What cannot be said in a clause is left out, with a warning in the log.
        """
        ...
