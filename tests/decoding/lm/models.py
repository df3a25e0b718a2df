"""Small n-gram models, and what their probabilities are by definition."""

from __future__ import annotations

import itertools
import math

import numpy as np

from mooer.decoding.lm.tables import Tables

ARPA = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-2\t<unk>
-99\t<s>\t-0.4
-1\t</s>
-0.5\ta\t-0.25
-0.7\tb\t-0.3

\\2-grams:
-0.2\t<s> a
-0.1\ta b

\\end\\
"""
UNITS = ("<unk>", "<s>", "</s>", "a", "b")


def random_tables(seed: int, order: int, units: tuple[str, ...] = UNITS) -> Tables:
    """Some of all n-grams of each order, closed under contexts, but not under endings."""
    rng = np.random.default_rng(seed)
    ngrams = [np.arange(len(units), dtype=np.int32)[:, None]]
    for _ in range(1, order):
        every = itertools.product(ngrams[-1].tolist(), range(len(units)))
        kept = [[*context, word] for context, word in every if rng.random() < 0.4]
        ngrams.append(np.array(rng.permutation(kept), np.int32))
    probs = tuple(-rng.random(len(rows)).astype(np.float32) * 3 for rows in ngrams)
    backoffs = [-rng.random(len(rows)).astype(np.float32) for rows in ngrams[:-1]]
    for weights in backoffs:
        weights[rng.random(len(weights)) < 0.5] = 0
    return Tables(units, tuple(ngrams), probs, tuple(backoffs))


def brute_force(tables: Tables):
    """Natural log of p(word | history) as a back-off model defines it, from dictionaries."""
    probs, weights = {}, {}
    for k, rows in enumerate(tables.ngrams):
        for i, row in enumerate(rows.tolist()):
            probs[tuple(row)] = float(tables.probs[k][i])
            if k + 1 < tables.order:
                weights[tuple(row)] = float(tables.backoffs[k][i])

    def log10(history: tuple[int, ...], word: int) -> float:
        if (*history, word) in probs:
            return probs[(*history, word)]
        return weights.get(history, 0.0) + log10(history[1:], word)

    def natural(history, word):
        history = tuple(history)[max(0, len(history) - tables.order + 1) :]
        return log10(history, word) * math.log(10)

    return natural


def by_text(tables: Tables) -> dict[str, tuple[float, float]]:
    """Of each n-gram log10 of its probability and weight."""
    found = {}
    for k, rows in enumerate(tables.ngrams):
        for i, row in enumerate(rows):
            weight = float(tables.backoffs[k][i]) if k + 1 < tables.order else 0.0
            found[tables.text(row)] = (float(tables.probs[k][i]), weight)
    return found
