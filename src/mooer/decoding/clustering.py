"""Vectors into groups: average linkage, cut at a distance or at a number of groups.

The two nearest groups are joined again and again; how far apart two groups are is the mean distance
of their members (UPGMA, Sokal and Michener 1958). Distances are cosine distances, 0 to 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Join:
    """Two groups that became one: `second` was taken into `first`, each named by a member."""

    first: int
    second: int
    distance: float


def linkage(vectors: Floats, weights: Floats | None = None) -> tuple[Join, ...]:
    """The N - 1 joins of vectors [N, D] of unit length, the nearest first.

    `weights` [N], above 0, say how much each vector counts in the mean of its group. Memory is
    that of one matrix [N, N]; time goes with its size.
    """
    num = len(vectors)
    sizes = np.ones(num, np.float32) if weights is None else weights.astype(np.float32)
    apart = 1.0 - vectors @ vectors.T
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1) if num else np.zeros(0, np.int64)
    least = apart[np.arange(num), nearest]
    joins: list[Join] = []
    for _ in range(num - 1):
        a = int(least.argmin())
        b = int(nearest[a])
        joins.append(Join(a, b, float(least[a])))
        row = (sizes[a] * apart[a] + sizes[b] * apart[b]) / (sizes[a] + sizes[b])
        sizes[a] += sizes[b]
        row[[a, b]] = np.inf
        apart[a], apart[:, a] = row, row
        apart[b], apart[:, b] = np.inf, np.inf
        least[b] = np.inf
        for i in np.flatnonzero((nearest == a) | (nearest == b)).tolist():
            if np.isfinite(least[i]) or i == a:
                nearest[i] = apart[i].argmin()
                least[i] = apart[i, nearest[i]]
        closer = row < least
        nearest[closer], least[closer] = a, row[closer]
    return tuple(joins)


def cut(joins: Sequence[Join], *, distance: float | None = None, num: int | None = None) -> Labels:
    """Labels [N], 0, 1 … by first member: groups at least `distance` apart, or `num` of them.

    With both, `num` groups at most, of which those nearer than `distance` are one.

    >>> vectors = np.array([[1, 0], [0, 1], [0.99, 0.14]], np.float32)
    >>> cut(linkage(vectors), distance=0.5).tolist(), cut(linkage(vectors), num=3).tolist()
    ([0, 1, 0], [0, 1, 2])
    """
    num_vectors = len(joins) + 1
    group = np.arange(num_vectors)
    for done, join in enumerate(joins):
        too_many = num is not None and num_vectors - done > num
        near = distance is not None and join.distance < distance
        if not (too_many or near):
            break
        group[group == group[join.second]] = group[join.first]
    return numbered(group)


def numbered(labels: NDArray[np.int64]) -> Labels:
    """The same groups as 0, 1 … in the order in which they first come.

    >>> numbered(np.array([7, 3, 7, 9])).tolist()
    [0, 1, 0, 2]
    """
    _, first, places = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    found: Labels = rank[places]
    return found


def centres(vectors: Floats, labels: Labels, weights: Floats | None = None) -> Floats:
    """Mean direction [C, D] of each group, of unit length."""
    weighted = vectors if weights is None else vectors * weights[:, None]
    sums = np.zeros((int(labels.max(initial=-1)) + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, labels, weighted)
    norm = np.linalg.norm(sums, axis=1, keepdims=True)
    found: Floats = sums / np.where(norm > 0, norm, np.float32(1))
    return found
