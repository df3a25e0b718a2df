"""Modified Kneser-Ney smoothing, interpolated (Chen & Goodman 1998, "An Empirical Study of
Smoothing Techniques for Language Modeling", section 3 and equations 26 and 27).

With a(h w) the count of an n-gram of the highest order, or of one that begins with <s>, and else
the number of units that stand before it in the text (its adjusted count):

    p(w | h) = (a(h w) - D(a(h w))) / sum_v a(h v)  +  gamma(h) p(w | h without its first unit)
    gamma(h) = sum_v D(a(h v)) / sum_v a(h v)

and, below the unigrams, a uniform distribution over all units but <s>. Of n-grams with the adjusted
count j there are n_j, Y = n_1 / (n_1 + 2 n_2), and the discount of each order is

    D(j) = j - (j + 1) Y n_{j+1} / n_j   for j = 1, 2;   D(3) of all greater ones as well

An n-gram that is left out since it is too rare gives its whole a(h w) to gamma(h), so that the sum
stays 1. This is what KenLM's `lmplz` computes (Heafield et al. 2013).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.counts import BOS_ID, Counts
from mooer.decoding.lm.tables import Tables
from mooer.errors import ConfigError

logger = logging.getLogger(__name__)

FALLBACK = (0.5, 1.0, 1.5)  # discounts where the counts of counts give none
_LEAST = 1e-99  # a weight is 0 where a discount is, and its logarithm must be a number
Discounts: TypeAlias = tuple[float, float, float]  # of the adjusted counts 1, 2, and 3 or more
Numbers: TypeAlias = NDArray[Any]


@dataclass(frozen=True)
class _Level:
    """The n-grams of an order as the text has them, sorted by their ends.

    Unigrams are all units, by id.
    """

    rows: Numbers  # [n, k]
    counts: Numbers  # [n] in the text
    adjusted: Numbers  # [n]
    suffixes: Numbers  # [n]: which n-gram of the order below each of them ends in


def estimate(counts: Counts, prune: tuple[int, ...] = (0,)) -> tuple[Tables, list[Discounts]]:
    """A model from counts, and the discounts of its orders.

    N-grams of order k that come at most `prune[k - 1]` times are left out; the last number is for
    all longer ones too. ConfigError if the numbers fall, or unigrams were to be left out.
    """
    order = counts.ngrams.shape[1]
    limits = prune_limits(prune, order)
    levels = _levels(counts)
    contexts = _contexts(levels)
    probs: list[Numbers] = []
    weights: list[Numbers] = []
    discounts: list[Discounts] = []
    for k, level in enumerate(levels, 1):
        discounts.append(_discounts(level, k))
        table = np.array([0.0, *discounts[-1]])
        taken = table[np.minimum(level.adjusted, 3)]
        taken = np.where(level.counts > limits[k - 1], taken, level.adjusted)
        if k == 1:
            prob, weight = _unigrams(level, taken)
        else:
            size = len(levels[k - 2].rows)
            totals = np.bincount(contexts[k - 1], level.adjusted, size)
            freed = np.bincount(contexts[k - 1], taken, size)
            weight = np.divide(freed, totals, out=np.ones(size), where=totals > 0)
            own = (level.adjusted - taken) / totals[contexts[k - 1]]
            prob = own + weight[contexts[k - 1]] * probs[-1][level.suffixes]
            weights.append(weight)
        probs.append(prob)
    kept = [level.counts > limit for level, limit in zip(levels, limits, strict=True)]
    kept[0][:] = True
    tables = Tables(
        counts.units,
        tuple(level.rows[k].astype(np.int32) for level, k in zip(levels, kept, strict=True)),
        tuple(_log10(prob[k]) for prob, k in zip(probs, kept, strict=True)),
        tuple(_log10(weight[k]) for weight, k in zip(weights, kept[:-1], strict=True)),
    )
    return tables, discounts


def prune_limits(prune: tuple[int, ...], order: int) -> list[int]:
    """The limit of each order. ConfigError if they are none.

    >>> prune_limits((0, 0, 1), 4)
    [0, 0, 1, 1]
    """
    if not prune or prune[0] != 0:
        raise ConfigError(f"pruning {prune} would leave out unigrams: begin with 0, or use --vocab")
    if len(prune) > order or list(prune) != sorted(prune):
        raise ConfigError(
            f"pruning {prune} does not fit order {order}: give at most one number an order, none "
            "below the one before it"
        )
    return [*prune, *[prune[-1]] * (order - len(prune))]


def _levels(counts: Counts) -> list[_Level]:
    """All orders, the unigrams first, each from the one above it."""
    rows, number = counts.ngrams, counts.counts
    size = len(counts.units)
    adjusted = number
    levels: list[_Level] = []
    while rows.shape[1] > 1:
        changes = (rows[1:, 1:] != rows[:-1, 1:]).any(axis=1)
        firsts = np.flatnonzero(np.concatenate([[True], changes]))
        suffixes = np.cumsum(np.concatenate([[0], changes]))
        below = rows[firsts, 1:]
        # What begins with two <s> is no n-gram of this order, but one of a lower order.
        real_below = _is_real(below)
        renumbered = np.cumsum(real_below) - 1
        real = _is_real(rows)
        ends = below[suffixes[real], 0] if below.shape[1] == 1 else renumbered[suffixes[real]]
        levels.append(_Level(rows[real], number[real], adjusted[real], ends))
        number_below = np.add.reduceat(number, firsts)
        num_before = np.diff(np.append(firsts, len(rows)))
        adjusted = np.where(below[:, 0] == BOS_ID, number_below, num_before)
        rows, number = below, number_below
    every = np.zeros((2, size), np.int64)
    every[0, rows[:, 0]], every[1, rows[:, 0]] = number, adjusted
    units = np.arange(size)[:, None]
    levels.append(_Level(units, every[0], every[1], np.zeros(size, np.int64)))
    return levels[::-1]


def _is_real(rows: Numbers) -> Numbers:
    if rows.shape[1] == 1:
        return np.ones(len(rows), bool)
    found: Numbers = (rows[:, 0] != BOS_ID) | (rows[:, 1] != BOS_ID)
    return found


def _contexts(levels: list[_Level]) -> list[Numbers]:
    """Which n-gram of the order below each of them begins with."""
    size = len(levels[0].rows)
    found = [np.zeros(size, np.int64)]
    for k, level in enumerate(levels[1:], 2):
        if k == 2:
            found.append(level.rows[:, 0].astype(np.int64))
            continue
        below = levels[k - 2]
        keys = below.suffixes.astype(np.int64) * size + below.rows[:, 0]  # sorted, as the rows are
        wanted = found[-1][level.suffixes] * size + level.rows[:, 0]
        found.append(np.searchsorted(keys, wanted))
    return found


def _unigrams(level: _Level, taken: Numbers) -> tuple[Numbers, Numbers]:
    total = level.adjusted.sum()
    weight = taken.sum() / total
    prob = (level.adjusted - taken) / total + weight / (len(level.rows) - 1)
    prob[BOS_ID] = 1.0  # it is given; nothing else is to lose by it
    return prob, np.ones(len(prob))


def _discounts(level: _Level, order: int) -> Discounts:
    n = np.bincount(level.adjusted[level.adjusted < 5], minlength=5)
    if n[1:4].all():
        y = n[1] / (n[1] + 2 * n[2])
        found = tuple(float(j - (j + 1) * y * n[j + 1] / n[j]) for j in (1, 2, 3))
        if all(0 <= discount <= j for j, discount in enumerate(found, 1)):
            return found[0], found[1], found[2]
    logger.warning(
        "order %d: %d, %d and %d n-grams have the adjusted counts 1, 2 and 3, too few for "
        "discounts of their own; taken are %g, %g and %g",
        *(order, *n[1:4].tolist(), *FALLBACK),
    )
    return FALLBACK


def _log10(values: Numbers) -> NDArray[np.float32]:
    return np.clip(np.log10(np.maximum(values, _LEAST)), None, 0).astype(np.float32)
