"""Streams of utterances in stages: read, mixed, shuffled, filtered; with each item a position.

    stream = Shuffle(Mix((Rows(a), Rows(b)), (3.0, 1.0)), size=2000).stream()
    for example, state in stream: ...

`stage.stream(state)` goes on right after the item that `state` came with, with the same items to
the last bit. A state is plain data for JSON; it holds positions, never items.
"""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mooer.data.supervision import Utterance
from mooer.errors import ConfigError, ManifestError

State = dict[str, Any]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

_MAX_DROPPED = 1_000_000  # in a row: then nothing will ever come
_DRAWS = 1024


class Stage(Protocol[T_co]):
    """A step of the pipeline."""

    def stream(self, state: State | None = None) -> Iterator[tuple[T_co, State]]:
        """Items, each with the position after it; from `state`, or from the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """An utterance on its way into a batch."""

    utterance: Utterance
    task: str = "asr"
    epoch: int = 0
    speed: float = 1.0  # at which it will be played: 1.1 is shorter
    data: bytes | None = None  # the sound's file, where a shard was read in order

    @property
    def duration_s(self) -> float:
        """At its speed. ManifestError if the manifest does not tell it."""
        duration_s = self.utterance.duration_s
        if duration_s is None:
            raise ManifestError(
                f"{self.utterance.id} has no duration, which batches are made by: "
                "`mooer data convert --durations` adds them"
            )
        return duration_s / self.speed

    def rng(self, seed: int, purpose: str) -> np.random.Generator:
        """Random numbers that depend on the utterance, the epoch and nothing else."""
        key = zlib.crc32(f"{purpose}\0{self.utterance.id}".encode("utf-8", "surrogatepass"))
        return np.random.default_rng([seed, self.epoch, key])


class Indexed(Protocol):
    """Utterances by index: a list of them, or `Lines`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Utterance: ...


@dataclass(frozen=True)
class Share:
    """Every `count`-th item from `index` on: what one of several processes reads."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"share {self.index} of {self.count} does not exist")

    def of(self, order: NDArray[np.int64], what: str) -> NDArray[np.int64]:
        """The part of `order` that is this share's. ConfigError if there is none."""
        if len(order) < self.count:
            raise ConfigError(
                f"{len(order)} {what} cannot be shared by {self.count} processes: "
                "use fewer, or smaller shards"
            )
        return order[self.index :: self.count]


def order_of(num_items: int, seed: int | None, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch: shuffled by seed and epoch, or as listed if `seed` is None."""
    if seed is None:
        return np.arange(num_items)
    return np.random.default_rng([seed, epoch]).permutation(num_items)


def check_size(state: State, size: int, what: str) -> None:
    """ConfigError if a position was saved while there were more or fewer items."""
    if state["size"] != size:
        raise ConfigError(
            f"there were {state['size']} {what} when the position was saved, and {size} now: "
            "put the old list back, or begin anew"
        )


@dataclass(frozen=True)
class Rows:
    """The utterances of a manifest, in a new order each epoch, all of them before any again."""

    utterances: Indexed
    task: str = "asr"
    seed: int | None = 0  # None: in the manifest's order
    epochs: int | None = None  # None: without end
    share: Share = Share()

    def stream(self, state: State | None = None) -> Iterator[tuple[Example, State]]:
        """Examples without their sound."""
        size = len(self.utterances)
        epoch, position = 0, 0
        if state is not None:
            check_size(state, size, "utterances")
            epoch, position = state["epoch"], state["position"]
        while self.epochs is None or epoch < self.epochs:
            order = self.share.of(order_of(size, self.seed, epoch), "utterances")
            for i in range(position, len(order)):
                after = {"epoch": epoch, "position": i + 1, "size": size}
                yield Example(self.utterances[int(order[i])], self.task, epoch), after
            epoch, position = epoch + 1, 0


@dataclass(frozen=True)
class Mix:
    """Examples of several sources, drawn by weight; what is at its end drops out."""

    sources: tuple[Stage[Example], ...]
    weights: tuple[float, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.weights) or not self.sources:
            raise ConfigError(f"{len(self.sources)} sources have {len(self.weights)} weights")
        if not all(0 < weight < np.inf for weight in self.weights):
            raise ConfigError(f"weights must be above 0, got {self.weights}")

    def stream(self, state: State | None = None) -> Iterator[tuple[Example, State]]:
        """Until all sources are at their end."""
        draw = 0
        inner: list[State | None] = [None] * len(self.sources)
        alive = [True] * len(self.sources)
        if state is not None:
            check_size({"size": len(state["sources"])}, len(self.sources), "sources")
            draw, inner, alive = state["draw"], list(state["sources"]), list(state["alive"])
        streams = [s.stream(at) for s, at in zip(self.sources, inner, strict=True)]
        while any(alive):
            weights = np.where(alive, self.weights, 0.0).cumsum()
            number = _uniform(self.seed, draw // _DRAWS)[draw % _DRAWS] * weights[-1]
            chosen = int(np.searchsorted(weights, number, side="right"))
            draw += 1
            found = next(streams[chosen], None)
            if found is None:
                alive[chosen] = False
                continue
            example, inner[chosen] = found
            yield example, {"draw": draw, "sources": list(inner), "alive": list(alive)}


@lru_cache(maxsize=8)
def _uniform(seed: int, block: int) -> NDArray[np.float64]:
    return np.random.default_rng([seed, block]).random(_DRAWS)


@dataclass(frozen=True)
class Block(Generic[T]):
    """Items taken together from a stage, and how to come back to them."""

    items: list[T]
    number: int
    begin: State | None  # of the stage, before the first item
    position: int  # of what was made of the items, how many were already handed out

    def after(self, position: int) -> State:
        """The state of a stage that works by blocks."""
        return {"begin": self.begin, "block": self.number, "position": position}


def blocks(upstream: Stage[T], size: int, state: State | None) -> Iterator[Block[T]]:
    """Blocks of `size` items; the first from `state` on is read again, which is all it takes."""
    begin, number, position = None, 0, 0
    if state is not None:
        begin, number, position = state["begin"], state["block"], state["position"]
    source = upstream.stream(begin)
    while True:
        items, end = [], begin
        for item, end in itertools.islice(source, size):  # noqa: B007 (the last one is kept)
            items.append(item)
        if not items:
            return
        yield Block(items, number, begin, position)
        begin, number, position = end, number + 1, 0


@dataclass(frozen=True)
class Shuffle(Generic[T]):
    """Blocks of `size` items, each in random order.

    `Rows` are shuffled as a whole already; this is for sources that are read in order (shards).
    """

    upstream: Stage[T]
    size: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"a shuffle needs a size of at least 1, got {self.size}")

    def stream(self, state: State | None = None) -> Iterator[tuple[T, State]]:
        """The same items; going on reads at most one block again."""
        for block in blocks(self.upstream, self.size, state):
            order = np.random.default_rng([self.seed, block.number]).permutation(len(block.items))
            for i in range(block.position, len(order)):
                yield block.items[order[i]], block.after(i + 1)


@dataclass(frozen=True)
class Keep:
    """Examples for which `reason` is None; the others are counted by the reason it gives."""

    upstream: Stage[Example]
    reason: Callable[[Example], str | None]
    dropped: Counter[str] = field(default_factory=Counter, compare=False)

    def stream(self, state: State | None = None) -> Iterator[tuple[Example, State]]:
        """What is kept. ManifestError if nothing is, for very long."""
        in_a_row = 0
        for example, after in self.upstream.stream(state):
            why = self.reason(example)
            if why is None:
                in_a_row = 0
                yield example, after
                continue
            self.dropped[why] += 1
            in_a_row += 1
            if in_a_row >= _MAX_DROPPED:
                raise ManifestError(
                    f"{in_a_row} utterances in a row were dropped ({_counts(self.dropped)}): "
                    "loosen the limits"
                )


@dataclass(frozen=True)
class Limits:
    """What an example must keep to; called by `Keep`."""

    min_s: float = 0.1
    max_s: float = 30.0
    max_text_chars: int | None = None

    def __call__(self, example: Example) -> str | None:
        """Why it is dropped, or None."""
        if example.duration_s < self.min_s:
            return "too short"
        if example.duration_s > self.max_s:
            return "too long"
        if self.max_text_chars is not None and len(example.utterance.text or "") > (
            self.max_text_chars
        ):
            return "too much text"
        return None


@dataclass(frozen=True)
class Speeds:
    """Each example at one of `speeds`, drawn by utterance and epoch."""

    upstream: Stage[Example]
    speeds: tuple[float, ...] = (0.9, 1.0, 1.1)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.speeds or not all(0.5 <= speed <= 2.0 for speed in self.speeds):
            raise ConfigError(f"speeds must be between 0.5 and 2, got {self.speeds}")

    def stream(self, state: State | None = None) -> Iterator[tuple[Example, State]]:
        """The same examples."""
        for example, after in self.upstream.stream(state):
            rng = example.rng(self.seed, "speed")
            yield replace(example, speed=self.speeds[rng.integers(len(self.speeds))]), after


def _counts(dropped: Counter[str]) -> str:
    return ", ".join(f"{number} {reason}" for reason, number in dropped.most_common())
