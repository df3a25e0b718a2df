"""Several n-gram models as one: a few sentences of a domain beside much general text.

Linear interpolation, p(w|h) = Σ λ_i p_i(w|h), of all n-grams that one of the models holds, backing
off as usual for others: what SRILM's `ngram -mix-lm` writes (Stolcke 2002, "SRILM: An Extensible
Language Modeling Toolkit", section 3.2). One file comes of it, for searches and graphs alike. A
word that a model does not know has no probability in it: what it leaves for <unk> stays <unk>'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.pruning import with_weights
from mooer.decoding.lm.tables import Tables
from mooer.decoding.lm.trie import TrieNGram, trie_of
from mooer.decoding.lm.units import units_of
from mooer.errors import ConfigError

_LEAST_LOG10 = -99.0  # what ARPA files write for no probability at all
_ROUNDS = 50  # of EM: enough for two digits

Numbers = NDArray[Any]


def mix(models: Sequence[Tables], weights: Sequence[float]) -> Tables:
    """One model of several. ConfigError unless the weights are shares that sum up to 1."""
    if len(models) != len(weights) or not models:
        raise ConfigError(f"{len(models)} models need as many weights, got {len(weights)}")
    if any(not 0 <= share <= 1 for share in weights) or not math.isclose(sum(weights), 1):
        raise ConfigError(f"the weights {list(weights)} are no shares: let them sum up to 1")
    units = tuple(dict.fromkeys(unit for one in models for unit in one.units))
    ids = {unit: i for i, unit in enumerate(units)}
    tries = [trie_of(one) for one in models]
    order = max(one.order for one in models)
    ngrams, probs = [], []
    for k in range(1, order + 1):
        rows = _union([one for one in models if one.order >= k], k, ids)
        ngrams.append(rows)
        total = np.zeros(len(rows))
        for trie, share in zip(tries, weights, strict=True):
            total += share * _probs(trie, rows, units)
        logs = np.log10(np.maximum(total, 10.0**_LEAST_LOG10))
        probs.append(logs.astype(np.float32))
    plain = tuple(np.zeros(len(rows), np.float32) for rows in ngrams[:-1])
    # The weights are computed of n-grams in the order of a tree's.
    sorted_tables = trie_of(Tables(units, tuple(ngrams), tuple(probs), plain)).tables()
    return with_weights(sorted_tables)


def shares(models: Sequence[Tables], texts: Iterable[str]) -> list[float]:
    """The weights under which texts that no model has seen are likeliest, by EM.

    ConfigError if the texts hold nothing that any of the models knows.
    """
    tries, lines = [trie_of(one) for one in models], list(texts)
    columns = [[_unit_probs(trie, text) for text in lines] for trie in tries]
    rows = np.array([np.concatenate([np.zeros(0), *column]) for column in columns])  # [M, N]
    rows = rows[:, rows.sum(axis=0) > 0]
    if not rows.size:
        raise ConfigError("the texts hold no word that one of the models knows: take others")
    found = np.full(len(tries), 1 / len(tries))
    for _ in range(_ROUNDS):
        parts = found[:, None] * rows
        found = (parts / parts.sum(axis=0)).mean(axis=1)
    return [float(share) for share in found]


def _union(models: Sequence[Tables], k: int, ids: dict[str, int]) -> NDArray[np.int32]:
    """The n-grams [N, k] of order k that any model holds, in the ids of all."""
    if k == 1:
        return np.arange(len(ids), dtype=np.int32)[:, None]
    parts = [np.array([ids[unit] for unit in one.units])[one.ngrams[k - 1]] for one in models]
    return np.unique(np.concatenate(parts).astype(np.int32), axis=0)


def _probs(trie: TrieNGram, rows: NDArray[np.int32], units: Sequence[str]) -> Numbers:
    """p(w|h) of n-grams [N, k] by one model; 0 for words that it does not know."""
    known = np.array([trie.vocabulary.get(unit, -1) for unit in units])
    words = known[rows[:, -1]]
    history = known[rows[:, :-1]][:, -(trie.order - 1) :] if trie.order > 1 else rows[:, :0]
    history = np.where(history < 0, trie.unknown, history)
    asked = np.where(words < 0, trie.unknown, words)
    found = 10.0 ** trie.log10_probs(trie.contexts(history), asked)
    return np.where(words < 0, 0.0, found)


def _unit_probs(trie: TrieNGram, text: str) -> Numbers:
    """Probabilities of the units of a text and of its end; 0 for those that are not known."""
    state, found = trie.start(), []
    for unit in units_of(text):
        log_prob, state = trie.score(state, trie.unit(unit))
        found.append(math.exp(log_prob) if unit in trie.vocabulary else 0.0)
    return np.array([*found, math.exp(trie.finish(state))])
