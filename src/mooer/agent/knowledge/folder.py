"""Search a folder of documents: by meaning and by words, what is near in both first.

with open_folder(Path("notes")) as knowledge:
    for source in knowledge.search("怎样导出字幕？", 3):
        print(source.name, source.text)

The index lies in the folder unless another place is named.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mooer.agent.events import Source
from mooer.agent.knowledge.build import Embeds, Progress, build
from mooer.agent.knowledge.index import Halves, Index
from mooer.errors import StoreError

INDEX = ".mooer-knowledge.db"  # in the folder itself, hidden
_FUSED = 60  # Cormack et al. 2009: 1 / (60 + rank), summed over both lists
_CANDIDATES = 50  # of each list
_GROUP = 8  # passages of a language that have a mean
_ROWS = 8192  # that are compared at once: they stay in the processor's cache

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SearchOptions:
    """What counts as found."""

    min_score: float = 0.0  # the least cosine; e5 gives unrelated texts 0.7 to 0.8
    by_words: bool = True  # and not by meaning alone
    across: bool = True  # scores of Chinese and of other passages are each held to their mean


class Folder:
    """Knowledge of one index; from any thread. Vectors are held in memory, texts are not.

    What somebody else adds to the index is found by the next search.
    """

    def __init__(
        self, index: Index, embedder: Embeds, options: SearchOptions | None = None
    ) -> None:
        self._index = index
        self._embedder = embedder
        self._options = options or SearchOptions()
        self._lock = threading.Lock()
        self._version = -1
        self._ids = np.zeros(0, np.int64)
        self._vectors: Halves = np.zeros((0, index.width), np.float16)
        self._is_chinese = np.zeros(0, np.bool_)

    def search(self, text: str, num: int) -> list[Source]:
        """The best `num` passages, by reciprocal rank fusion of both lists; scores are cosines.

        Two passages of the same text are told once. StoreError if the index is damaged.
        """
        if not text.strip() or num < 1:
            return []
        with self._lock:
            self._load()
            if not len(self._ids):
                return []
            scores = self._scores(self._embedder.queries([text])[0])
            near = _best(self._held_to_mean(scores), _CANDIDATES)
            lists = [self._ids[near].tolist()]
            if self._options.by_words:
                lists.append(self._index.by_words(text, _CANDIDATES))
            ranked = fused(lists)
            places = np.searchsorted(self._ids, ranked)  # they are in order
            known = dict(zip(ranked, scores[np.minimum(places, len(scores) - 1)], strict=True))
        return self._told(ranked, known, num)

    def _told(
        self, ranked: Sequence[int], scores: Mapping[int, np.float32], num: int
    ) -> list[Source]:
        held = self._index.passages(ranked)
        found: dict[str, Source] = {}
        for one in ranked:
            stored = held.get(one)
            if stored is None or scores[one] < self._options.min_score:
                continue
            name = f"{stored.name} ({stored.heading})" if stored.heading else stored.name
            found.setdefault(stored.text, Source(name, stored.text, float(scores[one])))
            if len(found) == num:
                break
        return list(found.values())

    def _load(self) -> None:
        version = self._index.version()
        if version != self._version:
            self._ids, self._vectors, self._is_chinese = self._index.vectors()
            self._version = version

    def _scores(self, vector: Floats) -> Floats:
        found = np.empty(len(self._vectors), np.float32)
        for start in range(0, len(found), _ROWS):
            rows = self._vectors[start : start + _ROWS].astype(np.float32)
            np.dot(rows, vector, out=found[start : start + _ROWS])
        return found

    def _held_to_mean(self, scores: Floats) -> Floats:
        """Without what e5 adds for the language alone: a question is near to all of its own."""
        num = int(self._is_chinese.sum())
        if not self._options.across or min(num, len(scores) - num) < _GROUP:
            return scores
        own, other = scores[self._is_chinese].mean(), scores[~self._is_chinese].mean()
        found: Floats = scores - np.where(self._is_chinese, own, other)
        return found

    def close(self) -> None:
        """Let the index go."""
        self._index.close()

    def __enter__(self) -> Folder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_folder(
    folder: Path,
    *,
    index: Path | None = None,
    embedder: Embeds | None = None,
    options: SearchOptions | None = None,
    on_progress: Progress | None = None,
) -> Folder:
    """A folder's knowledge, its index brought up to date first.

    Errors as `build` and `Index` have them.
    """
    embedder = embedder or open_embedder()
    place = index or folder.expanduser() / INDEX
    opened = Index(place, model=embedder.name, width=embedder.width)
    try:
        build(folder, opened, embedder, on_progress=on_progress)
    except BaseException:
        opened.close()
        raise
    return Folder(opened, embedder, options)


def open_index(
    path: Path, *, embedder: Embeds | None = None, options: SearchOptions | None = None
) -> Folder:
    """What an index knows already. StoreError if there is none."""
    if not path.is_file():
        raise StoreError(f"there is no index at {path}: make it by mooer knowledge build")
    embedder = embedder or open_embedder()
    return Folder(Index(path, model=embedder.name, width=embedder.width), embedder, options)


def open_embedder(num_threads: int | None = None) -> Embeds:
    """The embedder of the catalog, fetched if need be."""
    from mooer.engines.embedder import NAME, Embedder
    from mooer.engines.llm import usable_cores
    from mooer.store import fetch

    return Embedder(fetch(NAME), num_threads=num_threads or usable_cores())


def fused(lists: Sequence[Sequence[int]]) -> list[int]:
    """What stands high in several lists first.

    >>> fused([[1, 2, 3], [3, 1, 4]])
    [1, 3, 2, 4]
    """
    points: dict[int, float] = {}
    for ranked in lists:
        for rank, one in enumerate(ranked, start=1):
            points[one] = points.get(one, 0.0) + 1 / (_FUSED + rank)
    return sorted(points, key=lambda one: -points[one])


def _best(scores: Floats, num: int) -> NDArray[np.int64]:
    """Places of the highest scores, the highest first."""
    if len(scores) > num:
        some = np.argpartition(-scores, num)[:num]
        return some[np.argsort(-scores[some])]
    return np.argsort(-scores)
