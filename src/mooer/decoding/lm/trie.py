"""An n-gram model in memory: a prefix tree in sorted arrays, asked through bisection.

Nodes are n-grams, all in one numbering: those of order 1 by their ids, then order 2, … each order
sorted by context and last word, so that the words that may follow a context lie side by side and
bisection finds one of them. Of each node:

    words     its last word
    probs     log10 of its probability
    afters    the node that remains as state behind it: the longest end of the n-gram that anything
              is known to follow; -1 for none
    and, if its order is not the highest,
    backoffs  log10 of its weight
    firsts    the first of the nodes that go on from it; they end where those of the next node begin
    lowers    the context to back off to: the next shorter end that matters; -1 for none

That is 12 bytes for an n-gram of the highest order and 24 for any other, 18 MB for a million of
them, beside the vocabulary (about 130 bytes a word) and the states that were met lately.
"""

from __future__ import annotations

import functools
import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.ngram import LN10, NGram, State
from mooer.decoding.lm.tables import Floats, Ids, Tables, packed
from mooer.errors import DecodeError, ModelError

NONE = -1  # no context
_MAX_KNOWN = 200_000  # states whose nodes are remembered: about 30 MB

Numbers = NDArray[Any]


@dataclass(frozen=True)
class Nodes:
    """The arrays; `ends` says where each order ends."""

    ends: tuple[int, ...]
    words: Ids  # [M]
    probs: Floats  # [M]
    afters: Ids  # [M]
    backoffs: Floats  # [I]: of the orders that are not the highest
    firsts: Ids  # [I + 1]
    lowers: Ids  # [I]

    @property
    def num_bytes(self) -> int:
        """What they take."""
        arrays = (self.words, self.probs, self.afters, self.backoffs, self.firsts, self.lowers)
        return sum(array.nbytes for array in arrays)


class TrieNGram(NGram):
    """A model in sorted arrays; made by `trie_of`, or read from a file that holds them."""

    def __init__(self, units: tuple[str, ...], nodes: Nodes) -> None:
        super().__init__(len(nodes.ends), {unit: i for i, unit in enumerate(units)})
        self.units = units
        self.nodes = nodes
        # One item of a memoryview is read three times as quickly as one of an array.
        self._words = nodes.words.data
        self._probs = nodes.probs.data
        self._afters = nodes.afters.data
        self._backoffs = nodes.backoffs.data
        self._firsts = nodes.firsts.data
        self._lowers = nodes.lowers.data
        self._forget()

    @property
    def counts(self) -> tuple[int, ...]:
        """See `NGram.counts`."""
        return tuple(np.diff(self.nodes.ends, prepend=0).tolist())

    def score(self, state: State, word: int) -> tuple[float, State]:
        """See `NGram.score`."""
        node = self._known.get(state)
        if node is None:
            node = self._node(state)
        total = 0.0
        words, firsts = self._words, self._firsts
        while node >= 0:
            end = firsts[node + 1]
            place = bisect_left(words, word, firsts[node], end)
            if place < end and words[place] == word:
                break
            total += self._backoffs[node]
            node = self._lowers[node]
        else:
            if not 0 <= word < self.nodes.ends[0]:
                raise DecodeError(f"{word} is the id of no unit of the language model")
            place = word
        after = self._afters[place]
        following = self._states.get(after)
        if following is None:
            following = self._remember(after, (*state, word))
        return (total + self._probs[place]) * LN10, following

    def log10_probs(self, nodes: Numbers, words: Numbers) -> Numbers:
        """log10 of p(word | context) for many at once: nodes [N] (-1: none) and words [N]."""
        contexts = np.array(nodes, np.int64)
        found = np.zeros(len(contexts))
        waiting = np.arange(len(contexts))
        size = self.nodes.ends[0]
        while len(waiting):
            at, word = contexts[waiting], words[waiting].astype(np.int64)
            places = np.where(at < 0, word, _found(self._keys, at * size + word, size))
            hit = places >= 0
            found[waiting[hit]] += self.nodes.probs[places[hit]]
            waiting, at = waiting[~hit], at[~hit]
            found[waiting] += self.nodes.backoffs[at]
            contexts[waiting] = self.nodes.lowers[at]
        return found

    def contexts(self, histories: Numbers) -> Numbers:
        """For `log10_probs`, the nodes [N] of the longest ends of histories [N, L] that are there.

        L is at most the order less 1.
        """
        size, width = self.nodes.ends[0], histories.shape[1]
        found = np.full(len(histories), NONE, np.int64)
        for begin in range(width):
            node = histories[:, begin].astype(np.int64)
            for column in range(begin + 1, width):
                node = _found(self._keys, node * size + histories[:, column], size)
            found = np.where(found < 0, node, found)
        return found

    @functools.cached_property
    def _keys(self) -> Numbers:
        """Of the nodes behind the unigrams: the node of the context times V, and the last word."""
        nodes = self.nodes
        parents = np.repeat(np.arange(len(nodes.backoffs)), np.diff(nodes.firsts))
        return parents * nodes.ends[0] + nodes.words[nodes.ends[0] :]

    def tables(self) -> Tables:
        """The model order by order."""
        nodes = self.nodes
        ngrams = [nodes.words[: nodes.ends[0], None]]
        for begin, end in itertools.pairwise((0, *nodes.ends[:-1])):
            sizes = np.diff(nodes.firsts[begin : end + 1])
            before = np.repeat(ngrams[-1], sizes, axis=0)
            there = nodes.words[nodes.firsts[begin] : nodes.firsts[end], None]
            ngrams.append(np.hstack([before, there]))
        cuts = (0, *nodes.ends)
        return Tables(
            self.units,
            tuple(ngrams),
            tuple(nodes.probs[a:b] for a, b in itertools.pairwise(cuts)),
            tuple(nodes.backoffs[a:b] for a, b in itertools.pairwise(cuts[:-1])),
        )

    def _node(self, state: State) -> int:
        """The node of a state: of its longest end that is a context."""
        for begin in range(max(0, len(state) - self.order + 1), len(state)):
            node = state[begin]
            for word in state[begin + 1 :]:
                end = self._firsts[node + 1]
                place = bisect_left(self._words, word, self._firsts[node], end)
                if place == end or self._words[place] != word:
                    break
                node = place
            else:
                return node
        return NONE

    def _remember(self, node: int, words: State) -> State:
        """The state of a node, which is the end of `words`."""
        if len(self._states) >= _MAX_KNOWN:
            self._forget()
        length = bisect_right(self.nodes.ends, node) + 1 if node >= 0 else 0
        state = words[len(words) - length :]
        self._known[state] = node
        self._states[node] = state
        return state

    def _forget(self) -> None:
        self._known: dict[State, int] = {(): NONE}
        self._states: dict[int, State] = {NONE: ()}


def trie_of(tables: Tables, where: str = "the model") -> TrieNGram:
    """A model for scoring. ModelError for an n-gram that is there twice or lacks its context."""
    keys = np.zeros(0, np.int64)  # of a node: the number of its context times V, and its last word
    parents, words, probs = [], [np.arange(len(tables.units), dtype=np.int32)], [tables.probs[0]]
    backoffs = list(tables.backoffs[:1])
    size = len(tables.units)
    ends = [size]
    for ngrams, log10 in zip(tables.ngrams[1:], tables.probs[1:], strict=True):
        order = ngrams.shape[1]
        context = ngrams[:, 0].astype(np.int64)
        for column in range(1, order - 1):
            context = _found(keys, context * size + ngrams[:, column], size)
        _refuse(tables, ngrams[context < 0], f"{where} has no context of")
        new = context * size + ngrams[:, -1]
        sorting = np.argsort(new, kind="stable")
        new = new[sorting]
        _refuse(tables, ngrams[sorting[1:][new[1:] == new[:-1]]], f"{where} has twice")
        keys = np.concatenate([keys, new])
        parents.append(new // size)
        words.append((new % size).astype(np.int32))
        probs.append(log10[sorting])
        if order < tables.order:
            backoffs.append(tables.backoffs[order - 1][sorting])
        ends.append(ends[-1] + len(new))
    inner = ends[-2] if len(ends) > 1 else 0
    weights = np.concatenate(backoffs) if inner else np.zeros(0, np.float32)
    children = np.bincount(np.concatenate([np.zeros(0, np.int64), *parents]), minlength=inner)
    lowers, afters = _links(keys, np.concatenate(words), children, weights, ends)
    nodes = Nodes(
        tuple(ends),
        packed(np.concatenate(words), "<i4"),
        packed(np.concatenate(probs), "<f4"),
        packed(afters, "<i4"),
        packed(weights, "<f4"),
        packed(size + np.concatenate([[0], np.cumsum(children)]), "<i4"),
        packed(lowers, "<i4"),
    )
    return TrieNGram(tables.units, nodes)


def _found(keys: Numbers, wanted: Numbers, offset: int) -> Numbers:
    """The nodes with these keys, -1 for those that are not there."""
    places = np.searchsorted(keys, wanted)
    inside = np.minimum(places, max(0, len(keys) - 1))
    hit = (keys[inside] == wanted) & (wanted >= 0) if len(keys) else np.zeros(len(wanted), bool)
    return np.where(hit, places + offset, NONE)


def _links(
    keys: Numbers, words: Ids, children: Numbers, weights: Floats, ends: list[int]
) -> tuple[Numbers, Numbers]:
    """`lowers` and `afters` of all nodes, order by order: longer ones follow from shorter ones."""
    size = ends[0]
    suffixes = np.full(ends[-1], NONE, np.int64)  # the longest end that is a node
    afters = np.full(ends[-1], NONE, np.int64)
    matters = (children > 0) | (weights != 0)
    inner = len(children)
    lowers = np.full(inner, NONE, np.int64)
    begin = 0
    for end in ends:
        if begin:
            contexts = suffixes[keys[begin - size : end - size] // size]
            last = words[begin:end]
            suffixes[begin:end] = last  # where no longer one is found
            waiting = np.flatnonzero(contexts >= 0)
            while len(waiting):
                found = _found(keys, contexts[waiting] * size + last[waiting], size)
                suffixes[begin + waiting[found >= 0]] = found[found >= 0]
                waiting = waiting[found < 0]
                contexts[waiting] = suffixes[contexts[waiting]]
                waiting = waiting[contexts[waiting] >= 0]
        below = suffixes[begin:end]
        shorter = np.where(below >= 0, afters[below], NONE)
        if end <= inner:
            lowers[begin:end] = shorter
            afters[begin:end] = np.where(matters[begin:end], np.arange(begin, end), shorter)
        else:
            afters[begin:end] = shorter
        begin = end
    return lowers, afters


def _refuse(tables: Tables, ngrams: Ids, what: str) -> None:
    if len(ngrams):
        raise ModelError(f"{what} the n-gram {tables.text(ngrams[0])!r}: make the file again")
