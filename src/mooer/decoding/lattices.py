"""The best texts of a lattice: of the many paths that say one text, the best alone counts.

`lattice_to_nbest` gives the best paths, and hundreds of them differ in nothing but frames. Here
each state keeps, of the texts that reach it, the best ones with the best path of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

Costs: TypeAlias = tuple[float, float]  # of the graph, and of the sound


class Arc(NamedTuple):
    """A step of a path; 0 is no label."""

    ilabel: int
    olabel: int
    costs: Costs
    nextstate: int


class Text(NamedTuple):
    """A text by its best path."""

    labels: tuple[int, ...]
    classes: tuple[int, ...]  # input labels
    costs: Costs


class Lattice(NamedTuple):
    """An acyclic graph: the arcs of each state, and what it costs to end in it (inf: it cannot)."""

    start: int
    arcs: Sequence[Sequence[Arc]]
    finals: Sequence[Costs]


class _Token(NamedTuple):
    costs: Costs
    before: _Token | None = None
    ilabel: int = 0


def arcs_of(lattice: Any) -> Lattice:
    """A `kaldifst.Lattice` as numbers, which it tells in writing alone: six digits of each cost."""
    arcs: list[list[Arc]] = [[] for _ in range(lattice.num_states)]
    finals: list[Costs] = [(math.inf, math.inf)] * lattice.num_states
    for line in lattice.to_str(show_weight_one=True).splitlines():
        *numbers, costs = line.split()
        graph, sound = map(float, costs.split(","))
        if len(numbers) == 1:
            finals[int(numbers[0])] = graph, sound
        else:
            state, following, ilabel, olabel = map(int, numbers)
            arcs[state].append(Arc(ilabel, olabel, (graph, sound), following))
    return Lattice(lattice.start, arcs, finals)


def best_texts(lattice: Lattice, num: int) -> list[Text]:
    """The `num` cheapest texts, the cheapest first."""
    held: dict[int, dict[tuple[int, ...], _Token]] = {lattice.start: {(): _Token((0.0, 0.0))}}
    ended: dict[tuple[int, ...], _Token] = {}
    for state in _in_order(lattice):
        tokens = held.pop(state, {})
        kept = sorted(tokens.items(), key=lambda pair: sum(pair[1].costs))[:num]
        for labels, token in kept:
            for arc in lattice.arcs[state]:
                said = (*labels, arc.olabel) if arc.olabel else labels
                longer = _Token(_add(token.costs, arc.costs), token, arc.ilabel)
                _keep(held.setdefault(arc.nextstate, {}), said, longer)
            if math.isfinite(sum(lattice.finals[state])):
                _keep(ended, labels, _Token(_add(token.costs, lattice.finals[state]), token))
    best = sorted(ended.items(), key=lambda pair: sum(pair[1].costs))[:num]
    return [Text(labels, _classes(token), token.costs) for labels, token in best]


def _add(one: Costs, other: Costs) -> Costs:
    return one[0] + other[0], one[1] + other[1]


def _keep(tokens: dict[tuple[int, ...], _Token], labels: tuple[int, ...], token: _Token) -> None:
    known = tokens.get(labels)
    if known is None or sum(token.costs) < sum(known.costs):
        tokens[labels] = token


def _classes(token: _Token) -> tuple[int, ...]:
    found = []
    here: _Token | None = token
    while here is not None:
        if here.ilabel:
            found.append(here.ilabel)
        here = here.before
    return tuple(reversed(found))


def _in_order(lattice: Lattice) -> list[int]:
    """Its states, each before those that it leads to."""
    found: list[int] = []
    seen = {lattice.start}
    stack = [(lattice.start, iter(lattice.arcs[lattice.start]))]
    while stack:
        state, steps = stack[-1]
        arc = next(steps, None)
        if arc is None:
            stack.pop()
            found.append(state)
        elif arc.nextstate not in seen:
            seen.add(arc.nextstate)
            stack.append((arc.nextstate, iter(lattice.arcs[arc.nextstate])))
    return found[::-1]
