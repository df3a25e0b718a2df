"""Graphs of what can be heard: CTC topology T, lexicon L, grammar G, and T ∘ min(det(L ∘ G)).

They are transducers with costs (Mohri et al. 2002, "Weighted finite-state transducers in speech
recognition"), built here arc by arc and composed by `kaldifst`. Labels are numbers: 0 is no label,
a class of the acoustic model is one more, an id of the LM is one more; disambiguation symbols
come after the classes. The first of them, #0, stands on back-off arcs, and comes after the ids too.

T follows CTC with O(V) arcs, as WeNet's: two of the same unit in a row need no blank between them.
With `exact_repeats` they do, for V² arcs: for small vocabularies.
"""

from __future__ import annotations

import functools
import itertools
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mooer.decoding.lm.ngram import BOS, EOS, LN10, UNKNOWN
from mooer.decoding.lm.tables import Tables
from mooer.errors import ConfigError, MissingExtra, listed

logger = logging.getLogger(__name__)

_SPECIAL = (BOS, EOS, UNKNOWN)


@dataclass(frozen=True)
class GraphOptions:
    """What is built into the costs."""

    lm_weight: float = 1.0  # λ of `decoding.fusion`
    length_bonus: float = 0.0  # β, natural log a word
    change_cost: float = 0.0  # nats that a path loses where its class changes
    exact_repeats: bool = False  # two of one unit need a blank between them; V² arcs

    def __post_init__(self) -> None:
        if not 0 <= self.lm_weight < math.inf or not math.isfinite(self.length_bonus):
            raise ConfigError(
                f"a graph needs lm_weight of at least 0 and a finite bonus, got {self}"
            )
        if not 0 <= self.change_cost < math.inf:
            raise ConfigError(f"change_cost must be at least 0, got {self.change_cost}")


@dataclass(frozen=True)
class Lexicon:
    """How words are spelled in classes of the acoustic model; `unspelled` cannot be."""

    spellings: tuple[tuple[str, tuple[int, ...]], ...]
    unspelled: tuple[str, ...] = ()


def spell_words(words: Iterable[str], spell: Callable[[str], Sequence[int]]) -> Lexicon:
    """The words of an LM, its own symbols left out; ConfigError if none can be spelled."""
    found: list[tuple[str, tuple[int, ...]]] = []
    missing: list[str] = []
    for word in words:
        if word in _SPECIAL:
            continue
        units = tuple(spell(word))
        if units:
            found.append((word, units))
        else:
            missing.append(word)
    if not found:
        raise ConfigError(
            f"no word of the LM can be spelled with the model's units ({listed(missing)}): take an "
            "LM of a language that the model knows"
        )
    if missing:
        logger.warning("words that the model cannot spell are left out: %s", listed(missing))
    return Lexicon(tuple(found), tuple(missing))


def compose_graph(
    tables: Tables, lexicon: Lexicon, num_classes: int, blank: int, options: GraphOptions
) -> Any:
    """The whole graph, a `kaldifst.StdVectorFst`. MissingExtra without the package."""
    fst = _kaldifst()
    spellings = _disambiguated(lexicon)
    num_symbols = 1 + max(symbol for _, _, symbol in spellings)  # #0, #1 …
    first_symbol = num_classes + 1
    words = {word for word, _ in lexicon.spellings}
    grammar = build_grammar(tables, words, options)
    lexical = _build_lexicon(spellings, tables, first_symbol)
    fst.arcsort(lexical, "olabel")
    fst.arcsort(grammar, "ilabel")
    joined = _mutable(fst, fst.compose(lexical, grammar))
    if joined.num_states == 0 or joined.start < 0:
        raise ConfigError("the lexicon and the LM share no sentence: the LM must know the words")
    fst.determinize_star(joined)
    fst.minimize_encoded(joined)
    fst.arcsort(joined, "ilabel")
    topology = build_topology(num_classes, blank, options)
    symbols = [first_symbol + i for i in range(num_symbols)]
    fst.add_self_loops(topology, [0] * num_symbols, symbols)
    fst.arcsort(topology, "olabel")
    whole = _mutable(fst, fst.compose(topology, joined))
    fst.arcsort(whole, "ilabel")
    return whole


def build_topology(num_classes: int, blank: int, options: GraphOptions) -> Any:
    """T: paths of classes in, units out; blanks and repeats are left out."""
    fst = _kaldifst()
    units = [one for one in range(num_classes) if one != blank]
    cost = options.change_cost
    graph = fst.StdVectorFst()
    silent, said = graph.add_state(), graph.add_state()  # in blanks; after a unit
    graph.start = silent
    places = {unit: graph.add_state() for unit in units}
    for state in (silent, said, *places.values()):
        graph.set_final(state, 0.0)
    _arc(graph, silent, blank + 1, 0, 0.0, silent)
    for unit in units:
        here = places[unit]
        _arc(graph, silent, unit + 1, unit + 1, cost, here)
        _arc(graph, here, unit + 1, 0, 0.0, here)
        if options.exact_repeats:
            _arc(graph, here, blank + 1, 0, cost, silent)
            for other in units:
                if other != unit:
                    _arc(graph, here, other + 1, other + 1, cost, places[other])
        else:
            _arc(graph, here, 0, 0, 0.0, said)
            _arc(graph, said, unit + 1, unit + 1, cost, here)
    if not options.exact_repeats:
        _arc(graph, said, blank + 1, 0, cost, silent)
    return graph


def build_grammar(tables: Tables, words: set[str], options: GraphOptions) -> Any:
    """G: words in and out, at -λ ln p - β each; back-off by #0, the end of a sentence as final.

    A word that is not in `words` has no arc, and so no sentence holds it.
    """
    fst = _kaldifst()
    graph = fst.StdVectorFst()
    ids = {name: place for place, name in enumerate(tables.units)}
    known = [name in words for name in tables.units]
    states: dict[tuple[int, ...], int] = {(): graph.add_state()}
    for ngrams in tables.ngrams[:-1]:  # an n-gram of the highest order is no history
        for gram in map(tuple, ngrams.tolist()):
            if gram[-1] != ids[EOS] and gram[-1] != ids[UNKNOWN]:
                states[gram] = graph.add_state()
    graph.start = states.get((ids[BOS],), states[()])
    for order, (ngrams, probs) in enumerate(zip(tables.ngrams, tables.probs, strict=True), 1):
        backs = tables.backoffs[order - 1].tolist() if order < tables.order else ()
        pairs = itertools.zip_longest(map(tuple, ngrams.tolist()), probs.tolist(), backs)
        for gram, prob, back in pairs:
            cost = -options.lm_weight * LN10 * prob
            here, word = states.get(gram[:-1]), gram[-1]
            if here is not None and word == ids[EOS]:
                graph.set_final(here, cost)
            elif here is not None and known[word]:
                after = _longest(gram, states)
                _arc(graph, here, word + 1, word + 1, cost - options.length_bonus, after)
            if back is not None and gram in states:
                cost = -options.lm_weight * LN10 * back
                _arc(graph, states[gram], _back_off(tables), 0, cost, _longest(gram[1:], states))
    fst.connect(graph)
    return graph


def _longest(gram: tuple[int, ...], states: dict[tuple[int, ...], int]) -> int:
    """The state of the longest end of an n-gram that has one."""
    while gram not in states:
        gram = gram[1:]
    return states[gram]


def _disambiguated(lexicon: Lexicon) -> list[tuple[str, tuple[int, ...], int]]:
    """Each spelling with the number of a symbol that tells it apart from others, or 0.

    It needs one if another word is spelled the same, or begins so.
    """
    counts = Counter(units for _, units in lexicon.spellings)
    beginnings = {units[:k] for units in counts for k in range(1, len(units))}
    used: Counter[tuple[int, ...]] = Counter()
    found: list[tuple[str, tuple[int, ...], int]] = []
    for word, units in lexicon.spellings:
        if counts[units] > 1 or units in beginnings:
            used[units] += 1
            found.append((word, units, used[units]))
        else:
            found.append((word, units, 0))
    return found


def _build_lexicon(
    spellings: Iterable[tuple[str, tuple[int, ...], int]], tables: Tables, first_symbol: int
) -> Any:
    """L: units in, words out, from one state back to it; #0 passes through."""
    graph = _kaldifst().StdVectorFst()
    loop = graph.add_state()
    graph.start = loop
    graph.set_final(loop, 0.0)
    ids = {name: place for place, name in enumerate(tables.units)}
    for word, units, symbol in spellings:
        labels = [unit + 1 for unit in units] + ([first_symbol + symbol] if symbol else [])
        here = loop
        for place, label in enumerate(labels):
            last = place == len(labels) - 1
            after = loop if last else graph.add_state()
            _arc(graph, here, label, 0 if place else ids[word] + 1, 0.0, after)
            here = after
    _arc(graph, loop, first_symbol, _back_off(tables), 0.0, loop)
    return graph


def _back_off(tables: Tables) -> int:
    """#0 among the words."""
    return len(tables.units) + 1


def _arc(graph: Any, source: int, ilabel: int, olabel: int, cost: float, target: int) -> None:
    graph.add_arc(source, _kaldifst().StdArc(ilabel, olabel, cost, target))


def _mutable(fst: Any, graph: Any) -> Any:
    """What composition gives, as a graph that can be changed."""
    return graph if isinstance(graph, fst.StdVectorFst) else fst.StdVectorFst(graph)


@functools.cache
def _kaldifst() -> Any:
    try:
        import kaldifst
    except ImportError as error:
        raise MissingExtra("kaldifst", "wfst") from error
    return kaldifst
