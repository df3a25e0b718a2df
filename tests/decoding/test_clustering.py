import numpy as np
import pytest

from mooer.decoding.clustering import centres, cut, linkage, numbered


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def around(num_groups, each, spread, seed=0, width=16):
    generator = np.random.default_rng(seed)
    middles = unit(generator.normal(size=(num_groups, width)))
    rows = np.repeat(middles, each, axis=0) + generator.normal(
        0, spread, (num_groups * each, width)
    )
    return unit(rows), np.repeat(np.arange(num_groups), each)


def slow_linkage(vectors):
    """Mean distance of all pairs, by the book."""
    groups, apart = [[i] for i in range(len(vectors))], 1 - vectors @ vectors.T
    heights, states = [], []
    while len(groups) > 1:
        pairs = [
            (np.mean([apart[a, b] for a in x for b in y]), i, j)
            for i, x in enumerate(groups)
            for j, y in enumerate(groups)
            if i < j
        ]
        height, i, j = min(pairs)
        groups[i] += groups.pop(j)
        heights.append(height)
        states.append(sorted(sorted(group) for group in groups))
    return heights, states


def test_it_is_the_slow_way_made_quick():
    vectors, _ = around(3, 8, 0.4)
    heights, states = slow_linkage(vectors)
    joins = linkage(vectors)
    np.testing.assert_allclose([join.distance for join in joins], heights, atol=1e-6)
    for num in range(1, 24):
        labels = cut(joins, num=num)
        found = sorted(np.flatnonzero(labels == k).tolist() for k in range(num))
        assert found == states[24 - num - 1]


def test_a_weight_is_as_many_of_the_same():
    vectors, _ = around(2, 4, 0.5, seed=3)
    weights = np.array([1, 3, 1, 2, 1, 1, 2, 1], np.float32)
    many = linkage(np.repeat(vectors, weights.astype(int), axis=0))
    few = linkage(vectors, weights)
    heights = [join.distance for join in many if join.distance > 1e-6]
    np.testing.assert_allclose([join.distance for join in few], heights, atol=1e-5)


@pytest.mark.parametrize("num_groups", [1, 2, 5])
def test_groups_far_apart_are_found(num_groups):
    vectors, truth = around(num_groups, 9, 0.05)
    order = np.random.default_rng(1).permutation(len(truth))
    labels = cut(linkage(vectors[order]), distance=0.3)
    np.testing.assert_array_equal(labels, numbered(truth[order]))
    middles = centres(vectors[order], labels)
    assert middles.shape == (num_groups, 16)
    np.testing.assert_allclose(np.linalg.norm(middles, axis=1), 1, atol=1e-6)


def test_more_groups_than_there_are():
    vectors, truth = around(2, 6, 0.02)
    joins = linkage(vectors)
    assert cut(joins, num=5).max() == 4
    np.testing.assert_array_equal(cut(joins, num=5, distance=0.1), truth)
    assert cut(joins, num=1, distance=0.1).max() == 0


def test_one_and_none():
    assert linkage(np.ones((1, 4), np.float32) / 2) == ()
    assert cut((), distance=0.5).tolist() == [0]
    assert centres(np.zeros((0, 4), np.float32), np.zeros(0, np.int64)).shape == (0, 4)


def test_those_who_are_alike_are_one():
    vectors = np.repeat(unit(np.ones((1, 8))), 20, axis=0)
    assert cut(linkage(vectors), distance=0.01).max() == 0
