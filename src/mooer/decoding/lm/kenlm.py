"""Models in KenLM's binary files, asked where they lie: the file is mapped and never copied.

A search is as KenLM's: from the last word backwards to longer n-grams, as far as they are known;
then the back-off weights of the contexts that are longer. See `kenlm_file` for the layout.
"""

from __future__ import annotations

import abc
import math
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.kenlm_file import PROBING, KenlmFile, open_kenlm
from mooer.decoding.lm.ngram import LN10, NGram, State
from mooer.decoding.lm.tables import Tables, require_ends

_MAX_KNOWN = 100_000  # states whose back-off weights are remembered
_MASK = 2**64 - 1
_BY_KEY, _BY_WORD = 8978948897894561157, 17894857484156487943  # multipliers of KenLM's hash
_WORD_ENTRY, _SHORT, _LONGEST = struct.Struct("<QI"), struct.Struct("<Qff"), struct.Struct("<Qf")
_UNIGRAM, _ROOT = struct.Struct("<ff"), struct.Struct("<ffQ")
_PROB_BITS, _BACKOFF_BITS = 31, 32


# An n-gram: log10 of its probability and weight, and where longer ones are looked for: a hash, or a
# range of entries, or None where there are none. A plain tuple, since millions of them are made.
_Key: TypeAlias = "int | tuple[int, int] | None"
_Entry: TypeAlias = "tuple[float, float, _Key]"


class KenlmNGram(NGram):
    """What the two kinds of file have in common."""

    def __init__(self, file: KenlmFile, words: tuple[str, ...]) -> None:
        require_ends(words, str(file.path))
        super().__init__(len(file.counts), {word: i for i, word in enumerate(words)})
        if len(self.vocabulary) < len(words):
            file.refuse("a word is there twice")
        self.units = words
        self._file = file
        self._weights: dict[State, tuple[float, ...]] = {}

    @property
    def counts(self) -> tuple[int, ...]:
        """See `NGram.counts`."""
        return self._file.counts

    def score(self, state: State, word: int) -> tuple[float, State]:
        """See `NGram.score`."""
        prob, backoff, key = self._unigram(word)
        length = 1
        kept = 1 if _goes_on(backoff) else 0
        for before in state[: -self.order : -1]:
            entry = None if key is None else self._longer(length + 1, before, key)
            if entry is None:
                break
            prob, backoff, key = entry
            length += 1
            if length < self.order and _goes_on(backoff):
                kept = length
        if length <= len(state):
            for weight in self._backoffs(state)[length - 1 :]:
                prob += weight
        return prob * LN10, (*state, word)[len(state) + 1 - kept :]

    def _backoffs(self, state: State) -> tuple[float, ...]:
        """The weights of the last word, the last two, … of a state, as far as they are known."""
        weights = self._weights.get(state)
        if weights is None:
            if len(self._weights) >= _MAX_KNOWN:
                self._weights = {}
            weights = self._weights[state] = tuple(self._find_backoffs(state))
        return weights

    def _find_backoffs(self, state: State) -> list[float]:
        if not state:
            return []
        _, backoff, key = self._unigram(state[-1])
        weights = [backoff]
        for before in state[-2 : -self.order : -1]:
            entry = None if key is None else self._longer(len(weights) + 1, before, key)
            if entry is None:
                break
            _, backoff, key = entry
            weights.append(backoff)
        return weights

    @abc.abstractmethod
    def _unigram(self, word: int) -> _Entry: ...

    @abc.abstractmethod
    def _longer(self, order: int, before: int, key: Any) -> _Entry | None:
        """The n-gram of this order that puts a word before that of `key`, if it is known."""


class ProbingNGram(KenlmNGram):
    """A model of hash tables."""

    def __init__(self, file: KenlmFile) -> None:
        counts = file.counts
        number = struct.unpack_from("<I", file.data, file.start + 4)[0]
        place = file.start + 8 + self._buckets(file, counts[0]) * _WORD_ENTRY.size
        self._unigrams = place
        place += (counts[0] + 1) * _UNIGRAM.size
        self._tables: list[tuple[int, int, struct.Struct]] = []  # from order 2: place, buckets
        for order, count in enumerate(counts[1:], 2):
            buckets = self._buckets(file, count)
            layout = _LONGEST if order == len(counts) else _SHORT
            self._tables.append((place, buckets, layout))
            place += buckets * layout.size
        file.require(place, "the n-grams")
        if number > counts[0] + 1:
            file.refuse(f"it has {number} words and counts {counts[0]}")
        super().__init__(file, file.words(place, number))

    def _unigram(self, word: int) -> _Entry:
        prob, backoff = _UNIGRAM.unpack_from(self._file.data, self._unigrams + word * 8)
        return -abs(prob), backoff, None if _is_signed(prob) else word

    def _longer(self, order: int, before: int, key: int) -> _Entry | None:
        key = (key * _BY_KEY ^ (before + 1) * _BY_WORD) & _MASK
        place, buckets, layout = self._tables[order - 2]
        data, size = self._file.data, layout.size
        bucket = key % buckets
        for _ in range(buckets):
            found, prob, *rest = layout.unpack_from(data, place + bucket * size)
            if found == key:
                if not rest:
                    return -abs(prob), 0.0, None
                return -abs(prob), rest[0], None if _is_signed(prob) else key
            if found == 0:
                return None
            bucket = bucket + 1 if bucket + 1 < buckets else 0
        return self._file.refuse(f"its table of {order}-grams is full")

    @staticmethod
    def _buckets(file: KenlmFile, count: int) -> int:
        return max(count + 1, int(np.float32(file.multiplier) * np.float32(count)))


class PackedTrieNGram(KenlmNGram):
    """A model of a tree in bits."""

    def __init__(self, file: KenlmFile) -> None:
        counts = file.counts
        number = struct.unpack_from("<Q", file.data, file.start)[0] + 1
        place = file.start + 8 + 8 * counts[0]
        self._unigrams = place
        place += (counts[0] + 2) * _ROOT.size
        self._word_bits = counts[0].bit_length()
        self._word_mask = (1 << self._word_bits) - 1
        self._orders: list[tuple[int, int]] = []  # from 2: place, bits of an entry
        for order, count in enumerate(counts[1:], 2):
            bits = self._word_bits + _PROB_BITS
            if order < len(counts):
                bits += _BACKOFF_BITS + counts[order].bit_length()
            self._orders.append((place, bits))
            place += ((1 + count) * bits + 7) // 8 + 8
        file.require(place, "the n-grams")
        if number > counts[0]:
            file.refuse(f"it has {number} words and counts {counts[0]}")
        super().__init__(file, file.words(place, number))

    def _unigram(self, word: int) -> _Entry:
        place = self._unigrams + word * _ROOT.size
        prob, backoff, begin = _ROOT.unpack_from(self._file.data, place)
        end = _ROOT.unpack_from(self._file.data, place + _ROOT.size)[2]
        return prob, backoff, self._range(2, begin, end)

    def _longer(self, order: int, before: int, key: tuple[int, int]) -> _Entry | None:
        low, high = key
        while low < high:  # the first entry whose word is not below
            middle = (low + high) // 2
            if self._bits(order, middle) & self._word_mask < before:
                low = middle + 1
            else:
                high = middle
        bits = self._bits(order, low) if low < key[1] else 0
        if low == key[1] or bits & self._word_mask != before:
            return None
        bits >>= self._word_bits
        prob = _float(bits & (2**_PROB_BITS - 1) | 2**_PROB_BITS)
        if order == self.order:
            return prob, 0.0, None
        bits >>= _PROB_BITS
        following = self._bits(order, low + 1) >> (self._word_bits + _PROB_BITS)
        begin, end = bits >> _BACKOFF_BITS, following >> _BACKOFF_BITS
        return prob, _float(bits & (2**32 - 1)), self._range(order + 1, begin, end)

    def _range(self, order: int, begin: int, end: int) -> tuple[int, int] | None:
        if not begin <= end <= self._file.counts[order - 1]:
            self._file.refuse(f"it has {order}-grams from {begin} to {end}")
        return (begin, end) if begin < end else None

    def tables(self) -> Tables:
        """The model order by order, with the n-grams that KenLM put in between for its search."""
        size = len(self.units)
        roots = np.frombuffer(
            self._file.data, [("p", "<f4"), ("b", "<f4"), ("n", "<u8")], size + 1, self._unigrams
        )
        ngrams = [np.arange(size, dtype=np.int32)[:, None]]
        probs = [-np.abs(roots["p"][:size])]
        backoffs = [roots["b"][:size]]
        nexts = roots["n"].astype(np.int64)
        for order, count in enumerate(self._file.counts[1:], 2):
            if nexts[0] != 0 or nexts[-1] > count or (np.diff(nexts) < 0).any():
                self._file.refuse(f"the entries of its {order}-grams are not in order")
            num = int(nexts[-1])
            words = self._column(order, num, 0, self._word_bits)
            if (words >= size).any():
                self._file.refuse(f"a {order}-gram has an unknown word")
            ends = np.repeat(ngrams[-1], np.diff(nexts), axis=0)
            ngrams.append(np.hstack([words[:, None].astype(np.int32), ends]))
            place = self._word_bits
            probs.append(-self._column(order, num, place, _PROB_BITS).astype("<u4").view("<f4"))
            if order < self.order:
                place += _PROB_BITS
                weights = self._column(order, num, place, _BACKOFF_BITS)
                backoffs.append(weights.astype("<u4").view("<f4"))
                place += _BACKOFF_BITS
                nexts = self._column(order, num + 1, place, self._orders[order - 2][1] - place)
        return Tables(self.units, tuple(ngrams), tuple(probs), tuple(backoffs))

    def _column(self, order: int, count: int, first_bit: int, num_bits: int) -> NDArray[np.int64]:
        """A part of each entry, as a number."""
        place, size = self._orders[order - 2]
        data = np.frombuffer(self._file.data, np.uint8)
        bits = np.arange(count, dtype=np.int64) * size + first_bit
        eight = data[(place + (bits >> 3))[:, None] + np.arange(8)]
        numbers = eight.view("<u8")[:, 0] >> (bits & 7).astype(np.uint64)
        found: NDArray[np.int64] = (numbers & np.uint64((1 << num_bits) - 1)).astype(np.int64)
        return found

    def _bits(self, order: int, index: int) -> int:
        """An entry as one number, its first bit the lowest."""
        place, size = self._orders[order - 2]
        first = index * size
        begin = place + (first >> 3)
        number = int.from_bytes(self._file.data[begin : begin + (size + 14) // 8], "little")
        return number >> (first & 7) & ((1 << size) - 1)


def read_kenlm(path: Path) -> KenlmNGram:
    """The model of a file. ModelError if it is damaged, or quantised or compressed otherwise."""
    file = open_kenlm(path)
    return ProbingNGram(file) if file.kind == PROBING else PackedTrieNGram(file)


def _goes_on(backoff: float) -> bool:
    return backoff != 0 or not _is_signed(backoff)


def _is_signed(number: float) -> bool:
    return math.copysign(1.0, number) < 0


def _float(bits: int) -> float:
    found: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return found
