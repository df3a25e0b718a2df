"""What a scorer says of texts, brought into a search over tokens that knows rows of scores alone.

    GenerateOptions(num_beams=5, adjust=Weighed(scorer, stop_ids=model.stop_ids))

Shallow fusion for decoders that write token by token (Gulcehre et al. 2015, arXiv:1503.03535). The
scorer is asked before the best tokens are chosen, and about the end too: it can save a token of
which the decoder thinks little, as long as that is among the `top_k` likeliest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.scorer import Scorer
from mooer.errors import ConfigError

S = TypeVar("S")


class Weighed(Generic[S]):
    """Adds to the scores [V] of the likeliest next tokens, and rules the others out.

    For one search at a time; a search that begins anew is noticed by its empty text.
    """

    def __init__(self, scorer: Scorer[S], stop_ids: Collection[int], top_k: int = 32) -> None:
        if top_k < 1:
            raise ConfigError(f"top_k must be at least 1, not {top_k}")
        self._scorer = scorer
        self._stop_ids = frozenset(stop_ids)
        self._top_k = top_k
        self._states: dict[tuple[int, ...], S] = {}

    def __call__(self, said: Sequence[int], scores: NDArray[np.float32]) -> None:
        """Change the scores in place."""
        state = self._state(tuple(said))
        num = min(self._top_k, len(scores))
        kept = {*np.argpartition(scores, -num)[-num:].tolist(), *self._stop_ids}
        values = {token: float(scores[token]) for token in kept if scores[token] > -np.inf}
        scores[:] = -np.inf
        for token, value in values.items():
            if token in self._stop_ids:
                added = self._scorer.finish(state)
            else:
                added, _ = self._scorer.advance(state, token)
            scores[token] = value + added

    def _state(self, said: tuple[int, ...]) -> S:
        if not said:
            self._states = {(): self._scorer.start()}
        elif said not in self._states:
            before = self._states.get(said[:-1])
            state = self._state(said[:-1]) if before is None else before
            _, self._states[said] = self._scorer.advance(state, said[-1])
        return self._states[said]
