"""A smaller n-gram model by relative entropy (Stolcke 1998, "Entropy-based Pruning of Backoff
Language Models").

An n-gram h w is left out if the perplexity of the model, taken as its own text, would rise by less
than a share of it: exp(D) - 1 < threshold, where

    D = -p(h) (p(w|h) (log p(w|h') + log bow'(h) - log p(w|h)) + r(h) (log bow'(h) - log bow(h)))

with h' the context without its first word, r(h) = 1 - sum_v p(v|h) over the v that follow h, and
bow'(h) the back-off weight after h w is gone. Each order is decided at once, the highest first; an
n-gram that others go on from stays. Then all weights are computed again, so that sums are 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.ngram import BOS, LN10
from mooer.decoding.lm.tables import Tables
from mooer.decoding.lm.trie import TrieNGram, trie_of
from mooer.errors import ConfigError

_LEAST = 1e-12  # of what is left for other words: below it a difference of sums is noise

Numbers = NDArray[Any]


def prune_by_entropy(tables: Tables, threshold: float) -> Tables:
    """The model without what says little. ConfigError for a threshold below 0."""
    if not threshold >= 0:
        raise ConfigError(f"threshold {threshold:g}: use one of at least 0, such as 1e-8")
    model = trie_of(tables)
    sorted_tables = model.tables()  # as the nodes are numbered
    kept = [np.ones(count, bool) for count in sorted_tables.counts]
    for order in range(tables.order, 1, -1):
        kept[order - 1] = _worth(model, order, threshold)
        if order < tables.order:
            kept[order - 1] |= _begins(sorted_tables, order, kept[order])
    small = Tables(
        sorted_tables.units,
        tuple(rows[k] for rows, k in zip(sorted_tables.ngrams, kept, strict=True)),
        tuple(probs[k] for probs, k in zip(sorted_tables.probs, kept, strict=True)),
        tuple(weights[k] for weights, k in zip(sorted_tables.backoffs, kept[:-1], strict=True)),
    )
    return with_weights(small)


def _worth(model: TrieNGram, order: int, threshold: float) -> Numbers:
    """Whether the n-grams of an order say enough to stay."""
    nodes = model.nodes
    begin, end = nodes.ends[order - 2], nodes.ends[order - 1]
    parents = _parents(model, order)
    probs = 10.0 ** nodes.probs[begin:end].astype(np.float64)
    lower = 10.0 ** _lower_log10(model, order)
    seen = np.bincount(parents, probs, begin)
    seen_lower = np.bincount(parents, lower, begin)
    left, left_lower = 1 - seen[parents], 1 - seen_lower[parents]
    weight = nodes.backoffs[parents].astype(np.float64) * LN10
    new_weight = np.log(np.maximum(left + probs, _LEAST)) - np.log(
        np.maximum(left_lower + lower, _LEAST)
    )
    change = probs * (np.log(lower) + new_weight - np.log(probs)) + np.maximum(left, 0) * (
        new_weight - weight
    )
    rise = -np.exp(_context_logs(model, order))[parents - _first(model, order)] * change
    found: Numbers = np.expm1(rise) >= threshold
    return found


def _context_logs(model: TrieNGram, order: int) -> Numbers:
    """Natural logs of the probabilities of all n-grams one shorter than `order`.

    That of <s> is 1, and not what the file says of it: it is always there.
    """
    nodes = model.nodes
    logs = nodes.probs[: nodes.ends[0]].astype(np.float64) * LN10
    logs[model.vocabulary[BOS]] = 0.0
    for k in range(2, order):
        own = nodes.probs[nodes.ends[k - 2] : nodes.ends[k - 1]].astype(np.float64) * LN10
        logs = logs[_parents(model, k) - _first(model, k)] + own
    return logs


def _first(model: TrieNGram, order: int) -> int:
    """The node of the first n-gram one shorter than `order`."""
    return model.nodes.ends[order - 3] if order > 2 else 0


def _parents(model: TrieNGram, order: int) -> Numbers:
    """The node of the context of each n-gram of an order."""
    nodes = model.nodes
    first, end = _first(model, order), nodes.ends[order - 2]
    return np.repeat(np.arange(first, end), np.diff(nodes.firsts[first : end + 1]))


def _lower_log10(model: TrieNGram, order: int) -> Numbers:
    """log10 of p(w | h without its first word) of each n-gram h w of an order."""
    nodes = model.nodes
    states = nodes.lowers[_parents(model, order)].astype(np.int64)
    words = nodes.words[nodes.ends[order - 2] : nodes.ends[order - 1]]
    return model.log10_probs(states, words)


def _begins(tables: Tables, order: int, kept_longer: Numbers) -> Numbers:
    """Whether an n-gram begins one that is kept."""
    model = trie_of(tables)
    longer = _parents(model, order + 1)[kept_longer] - _first(model, order + 1)
    found = np.zeros(tables.counts[order - 1], bool)
    found[longer] = True
    return found


def with_weights(tables: Tables) -> Tables:
    """The same probabilities, with the back-off weights that make every sum 1.

    The n-grams must be sorted by their contexts, and then by their last units.
    """
    weights: list[NDArray[np.float32]] = []
    for order in range(2, tables.order + 1):
        below = Tables(
            tables.units,
            tables.ngrams[:order],
            tables.probs[:order],
            (*weights, np.zeros(tables.counts[order - 2], np.float32)),
        )
        model = trie_of(below)
        # trie_of sorts what is sorted already, so that its nodes are the rows of the tables.
        nodes = model.nodes
        begin, end = nodes.ends[order - 2], nodes.ends[order - 1]
        parents = _parents(model, order) - _first(model, order)
        size = tables.counts[order - 2]
        probs = 10.0 ** nodes.probs[begin:end].astype(np.float64)
        seen = np.bincount(parents, probs, size)
        seen_lower = np.bincount(parents, 10.0 ** _lower_log10(model, order), size)
        ratio = np.maximum(1 - seen, _LEAST) / np.maximum(1 - seen_lower, _LEAST)
        follows = np.bincount(parents, minlength=size) > 0
        weights.append(np.where(follows, np.log10(ratio), 0).astype(np.float32))
    return Tables(tables.units, tables.ngrams, tables.probs, tuple(weights))
