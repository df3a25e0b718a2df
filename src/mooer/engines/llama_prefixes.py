"""Ids that prompts begin with, read once and shared by the sequences that go on from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mooer.engines.llama_context import BATCH_ROWS, Context, Row

MIN_TOKENS = 8  # fewer are read again as quickly


class Prefixes:
    """The last prefixes, each in a sequence of its own; the oldest gives way."""

    def __init__(self, context: Context, sequences: Iterable[int]) -> None:
        self._context = context
        self._held: dict[int, tuple[int, ...]] = dict.fromkeys(sequences, ())  # the oldest first

    @property
    def num_cells(self) -> int:
        """Cells of the cache that they take."""
        return sum(map(len, self._held.values()))

    def hold(self, ids: Sequence[int], max_cells: int) -> None:
        """Read a prefix if it is not there, and forget older ones that leave too little room.

        `max_cells` are at least as many as the prefix has ids.
        """
        ids = tuple(ids) if len(ids) >= MIN_TOKENS else ()
        source, num = self._nearest(ids)
        if num < len(ids):
            if self.num_cells + len(ids) > max_cells:
                self.clear()
                num = 0
            goes_on = num == len(self._held[source])
            target = source if goes_on else next(s for s in self._held if s != source)
            self._read(ids, source, target, num)
            source = target
        self._held[source] = self._held.pop(source)  # the newest
        for sequence in list(self._held):
            if self.num_cells > max_cells:
                self._forget(sequence)

    def clear(self) -> None:
        """Forget all."""
        for sequence in self._held:
            self._forget(sequence)

    def share(self, ids: Sequence[int], sequence: int) -> int:
        """Let an empty sequence begin with as many of its ids as are there; says how many."""
        source, num = self._nearest(ids)
        if num:
            self._context.copy(source, sequence, num)
        return num

    def _nearest(self, ids: Sequence[int]) -> tuple[int, int]:
        lengths = {s: len(common([ids, held])) for s, held in self._held.items()}
        source = max(lengths, key=lengths.__getitem__)
        return source, lengths[source]

    def _read(self, ids: tuple[int, ...], source: int, target: int, num: int) -> None:
        if target != source:
            self._forget(target)
            if num:
                self._context.copy(source, target, num)
        try:
            for begin in range(num, len(ids), BATCH_ROWS):
                part = ids[begin : begin + BATCH_ROWS]
                rows = [Row(target, begin + i, wanted=False) for i in range(len(part))]
                self._context.evaluate(part, rows)
        except BaseException:
            self._forget(target)
            raise
        self._held[target] = ids

    def _forget(self, sequence: int) -> None:
        self._context.remove(sequence)
        self._held[sequence] = ()


def common(texts: Sequence[Sequence[int]]) -> Sequence[int]:
    """The ids that all begin with.

    >>> common([[1, 2, 3], [1, 2], [1, 2, 4]])
    [1, 2]
    """
    shortest = min(texts, key=len)
    for i, token in enumerate(shortest):
        if any(text[i] != token for text in texts):
            return shortest[:i]
    return shortest
