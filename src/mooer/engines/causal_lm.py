"""How likely a text is under a causal LM of llama.cpp: for rescoring, and for search step by step.

    with CausalLM(path, context="The patient is seen in cardiology.") as lm:
        lm.logprobs([[…], […]], ends=True)

Rows that texts begin with together are read once; texts of earlier calls are kept in the cache, so
that one that goes on from them is only read from where it does. A text is read after the id that
begins a document, and after `context`, whose own probability does not count. Its end is any id that
ends an answer.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_context import BATCH_ROWS, LlamaContext, Row
from mooer.engines.llama_prefixes import common
from mooer.errors import DecodeError, ModelError

_NUM_HELD = 16  # texts that are kept
_NUM_TOGETHER = 8  # texts that are read at once

Floats = NDArray[np.float32]


@dataclass
class _Held:
    """A text in the cache, with the log-probabilities of its beginnings and of its end."""

    ids: tuple[int, ...] = ()
    sums: list[float] = field(default_factory=list)  # [i]: of ids[: i + 1]
    end: float = 0.0


@dataclass
class _Reading:
    """A text on its way into the cache, of which the first `num_shared` rows are there."""

    sequence: int
    ids: tuple[int, ...]
    sums: list[float]  # of the first num_shared + 1 ids
    num_shared: int
    end: float = 0.0


class CausalLM:
    """A model in memory; one call at a time, others wait.

    `path` is a GGUF file, or a folder that holds exactly one. `context_tokens` bounds the cache.
    ModelError if the file is missing, damaged, or names no id to begin and none to end with.
    """

    def __init__(
        self,
        path: Path,
        *,
        context: str = "",
        num_threads: int | None = None,
        context_tokens: int = 4096,
        exact: bool = False,
    ) -> None:
        self._lock = threading.Lock()
        self._context = LlamaContext(
            path,
            num_threads=num_threads,
            context_tokens=context_tokens,
            num_sequences=_NUM_HELD + _NUM_TOGETHER,
            exact=exact,
        )
        self.path = self._context.path
        self._held = {sequence: _Held() for sequence in range(_NUM_HELD)}  # the oldest first
        try:
            self._ends = np.array(sorted(self._context.ends()), np.int64)
            first = self._context.beginning()
            if first is None and len(self._ends):
                first = int(self._ends[0])
            if first is None or not len(self._ends):
                raise ModelError(f"{self.path} names no id that begins or ends a text: use another")
            self._given = (first, *self._context.encode(context, special=False))
        except BaseException:
            self.close()
            raise

    def encode(self, text: str) -> list[int]:
        """Ids of a text; names of special ids in it are letters."""
        return self._context.encode(text, special=False)

    def logprobs(self, texts: Sequence[Sequence[int]], *, ends: bool) -> list[float]:
        """Natural log of the probability of each text in ids; `ends`: and of its end.

        DecodeError if one does not fit the context.
        """
        full = [(*self._given, *map(int, ids)) for ids in texts]
        for ids in full:
            if len(ids) > self._context.context_tokens // 4:  # others stay beside it
                raise DecodeError(
                    f"a text of {len(ids)} tokens does not fit a quarter of a context of "
                    f"{self._context.context_tokens}: shorten it or raise context_tokens"
                )
        found: dict[tuple[int, ...], float] = {}
        waiting = sorted(set(full))  # so that neighbours begin alike
        with self._lock:
            while waiting:
                group = self._group(waiting)
                waiting = waiting[len(group) :]
                for ids, total, end in self._score(group):
                    found[ids] = total + (end if ends else 0.0)
        return [found[ids] for ids in full]

    def close(self) -> None:
        """Give the memory back; the model cannot be used afterwards."""
        self._context.close()

    def __enter__(self) -> CausalLM:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _group(self, waiting: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The first texts, as many as are read at once and fit half of the cache."""
        group = list(waiting[:1])
        room = self._context.context_tokens // 2 - len(waiting[0])
        for ids in waiting[1:_NUM_TOGETHER]:
            room -= len(ids)
            if room < 0:
                break
            group.append(ids)
        return group

    def _score(self, group: list[tuple[int, ...]]) -> list[tuple[tuple[int, ...], float, float]]:
        """Each text with the log-probabilities of it and of its end."""
        shared = self._hold(tuple(common(group)))
        if len(group) == 1:
            return [(group[0], self._total(shared), shared.end)]
        source = next(sequence for sequence, held in self._held.items() if held is shared)
        readings = []
        for sequence, ids in enumerate(group, _NUM_HELD):
            num = len(shared.ids) - 1  # the last row is read again, for what follows it
            self._context.copy(source, sequence, num)
            readings.append(_Reading(sequence, ids, shared.sums[: num + 1], num))
        try:
            self._read(readings)
        finally:
            for one in readings:
                self._context.remove(one.sequence)
        return [
            (one.ids, one.sums[-1] - one.sums[len(self._given) - 1], one.end) for one in readings
        ]

    def _total(self, held: _Held) -> float:
        return held.sums[-1] - held.sums[len(self._given) - 1]

    def _hold(self, ids: tuple[int, ...]) -> _Held:
        """The text in the cache, read from where the nearest one there parts from it."""
        source = max(self._held, key=lambda one: len(common([self._held[one].ids, ids])))
        nearest = self._held[source]
        if nearest.ids == ids:
            self._held[source] = self._held.pop(source)  # the newest
            return nearest
        num = max(0, len(common([nearest.ids, ids])) - 1)
        target = next(one for one in self._held if one != source)
        self._forget(target)
        if num:
            self._context.copy(source, target, num)
        self._make_room(len(ids), {source, target})
        reading = _Reading(target, ids, nearest.sums[: num + 1] if num else [0.0], num)
        try:
            self._read([reading])
        except BaseException:
            self._forget(target)
            raise
        del self._held[target]
        held = self._held[target] = _Held(ids, reading.sums, reading.end)
        return held

    def _make_room(self, num_rows: int, spared: Iterable[int]) -> None:
        """Forget the oldest texts until half of the cache has room for a new one."""
        for sequence in list(self._held):
            used = sum(len(held.ids) for held in self._held.values())
            if used + num_rows <= self._context.context_tokens // 2:
                return
            if sequence not in spared:
                self._forget(sequence)

    def _forget(self, sequence: int) -> None:
        self._context.remove(sequence)
        self._held[sequence] = _Held()

    def _read(self, readings: Sequence[_Reading]) -> None:
        """Read the rest of each text, and note the probabilities of its ids and of its end."""
        rows = [
            (one, Row(one.sequence, place, wanted=True))
            for one in readings
            for place in range(one.num_shared, len(one.ids))
        ]
        for begin in range(0, len(rows), BATCH_ROWS):
            part = rows[begin : begin + BATCH_ROWS]
            content = [one.ids[row.position] for one, row in part]
            logits = self._context.evaluate(content, [row for _, row in part])
            for (one, row), values in zip(part, logits, strict=True):
                normaliser = _log_sum(values)
                if row.position + 1 < len(one.ids):
                    log_prob = float(values[one.ids[row.position + 1]]) - normaliser
                    one.sums.append(one.sums[-1] + log_prob)
                else:
                    one.end = _log_sum(values[self._ends]) - normaliser


def _log_sum(values: Floats) -> float:
    """Of all values, log sum exp. DecodeError for NaN."""
    largest = float(values.max())
    found = largest + float(np.log(np.exp(values - np.float32(largest)).sum(dtype=np.float64)))
    if not np.isfinite(found):
        raise DecodeError("the language model gives NaN: its weights are damaged")
    return found
