"""Chunks of several inputs in one batch: short recordings fill what one alone leaves empty."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mooer.audio.wave import Source
from mooer.errors import ConfigError, MooerError, StoreError
from mooer.infer.longform import Chunk
from mooer.infer.run import Run
from mooer.transcript import Segment, Transcript

R = TypeVar("R", bound=Run)
Segments = Iterable[Segment]
Decode = Callable[[Sequence[tuple[R, Chunk]]], list[Segments]]
Outcome = Transcript | MooerError
_FATAL = (ConfigError, StoreError)  # what fails for one input fails for all


@dataclass(frozen=True)
class _Read(Generic[R]):
    """An input that was read to its end, and not yet decoded."""

    run: R
    chunks: list[Chunk]


def transcripts(
    sources: Iterable[Source], open_run: Callable[[Source], R], decode: Decode[R], num_chunks: int
) -> Iterator[Outcome]:
    """A transcript or an error for every source, in their order.

    Inputs are held until they have `num_chunks` chunks together (fewer at first, so that the first
    results come soon); one that has more by itself is decoded alone, as it is read. What fails in
    one input is its own outcome; ConfigError and StoreError are raised.
    """
    held: list[_Read[R] | MooerError] = []
    num_held, wanted = 0, max(1, num_chunks // 8)
    for source in sources:
        try:
            run = open_run(source)
            chunks = run.chunks()
            some = _read(run, chunks, num_chunks)
        except _FATAL:
            raise
        except MooerError as error:
            held.append(error)
            continue
        if len(some) > num_chunks:
            yield from _decoded(held, decode)
            yield _alone(run, itertools.chain(some, chunks), decode, num_chunks)
            held, num_held = [], 0
            continue
        if num_held + len(some) > num_chunks:
            yield from _decoded(held, decode)
            held, num_held = [], 0
        held.append(_Read(run, some))
        num_held += len(some)
        if num_held >= wanted:
            yield from _decoded(held, decode)
            held, num_held, wanted = [], 0, min(num_chunks, 2 * wanted)
    yield from _decoded(held, decode)


def _read(run: Run, chunks: Iterator[Chunk], num_chunks: int) -> list[Chunk]:
    """The chunks of an input, or the first of them and one more than `num_chunks`."""
    some: list[Chunk] = []
    try:
        some += itertools.islice(chunks, num_chunks + 1)
    finally:
        if len(some) <= num_chunks:
            run.close()
    return some


def _decoded(held: Sequence[_Read[R] | MooerError], decode: Decode[R]) -> list[Outcome]:
    """Outcomes of all that is held; if they cannot be decoded together, of each by itself."""
    inputs = [one for one in held if isinstance(one, _Read)]
    pairs = [(one.run, chunk) for one in inputs for chunk in one.chunks]
    try:
        found = iter(decode(pairs) if pairs else [])
    except _FATAL:
        raise
    except MooerError as error:
        if len(inputs) < 2:
            return [error if isinstance(one, _Read) else one for one in held]
        return [outcome for one in held for outcome in _decoded([one], decode)]
    outcomes: list[Outcome] = []
    for one in held:
        if isinstance(one, _Read):
            segments = itertools.islice(found, len(one.chunks))
            made = one.run.segments(zip(one.chunks, segments, strict=True))
            outcomes.append(one.run.transcript(made))
        else:
            outcomes.append(one)
    return outcomes


def _alone(run: R, chunks: Iterator[Chunk], decode: Decode[R], num_chunks: int) -> Outcome:
    def decoded() -> Iterator[tuple[Chunk, Segments]]:
        while some := list(itertools.islice(chunks, num_chunks)):
            yield from zip(some, decode([(run, chunk) for chunk in some]), strict=True)

    try:
        return run.transcript(run.segments(decoded()))
    except _FATAL:
        raise
    except MooerError as error:
        return error
    finally:
        run.close()
