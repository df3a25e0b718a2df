"""Pruning by entropy."""

import itertools
import math

import numpy as np
import pytest

from mooer.decoding.lm.pruning import prune_by_entropy, with_weights
from mooer.decoding.lm.tables import Tables
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.errors import ConfigError

TEXT = ["a b a", "a b b a c", "b a", "c c c", "a b a b a b", "a c", "b b b a"]


def trained(order=3):
    return train_ngram(TEXT, TrainOptions(order)).tables


def entropy(model, other, order=3):
    """Relative entropy of two models over all histories, each as likely as `model` has it."""
    words = [i for i in range(len(model.units)) if i != model.bos]
    total = 0.0
    for history in itertools.product([model.bos, *words], repeat=order - 1):
        for word in words:
            log_prob = model.score(history, word)[0]
            total += math.exp(log_prob) * (log_prob - other.score(history, word)[0])
    return total


@pytest.mark.parametrize("threshold", [0.0, 1e-3, 1e-2, 1.0])
def test_sums_stay_one(threshold):
    tables = prune_by_entropy(trained(), threshold)
    model = trie_of(tables)
    words = [i for i in range(len(tables.units)) if i != model.bos]
    for history in itertools.product(range(len(tables.units)), repeat=2):
        total = sum(np.exp(model.score(history, word)[0]) for word in words)
        assert total == pytest.approx(1, abs=1e-5), history


def test_the_higher_the_threshold_the_smaller_and_the_worse():
    tables = trained()
    model = trie_of(tables)
    before, counts = -1e-9, tables.counts
    for threshold in (1e-3, 1e-2, 1e-1):
        small = prune_by_entropy(tables, threshold)
        assert small.counts <= counts
        loss = entropy(model, trie_of(small))
        assert loss >= before
        before, counts = loss, small.counts
    assert prune_by_entropy(tables, 1e9).counts[1:] == (0, 0)


def test_what_is_left_has_its_probability():
    tables = trained()
    small = trie_of(prune_by_entropy(tables, 1e-2))
    model = trie_of(tables)
    kept = small.tables().ngrams[2]
    assert 0 < len(kept) < len(tables.ngrams[2])
    for *history, word in kept.tolist():
        assert small.score(tuple(history), word)[0] == model.score(tuple(history), word)[0]


def test_what_goes_is_what_the_definition_says():
    tables = trained(2)
    model = trie_of(tables)
    words = [i for i in range(len(tables.units)) if i != model.bos]
    rises = []
    for row in range(len(tables.ngrams[1])):
        without = np.arange(len(tables.ngrams[1])) != row
        small = with_weights(
            Tables(
                tables.units,
                (tables.ngrams[0], tables.ngrams[1][without]),
                (tables.probs[0], tables.probs[1][without]),
                tables.backoffs,
            )
        )
        history = int(tables.ngrams[1][row, 0])
        other = trie_of(small)
        loss = 0.0
        for word in words:
            log_prob = model.score((history,), word)[0]
            loss += math.exp(log_prob) * (log_prob - other.score((history,), word)[0])
        weight = 1.0 if history == model.bos else math.exp(model.score((), history)[0])
        rises.append(math.expm1(weight * loss))
    order = np.argsort(rises)
    for num in (1, len(rises) // 2, len(rises) - 1):
        threshold = (rises[order[num - 1]] + rises[order[num]]) / 2
        gone = {tables.text(tables.ngrams[1][i]) for i in order[:num]}
        small = prune_by_entropy(tables, threshold)
        left = {small.text(row) for row in small.ngrams[1]}
        assert left == {tables.text(row) for row in tables.ngrams[1]} - gone


def test_a_threshold_of_nonsense():
    for threshold in (-1.0, math.nan):
        with pytest.raises(ConfigError, match="use one of at least 0"):
            prune_by_entropy(trained(), threshold)
