"""From a stream of batches to those of one process, a step at a time, each with its position.

Every process walks the whole stream, which is only names and durations, and reads the sound of its
own share: batch `i` of the stream is for process `i % num_processes`. So the same batches make up
a step whether they are spread over processes or accumulated in one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from mooer.errors import AudioError

T = TypeVar("T")
Stream = Iterator[tuple[T, Any]]


@dataclass(frozen=True)
class Portion:
    """What one process learns from in one step, and where the stream stands after that step."""

    batches: tuple[Any, ...]
    state: Any


def share(stream: Stream[T], *, rank: int, num_processes: int, accumulate: int) -> Stream[T]:
    """The batches of one process, each with (step, position after the whole step).

    A step that the stream's end cuts short is left out.

    >>> list(share(iter([("a", 1), ("b", 2), ("c", 3)]), rank=1, num_processes=2, accumulate=1))
    [('b', (0, 2))]
    """
    size = num_processes * accumulate
    step = 0
    while len(drawn := list(islice(stream, size))) == size:
        after = drawn[-1][1]
        for items, _ in drawn[rank::num_processes]:
            yield items, (step, after)
        step += 1


class Feed:
    """Portions of what `load` makes of a shared stream. Close it to end its workers."""

    def __init__(
        self,
        stream: Stream[T],
        load: Callable[[Stream[T]], Iterator[tuple[Any, Any]]],
        *,
        rank: int = 0,
        num_processes: int = 1,
        accumulate: int = 1,
    ) -> None:
        shared = share(stream, rank=rank, num_processes=num_processes, accumulate=accumulate)
        self._loader = load(shared)
        self._accumulate = accumulate
        self._step = 0

    def __iter__(self) -> Iterator[Portion]:
        return self

    def __next__(self) -> Portion:
        loaded = list(islice(self._loader, self._accumulate))
        if len(loaded) < self._accumulate:
            raise StopIteration
        if any(state[0] != self._step for _, state in loaded):  # the loader has skipped one
            raise AudioError("no utterance of a batch could be read: see the warnings")
        self._step += 1
        return Portion(tuple(batch for batch, _ in loaded), loaded[-1][1][1])

    def close(self) -> None:
        """End the workers of the loader."""
        close = getattr(self._loader, "close", None)
        if close is not None:
            close()
