"""N-gram models with back-off: what they know, and how a text is scored with them.

    model = read_ngram("news.arpa")
    state = model.start()
    for word in "how are you".split():
        log_prob, state = model.score(state, model.unit(word))
    log_prob = model.finish(state)

Logarithms are natural, whatever the file has. A state is the last words that the model can tell
apart from others: two histories after which every text has the same probability have one state, as
far as the file shows it, so a search may merge them.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from mooer.errors import ModelError

BOS, EOS, UNKNOWN = "<s>", "</s>", "<unk>"
LN10 = math.log(10.0)
UNKNOWN_LOG10 = -100.0  # of <unk> where a file has none; KenLM has the same

State: TypeAlias = tuple[int, ...]  # the last words, the newest at the end


class NGram(abc.ABC):
    """A read-only n-gram model over words or characters: its units, which have ids.

    `vocabulary` are the units with their ids, <s>, </s> and <unk> among them; `bos`, `eos` and
    `unknown` are the ids of those three.
    """

    def __init__(self, order: int, vocabulary: Mapping[str, int]) -> None:
        self.order = order
        self.vocabulary = vocabulary
        self.bos = self._special(BOS)
        self.eos = self._special(EOS)
        self.unknown = self._special(UNKNOWN)

    @property
    @abc.abstractmethod
    def counts(self) -> tuple[int, ...]:
        """How many n-grams there are of each order."""

    @abc.abstractmethod
    def score(self, state: State, word: int) -> tuple[float, State]:
        """Natural log of p(word | state), and the state after it."""

    def start(self, *, bos: bool = True) -> State:
        """The state at the beginning of a sentence; without `bos` that of no history at all."""
        return self.score((), self.bos)[1] if bos else ()

    def finish(self, state: State) -> float:
        """Natural log of p(</s> | state)."""
        return self.score(state, self.eos)[0]

    def unit(self, text: str) -> int:
        """The id of a unit, that of <unk> if the model does not know it."""
        return self.vocabulary.get(text, self.unknown)

    def logprob(self, words: Sequence[str], bos: bool = True, eos: bool = True) -> float:
        """Natural log of the probability of a sentence in units."""
        state = self.start(bos=bos)
        total = 0.0
        for word in words:
            log_prob, state = self.score(state, self.unit(word))
            total += log_prob
        return total + self.finish(state) if eos else total

    def _special(self, name: str) -> int:
        if name not in self.vocabulary:
            raise ModelError(f"the n-gram model has no {name}: train it on sentences, with ends")
        return self.vocabulary[name]
