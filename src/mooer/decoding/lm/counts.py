"""How often each n-gram stands in a text, counted in sorted runs.

So many units of a text at a time are cut into n-grams and sorted; what does not fit stays in a
temporary folder until all runs are merged, block by block. So memory does not grow with the length
of the text, but with the number of different n-grams.
"""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.ngram import BOS, EOS, UNKNOWN
from mooer.decoding.lm.tables import Ids
from mooer.errors import ConfigError

SPECIAL = (UNKNOWN, BOS, EOS)  # ids 0, 1, 2
UNKNOWN_ID, BOS_ID, EOS_ID = range(3)
UNITS_AT_ONCE = 2_000_000  # about 200 MB while they are sorted
_ROWS_AT_ONCE = 500_000  # of each run, while runs are merged

Keys = NDArray[np.bytes_]  # n-grams backwards, 4 bytes a unit, so that they sort by their ends
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Counts:
    """The different n-grams of a text, of one order, sorted by their last unit, then the last but
    one, … A sentence begins with as many <s> as make its first unit the end of an n-gram.
    """

    units: tuple[str, ...]  # by id
    ngrams: Ids  # [U, N]
    counts: Numbers  # [U]
    num_sentences: int
    num_units: int  # without <s>, with </s>
    num_unknown: int  # of them; only where the vocabulary is given


class _Ids:
    """Units to ids; new ones as they come, unless the vocabulary is given."""

    def __init__(self, vocabulary: Sequence[str] | None) -> None:
        self.known = {unit: i for i, unit in enumerate(SPECIAL)}
        self.is_closed = vocabulary is not None
        for unit in vocabulary or ():
            self.known.setdefault(unit, len(self.known))

    def of(self, units: Sequence[str]) -> list[int]:
        known = self.known
        if BOS in units or EOS in units:
            raise ConfigError(f"the text holds {BOS} or {EOS} as a word: leave them out")
        if self.is_closed:
            return [known.get(unit, UNKNOWN_ID) for unit in units]
        return [known.setdefault(unit, len(known)) for unit in units]


def count_ngrams(
    sentences: Iterable[Sequence[str]],
    order: int,
    *,
    vocabulary: Sequence[str] | None = None,
    units_at_once: int = UNITS_AT_ONCE,
) -> Counts:
    """Count the n-grams of sentences in units; units that are not in `vocabulary` become <unk>.

    ConfigError if there is no sentence with a unit.
    """
    ids = _Ids(vocabulary)
    num_sentences = num_units = num_unknown = 0
    padding = array("i", [BOS_ID] * (order - 1))
    flat = array("i")
    with tempfile.TemporaryDirectory(prefix="mooer-lm-") as folder:
        runs = _Runs(Path(folder), order)
        for sentence in sentences:
            if not sentence:
                continue
            found = ids.of(sentence)
            flat += padding
            flat.extend(found)
            flat.append(EOS_ID)
            num_sentences += 1
            num_units += len(found) + 1
            num_unknown += found.count(UNKNOWN_ID) if ids.is_closed else 0
            if len(flat) >= units_at_once:
                runs.add(flat)
                flat = array("i")
        if not num_sentences:
            raise ConfigError("the text holds no words: give one with a sentence a line")
        runs.add(flat)
        keys, counts = runs.merged()
    ngrams = keys.view(">i4").reshape(len(keys), order)[:, ::-1].astype(np.int32)
    return Counts(tuple(ids.known), ngrams, counts, num_sentences, num_units, num_unknown)


class _Runs:
    """Sorted n-grams with their counts, each run in files of its own if there are several."""

    def __init__(self, folder: Path, order: int) -> None:
        self.folder = folder
        self.order = order
        self.num = 0
        self.last: tuple[Keys, Numbers] | None = None

    def add(self, flat: array[int]) -> None:
        if not flat:
            return
        if self.last is not None:
            self._spill()
        self.last = _counted(np.frombuffer(flat, np.int32), self.order)

    def merged(self) -> tuple[Keys, Numbers]:
        assert self.last is not None, "a run"
        if not self.num:
            return self.last
        self._spill()
        runs = []
        for i in range(self.num):
            # Bytes are stored as numbers, since a file's type of bytes would have to be named.
            keys = np.load(self.folder / f"{i}.keys.npy", mmap_mode="r").view(f"S{4 * self.order}")
            runs.append((keys[:, 0], np.load(self.folder / f"{i}.counts.npy", mmap_mode="r")))
        blocks = list(_merge(runs))
        return np.concatenate([k for k, _ in blocks]), np.concatenate([c for _, c in blocks])

    def _spill(self) -> None:
        assert self.last is not None, "a run"
        keys, counts = self.last
        np.save(self.folder / f"{self.num}.keys.npy", keys.view(np.uint8).reshape(len(keys), -1))
        np.save(self.folder / f"{self.num}.counts.npy", counts)
        self.num += 1
        self.last = None


def _counted(flat: NDArray[Any], order: int) -> tuple[Keys, Numbers]:
    """The different n-grams that end at the units of a text that are no <s>."""
    ends = np.flatnonzero(flat != BOS_ID)
    rows = np.empty((len(ends), order), ">i4")
    for back in range(order):
        rows[:, back] = flat[ends - back]
    keys = rows.view(f"S{4 * order}")[:, 0]
    keys.sort()
    return _summed(keys, np.ones(len(keys), np.int64))


def _merge(runs: list[tuple[Keys, Numbers]]) -> Iterator[tuple[Keys, Numbers]]:
    """Sorted runs to blocks that are sorted together, each n-gram in one of them."""
    places = [0] * len(runs)
    while True:
        active = [i for i, (keys, _) in enumerate(runs) if places[i] < len(keys)]
        if not active:
            return
        blocks = {i: runs[i][0][places[i] : places[i] + _ROWS_AT_ONCE] for i in active}
        bound = min(block[-1] for block in blocks.values())  # beyond it a run may have more
        found_keys, found_counts = [], []
        for i, block in blocks.items():
            size = int(np.searchsorted(block, bound, side="right"))
            found_keys.append(block[:size])
            found_counts.append(runs[i][1][places[i] : places[i] + size])
            places[i] += size
        keys, counts = np.concatenate(found_keys), np.concatenate(found_counts)
        sorting = np.argsort(keys, kind="stable")
        yield _summed(keys[sorting], counts[sorting])


def _summed(keys: Keys, counts: Numbers) -> tuple[Keys, Numbers]:
    """Sorted n-grams without repeats, and the sums of their counts."""
    firsts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[firsts], np.add.reduceat(counts, firsts)
