"""Answer many prompts at once: sequences read, go on and end each at its own pace.

One step of llama.cpp takes either embeddings or ids. While some prompt has embeddings to read,
steps are of those; else ids of prompts and new ids of answers go together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mooer.engines.llama_context import BATCH_ROWS, Context, Row
from mooer.engines.llama_prefixes import Prefixes, common
from mooer.engines.token_search import Search, Step
from mooer.errors import DecodeError

Floats = NDArray[np.float32]
Part = list[int] | Floats


@dataclass
class Job:
    """A prompt on its way, and then the rows of its answer."""

    index: int
    parts: deque[Part]  # not read yet; none is empty
    search: Search
    max_new_tokens: int
    sequences: list[int] = field(default_factory=list)  # those of the rows first
    feed: list[int] = field(default_factory=list)  # the newest id of each row, not read yet
    position: int = 0  # rows read
    num_cells: int = 0  # of the cache, at most, not counting shared ones
    is_over: bool = False

    @property
    def max_cells(self) -> int:
        """What it takes of the cache if it shares nothing."""
        return self._num_rows() + self.search.num_rows * self.max_new_tokens

    def opening(self) -> list[int]:
        """The ids before the first embedding; not the last row, whose logits are needed."""
        head = self.parts[0]
        return [] if isinstance(head, np.ndarray) else head[: self._num_rows() - 1]

    def reads_embeddings(self) -> bool:
        """Whether embeddings come next."""
        return bool(self.parts) and isinstance(self.parts[0], np.ndarray)

    def take(self, num_rows: int) -> tuple[Part, list[Row]]:
        """The next rows of its prompt, at most so many."""
        part = self.parts.popleft()
        if len(part) > num_rows:
            part, rest = part[:num_rows], part[num_rows:]
            self.parts.appendleft(rest)
        places = range(self.position, self.position + len(part))
        self.position += len(part)
        last = -1 if self.parts else places[-1]
        return part, [Row(self.sequences[0], place, place == last) for place in places]

    def take_feed(self) -> tuple[list[int], list[Row]]:
        """The newest ids."""
        ids, self.feed = self.feed, []
        rows = [Row(s, self.position, True) for s in self.sequences[: len(ids)]]
        self.position += 1
        return ids, rows

    def follow(self, steps: Sequence[Step], context: Context) -> None:
        """Give every row of the search a sequence that holds what it said so far."""
        before = self.sequences
        after: list[int | None] = []
        for step in steps:  # the first child of a row keeps its sequence
            sequence = before[step.parent]
            after.append(None if sequence in after else sequence)
        spare = [s for s in before if s not in after]
        for sequence in spare:
            context.remove(sequence)
        rows: list[int] = []
        for step, kept in zip(steps, after, strict=True):
            rows.append(spare.pop() if kept is None else kept)
            if kept is None:
                context.copy(before[step.parent], rows[-1], self.position)
        self.sequences = rows + spare
        self.feed = [step.token for step in steps]

    def _num_rows(self) -> int:
        return sum(map(len, self.parts))


def run(
    jobs: Sequence[Job], context: Context, prefixes: Prefixes, sequences: Iterable[int]
) -> Generator[Job, None, None]:
    """Work until all jobs are over; gives a job each time that its search has advanced.

    Every job must fit the context alone. Sequences are empty before and after.
    """
    free, active = list(sequences), list[Job]()
    waiting = deque(jobs)
    shared = common([job.opening() for job in jobs]) if jobs else []
    largest = max((job.max_cells for job in jobs), default=0)
    prefixes.hold(shared, context.context_tokens - largest + len(shared))
    try:
        while waiting or active:
            while waiting and len(free) >= waiting[0].search.num_rows:
                room = context.context_tokens - prefixes.num_cells
                room -= sum(job.num_cells for job in active)
                if not _admit(waiting[0], room, free, context, prefixes):
                    break
                active.append(waiting.popleft())
            for job in _advance(active, context):
                if job.is_over:
                    active.remove(job)
                    free += _released(job, context)
                yield job
    except DecodeError:
        prefixes.clear()
        context.clear()
        raise
    finally:
        for job in active:
            _released(job, context)


def _admit(job: Job, room: int, free: list[int], context: Context, prefixes: Prefixes) -> bool:
    """Let a job begin if there is room for it."""
    sequence, opening, max_cells = free[-1], job.opening(), job.max_cells
    num_shared = prefixes.share(opening, sequence)
    if max_cells - num_shared > room:
        context.remove(sequence)
        return False
    job.num_cells = max_cells - num_shared
    job.sequences = [free.pop() for _ in range(job.search.num_rows)]
    job.position = num_shared
    if num_shared:
        rest = job.parts.popleft()[num_shared:]
        if len(rest):
            job.parts.appendleft(rest)
    return True


def _advance(active: Sequence[Job], context: Context) -> list[Job]:
    """One step of llama.cpp; the jobs whose search went on by it."""
    taken: list[tuple[Job, Part, list[Row]]] = []
    room = BATCH_ROWS
    embeddings = any(job.reads_embeddings() for job in active)
    for job in sorted(active, key=lambda job: not job.feed):  # answers before prompts
        if job.feed and not embeddings and len(job.feed) <= room:
            taken.append((job, *job.take_feed()))
        elif job.parts and room and job.reads_embeddings() == embeddings:
            taken.append((job, *job.take(room)))
        else:
            continue
        room -= len(taken[-1][2])
    parts = [part for _, part, _ in taken]
    content = np.concatenate(parts) if embeddings else [token for part in parts for token in part]
    logits = iter(context.evaluate(content, [row for _, _, rows in taken for row in rows]))
    advanced: list[Job] = []
    for job, _, rows in taken:
        found = [next(logits) for row in rows if row.wanted]
        if found:
            steps = job.search.advance(np.stack(found))
            job.is_over = not steps
            if steps:
                job.follow(steps, context)
            advanced.append(job)
    return advanced


def _released(job: Job, context: Context) -> list[int]:
    """The sequences of a job, empty again."""
    for sequence in job.sequences:
        context.remove(sequence)
    return job.sequences
