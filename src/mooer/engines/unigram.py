"""Cut a text into the most probable pieces of a unigram model, as SentencePiece does.

Kudo 2018, "Subword Regularization": each piece has a log-probability, and the best way through the
text is found from left to right. In plain Python: the trie of a library takes 250 MB for the
250,000 pieces of XLM-R, while the network behind it takes many times as long as this.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

_UNKNOWN_LOSS = 10.0  # below the least probable piece, as SentencePiece has it


class Unigram:
    """Pieces (text, score) in the order of their ids; those of `special` ids are never written."""

    def __init__(
        self, pieces: Iterable[tuple[str, float]], *, unknown: int, special: Iterable[int] = ()
    ) -> None:
        left_out = {unknown, *special}
        self._ids: dict[str, int] = {}
        self._scores: list[float] = []
        for i, (text, score) in enumerate(pieces):
            self._scores.append(score)
            if i not in left_out:
                self._ids[text] = i
        self._unknown = unknown
        self._unknown_score = min(self._scores) - _UNKNOWN_LOSS
        self._longest = max(map(len, self._ids), default=0)

    def ids(self, text: str) -> list[int]:
        """The pieces of a text; a character that is in none is the unknown piece.

        >>> model = Unigram([("?", 0.0), ("a", -2.0), ("b", -2.0), ("ab", -3.0)], unknown=0)
        >>> model.ids("aabxb")
        [1, 3, 0, 2]
        """
        best = [0.0] + [-math.inf] * len(text)
        last: list[tuple[int, int]] = [(0, 0)] * (len(text) + 1)  # where a piece begins, its id
        for start in range(len(text)):
            before = best[start]
            for end in range(start + 1, min(start + self._longest, len(text)) + 1):
                found = self._ids.get(text[start:end])
                if found is not None and before + self._scores[found] > best[end]:
                    best[end], last[end] = before + self._scores[found], (start, found)
            if before + self._unknown_score > best[start + 1]:
                best[start + 1] = before + self._unknown_score
                last[start + 1] = (start, self._unknown)
        pieces: list[int] = []
        at = len(text)
        while at:
            at, piece = last[at]
            pieces.append(piece)
        return pieces[::-1]
