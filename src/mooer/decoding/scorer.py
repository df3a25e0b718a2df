"""What may add to the score of a text while it is searched for: hotwords, a language model.

A scorer keeps nothing: what it knows of a text so far is a state, held by whoever searches.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

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
