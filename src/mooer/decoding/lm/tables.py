"""What an n-gram model consists of, order by order, as its files hold it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.ngram import BOS, EOS, UNKNOWN
from mooer.errors import ModelError

Ids = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tables:
    """N-grams of orders 1 … N with log10 of their probabilities and of their back-off weights.

    The unigrams stand in the order of the ids. Of the highest order no n-gram has a back-off.
    """

    units: tuple[str, ...]  # by id
    ngrams: tuple[Ids, ...]  # of order k: [N_k, k] ids
    probs: tuple[Floats, ...]  # [N_k] each, log10
    backoffs: tuple[Floats, ...]  # [N_k] each, log10; one order less

    @property
    def order(self) -> int:
        """The length of the longest n-grams."""
        return len(self.ngrams)

    @property
    def counts(self) -> tuple[int, ...]:
        """How many n-grams there are of each order."""
        return tuple(map(len, self.ngrams))

    def text(self, ids: Sequence[int] | Ids) -> str:
        """An n-gram as it is read."""
        return " ".join(self.units[i] for i in ids)


def empty_order(order: int) -> tuple[Ids, Floats]:
    """No n-grams of an order, and nothing for each of them."""
    return np.zeros((0, order), np.int32), np.zeros(0, np.float32)


def require_ends(units: Sequence[str], where: str) -> None:
    """ModelError if the units do not hold <s>, </s> and <unk>."""
    for name in (BOS, EOS, UNKNOWN):
        if name not in units:
            raise ModelError(f"{where} has no {name}: train it on sentences, with their ends")


def packed(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """An array that cannot be written to, of this type and in one piece."""
    found = np.ascontiguousarray(array, dtype)
    found.flags.writeable = False
    return found
