"""Language models as scorers of text, whatever units they or a decoder have.

    lm = NGramText(model)
    log_prob, state = lm.advance(lm.start(), "he")       # 0.0: the word may go on
    log_prob, state = lm.advance(state, "llo wor")       # that of "hello"
    log_prob = lm.finish(state)                          # that of "wor" and of the end

Text comes in pieces of any length, and what is given back is what can be said for sure: the score
of a word comes when something follows that is no part of it, that of a Chinese character at once,
half a character (bytes of a byte-level BPE) adds nothing until it is whole. The sum of all that was
given back, with `finish`, is the natural log of the probability of the whole text and its end.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

S = TypeVar("S")


class TextLM(Protocol[S]):
    """Scores of texts, piece by piece; natural logarithms. States are hashable and kept outside."""

    def start(self) -> S:
        """The state of an empty text, which begins a sentence."""
        ...

    def advance(self, state: S, piece: str | bytes) -> tuple[float, S]:
        """What a piece more adds to the score, and the state after it.

        Bytes may end within a character.
        """
        ...

    def finish(self, state: S) -> float:
        """What the end adds: the last unit, if it is still open, and the end of the sentence."""
        ...
