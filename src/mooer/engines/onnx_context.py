"""Qwen2 in onnxruntime behind the interface of `LlamaContext`: rows in, logits out.

Keys and values that were read are never changed, so that sequences share them by pointing to the
same arrays; those that go on together are put side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.engines.gguf_weights import GgufWeights
from mooer.engines.llama_context import BATCH_ROWS, Row
from mooer.engines.llama_model import LlamaModel
from mooer.engines.llm import usable_cores
from mooer.engines.onnx import open_session
from mooer.engines.qwen_graph import EMBEDDINGS, MAX_TOKENS, read_sizes
from mooer.errors import DecodeError, ModelError

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Past:
    """What a sequence has read: the first rows of one of the batch in `arrays` [B, H, T, D]."""

    arrays: tuple[Floats, ...]  # keys and values of each layer
    place: int  # in the batch
    num_rows: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """Rows that go to one sequence."""

    sequence: int
    rows: slice
    wanted: bool  # the logits after the last

    @property
    def num_rows(self) -> int:
        return int(self.rows.stop - self.rows.start)


class OnnxContext(LlamaModel):
    """The graph `onnx` of the model in the GGUF file `path`, whose tokenizer and embeddings it has.

    `context_tokens` is how many rows a sequence can have, `MAX_TOKENS` at most. ModelError if a
    file cannot be used.
    """

    def __init__(
        self, path: Path, onnx: Path, *, num_threads: int | None = None, context_tokens: int
    ) -> None:
        super().__init__(path, vocabulary_only=True)
        self.context_tokens = min(context_tokens, MAX_TOKENS)
        self._lock = threading.Lock()  # held while the model is used, so that it is not closed
        self._held: dict[int, _Past] = {}
        self._weights: GgufWeights | None = None
        try:
            self._weights = GgufWeights(self.path)
            self._sizes = read_sizes(self._weights, self.num_tokens)
            self._session = open_session(onnx, num_threads=num_threads or usable_cores())
        except BaseException:
            self.close()
            raise
        self.width = self._sizes.width
        numbers = range(self._sizes.num_layers)
        names = [f"{letter}{number}" for number in numbers for letter in "kv"]
        self._given = [f"past_{name}" for name in names]
        self._asked = ["logits", *(f"new_{name}" for name in names)]

    def close(self) -> None:
        """Give the memory back, from any thread; what is being read is waited for."""
        with self._lock:
            if self._weights is not None:
                self._weights.close()
            self._weights = self._session = None
            self._held = {}
            super().close()

    def evaluate(self, content: Sequence[int] | Floats, rows: Sequence[Row]) -> list[Floats]:
        """Logits [V] after every row that wants them, of ids or embeddings [N, W].

        Rows of one sequence follow each other, and only the last of them wants logits. ModelError
        if it has been closed.
        """
        assert len(content) == len(rows) <= BATCH_ROWS, (len(content), len(rows))
        found: dict[int, Floats] = {}
        with self._lock:
            x = self._embedded(content)
            for batch in self._batches(rows):
                logits = self._read(x, batch)
                found |= {one.sequence: row for one, row in zip(batch, logits, strict=True)}
        return [found[one.sequence] for one in _readings(rows) if one.wanted]

    def copy(self, source: int, target: int, num_rows: int) -> None:
        """Let the sequence `target` begin with the first rows of `source`, which it shares."""
        self._live()
        past = self._held[source]
        self._held[target] = _Past(past.arrays, past.place, num_rows)

    def remove(self, sequence: int) -> None:
        """Forget a sequence."""
        self._held.pop(sequence, None)

    def clear(self) -> None:
        """Forget all sequences."""
        self._held = {}

    def _embedded(self, content: Sequence[int] | Floats) -> Floats:
        if self._weights is None:
            raise ModelError(f"{self.path.name} has been closed: load it again")
        if isinstance(content, np.ndarray) and content.ndim == 2:
            return np.ascontiguousarray(content, np.float32)
        return self._weights.rows(EMBEDDINGS, [int(i) for i in content], self.width)

    def _batches(self, rows: Sequence[Row]) -> Iterator[list[_Reading]]:
        """What is read abreast: single rows of sequences that are as long, all else by itself."""
        abreast: dict[int, list[_Reading]] = {}
        for one in _readings(rows):
            begin = rows[one.rows.start].position
            assert begin == self._length(one.sequence), "rows are read in order"
            if one.num_rows == 1:
                abreast.setdefault(begin, []).append(one)
            else:
                yield [one]
        yield from abreast.values()

    def _length(self, sequence: int) -> int:
        return self._held[sequence].num_rows if sequence in self._held else 0

    def _read(self, x: Floats, batch: Sequence[_Reading]) -> Floats:
        """Logits [B, V] after what each of the batch reads, and remember it."""
        sequences = [one.sequence for one in batch]
        total = self._length(sequences[0]) + batch[0].num_rows
        if total > self.context_tokens:
            raise DecodeError(f"{total} tokens do not fit a context of {self.context_tokens}")
        feed: dict[str, Any] = dict(zip(self._given, self._past(sequences), strict=True))
        feed["x"] = np.stack([x[one.rows] for one in batch])
        feed["before"] = np.full(len(batch), total - 1, np.int32)
        feed["total"] = np.array(total, np.int32)
        try:
            logits, *arrays = self._session.run(self._asked, feed)
        except Exception as error:  # onnxruntime has no base class of its own
            raise DecodeError(f"onnxruntime could not read {len(x)} rows: {error}") from error
        for place, sequence in enumerate(sequences):
            self._held[sequence] = _Past(tuple(arrays), place, total)
        found: Floats = logits
        return found

    def _past(self, sequences: Sequence[int]) -> Sequence[Floats]:
        """Keys and values of sequences of one length, side by side."""
        pasts = [self._held[sequence] for sequence in sequences if sequence in self._held]
        if not pasts:
            sizes = self._sizes
            shape = len(sequences), sizes.num_kv_heads, 0, sizes.head_width
            return [np.zeros(shape, np.float32)] * len(self._given)
        [length] = {past.num_rows for past in pasts}
        first = pasts[0].arrays
        places = [past.place for past in pasts]
        if all(past.arrays is first for past in pasts):
            if places == list(range(len(first[0]))) and length == first[0].shape[2]:
                return first
            return [array[places, :, :length] for array in first]
        return [
            np.stack([past.arrays[i][past.place, :, :length] for past in pasts])
            for i in range(len(first))
        ]


def _readings(rows: Sequence[Row]) -> Iterator[_Reading]:
    begin = 0
    for end in range(1, len(rows) + 1):
        if end == len(rows) or rows[end].sequence != rows[begin].sequence:
            assert not any(row.wanted for row in rows[begin : end - 1]), "only the last is told"
            yield _Reading(rows[begin].sequence, slice(begin, end), rows[end - 1].wanted)
            begin = end
