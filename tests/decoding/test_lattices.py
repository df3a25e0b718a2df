"""The best texts of a lattice against all of its paths."""

import itertools
import math

import numpy as np
import pytest

from mooer.decoding.lattices import Arc, Lattice, best_texts

NO_END = (math.inf, math.inf)


def drawn(seed, layers=5, width=3):
    """States in layers, in an order that is not theirs; labels repeat, so that texts do."""
    random = np.random.default_rng(seed)
    names = random.permutation(layers * width + 1).tolist()
    start, rest = names[0], np.reshape(names[1:], (layers, width)).tolist()
    arcs = [[] for _ in names]
    finals = [NO_END] * len(names)

    def step(a, b):
        ilabel, olabel = (int(random.integers(low, 3)) for low in (1, 0))
        arcs[a].append(Arc(ilabel, olabel, tuple(random.random(2).tolist()), b))

    for b in rest[0]:
        step(start, b)
    for one, other in itertools.pairwise(rest):
        for a, b in itertools.product(one, other):
            step(a, b)
    finals[rest[-1][0]] = (0.5, 0.0)
    finals[rest[-1][1]] = (0.0, 0.0)
    return Lattice(start, arcs, finals)


def every_text(lattice):
    """Each text with the cost of its cheapest path, and that path."""
    best = {}

    def walk(state, labels, classes, cost):
        end = cost + sum(lattice.finals[state])
        if math.isfinite(end) and end < best.get(labels, (math.inf, ()))[0]:
            best[labels] = end, classes
        for arc in lattice.arcs[state]:
            said = (*labels, arc.olabel) if arc.olabel else labels
            walk(arc.nextstate, said, (*classes, arc.ilabel), cost + sum(arc.costs))

    walk(lattice.start, (), (), 0.0)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_the_best_texts_are_those_of_all_paths(seed):
    lattice = drawn(seed)
    wanted = every_text(lattice)
    order = sorted(wanted, key=lambda labels: wanted[labels][0])
    found = best_texts(lattice, 10**6)
    assert [one.labels for one in found] == order
    for one in found:
        cost, classes = wanted[one.labels]
        assert sum(one.costs) == pytest.approx(cost)
        assert one.classes == classes
    assert [one.labels for one in best_texts(lattice, 1)] == order[:1]


def test_a_lattice_without_an_end_says_nothing():
    lattice = drawn(0)
    assert best_texts(lattice._replace(finals=[NO_END] * len(lattice.finals)), 3) == []
