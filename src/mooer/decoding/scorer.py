"""What may add to the score of a text while it is searched for: hotwords, a language model.

A scorer keeps nothing: what it knows of a text so far is a state, held by whoever searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

S = TypeVar("S")


class Scorer(Protocol[S]):
    """Scores of texts, unit by unit; natural logarithms."""

    def start(self) -> S:
        """The state of a text of no units."""
        ...

    def advance(self, state: S, unit: int) -> tuple[float, S]:
        """What one unit more adds to the score, and the state after it."""
        ...

    def finish(self, state: S) -> float:
        """What the end adds."""
        ...


class Sum:
    """Several scorers as one: what they add is added up."""

    def __init__(self, scorers: Sequence[Scorer[Any]]) -> None:
        self._scorers = tuple(scorers)

    def start(self) -> tuple[Any, ...]:
        """The states of all."""
        return tuple(one.start() for one in self._scorers)

    def advance(self, state: tuple[Any, ...], unit: int) -> tuple[float, tuple[Any, ...]]:
        """What a unit adds by all, and their states after it."""
        total = 0.0
        after = []
        for one, before in zip(self._scorers, state, strict=True):
            added, new = one.advance(before, unit)
            total += added
            after.append(new)
        return total, tuple(after)

    def finish(self, state: tuple[Any, ...]) -> float:
        """What the end adds by all."""
        pairs = zip(self._scorers, state, strict=True)
        return sum(one.finish(before) for one, before in pairs)
