"""CTC: the greedy text, and the steady one against every path there is."""

import itertools

import numpy as np
import pytest

from mooer.decoding.ctc import greedy, steady


def log_probs(num_frames, num_classes, seed, sharpness=2.0):
    logits = np.random.default_rng(seed).normal(size=(num_frames, num_classes)) * sharpness
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def said(path, blank):
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != blank)


@pytest.mark.parametrize("cost", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_changes_cost_what_they_cost(cost, seed):
    rows = log_probs(6, 3, seed)

    def score(path):
        changes = sum(a != b for a, b in itertools.pairwise(path))
        return sum(rows[i, unit] for i, unit in enumerate(path)) - cost * changes

    best = max(itertools.product(range(3), repeat=len(rows)), key=score)
    assert [one.unit for one in steady(rows, 1, cost)] == list(said(best, 1))
    assert steady(rows, 1, 0.0) == greedy(rows, 1)
    assert steady(rows[:0], 1, cost) == []


def test_the_greedy_text_is_the_best_path_and_says_where():
    rows = log_probs(40, 5, seed=1, sharpness=4.0)
    found = greedy(rows, 0)
    path = rows.argmax(1)
    assert tuple(one.unit for one in found) == said(path.tolist(), 0)
    for one in found:
        assert (path[one.start : one.end] == one.unit).all()
        assert one.logprob == rows[one.start : one.end, one.unit].max()
    assert greedy(rows[:0], 0) == []
