"""The models of an agent as one conversation sees them, while many others use the same.

What is asked of them waits in a fair order, and not for one who has left: by the time it has taken
the caller who had least goes first, and of one caller the conversation that had least.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from mooer.agent.mind import EndingMind, Mind, ReadingMind, Tool, ToolCall, Turn
from mooer.agent.parts import Hear, Heard, Samples
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.serve.batcher import Batcher
from mooer.serve.jobs import Job

_POLL_S = 0.05
_ANSWER_COST = 10.0  # of an answer, where a clause that is spoken costs its letters
_READ_COST = 1.0  # of some words that are read ahead

Piece = str | ToolCall
T = TypeVar("T")


class SharedHear:
    """What hears for one conversation (a `Hear`), while a thread hears for all of them in turn."""

    def __init__(self, hear: Hear, hearing: Batcher[Callable[[], Heard], Heard], job: Job) -> None:
        self._hear = hear
        self._hearing = hearing
        self._job = job

    def hear(
        self, samples: Samples, *, language: str | None = None, is_final: bool = True
    ) -> Heard:
        """As `Hear` has it. StoppedError once the caller has left."""
        seconds = len(samples) / SAMPLE_RATE_HZ

        def work() -> Heard:
            return self._hear.hear(samples, language=language, is_final=is_final)

        [found] = self._hearing.map(self._job, None, [work], [seconds])
        return found


def hearing_thread() -> Batcher[Callable[[], Heard], Heard]:
    """What hears for all conversations of an agent."""
    return Batcher(_run, max_batch=1, name="hear")


class Thinking:
    """A mind with a thread of its own, in which it writes one answer after the other."""

    def __init__(self, mind: Mind) -> None:
        self.mind = mind
        self._batcher = Batcher[Callable[[], None], None](_run, max_batch=1, name="mind")

    @property
    def num_waiting(self) -> int:
        """Answers that are not begun."""
        return self._batcher.num_waiting

    def submit(self, job: Job, work: Callable[[], None]) -> Callable[[], None]:
        """Have work done when it is its turn; gives what takes it back again."""
        futures = self._batcher.submit(job, None, [work], [_ANSWER_COST])
        return lambda: self._batcher.withdraw(futures)

    def run_if_idle(self, job: Job, work: Callable[[], None]) -> None:
        """Have work done if there is no other, and wait for it. StoppedError once it has left."""
        if self._batcher.is_idle:
            self._batcher.map(job, None, [work], [_READ_COST])

    def close(self) -> None:
        """End the thread after the answer that it is at."""
        self._batcher.close()
        close = getattr(self.mind, "close", None)
        if close is not None:
            close()


def _run(_: object, works: Sequence[Callable[[], T]]) -> list[T]:
    return [work() for work in works]


@dataclass(frozen=True)
class _Over:
    """Nothing more is written; with an error, why."""

    error: BaseException | None = None


class SharedMind:
    """A mind for one conversation.

    An answer is written as it is read, so that its clauses are not spoken on cores that write what
    nobody needs yet; where another one waits to be written, as fast as it can be.
    """

    def __init__(self, thinking: Thinking, job: Job) -> None:
        self._thinking = thinking
        self._job = job
        self.hears = thinking.mind.hears

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[Piece, None, None]:
        """As the mind has it. StoppedError once the caller has left."""
        writing = _Writing(self._thinking, self._job)

        def make() -> Generator[Piece, None, None]:
            mind = self._thinking.mind
            return mind.answer(turns, system=system, tools=tools, max_tokens=max_tokens)

        take_back = self._thinking.submit(self._job, lambda: writing.run(make))
        try:
            yield from writing.pieces()
        finally:
            writing.is_wanted = False
            take_back()

    def read(self, turns: Sequence[Turn], *, system: str, tools: Sequence[Tool] = ()) -> None:
        """As `ReadingMind` has it, if the mind is one and has nothing else to do.

        What it reads for one it soon forgets for others. StoppedError once the caller has left.
        """
        mind = self._thinking.mind
        if isinstance(mind, ReadingMind):
            work = partial(mind.read, turns, system=system, tools=tools)
            self._thinking.run_if_idle(self._job, work)

    def ends(self, text: str) -> float | None:
        """As `EndingMind` has it, if the mind is one; it does not wait for its turn."""
        mind = self._thinking.mind
        return mind.ends(text) if isinstance(mind, EndingMind) else None


class _Writing:
    """One answer between the thread that writes it and the one that reads."""

    def __init__(self, thinking: Thinking, job: Job) -> None:
        self.is_wanted = True
        self._thinking = thinking
        self._job = job
        self._asked = threading.Event()  # for a further piece
        self._pieces: queue.SimpleQueue[Piece | _Over] = queue.SimpleQueue()

    def run(self, make: Callable[[], Generator[Piece, None, None]]) -> None:
        """In the thread of the mind; whatever goes wrong is raised where it is read."""
        if not self.is_wanted:
            return
        try:
            with closing(make()) as found:
                for piece in found:
                    self._asked.clear()
                    self._pieces.put(piece)
                    self._await_reader()
                    if not self.is_wanted:
                        return
        except BaseException as error:
            self._pieces.put(_Over(error))
        else:
            self._pieces.put(_Over())

    def _await_reader(self) -> None:
        """Stand still until a further piece is asked for, unless somebody else waits."""
        while self.is_wanted and not self._asked.wait(_POLL_S):
            self._job.check()
            if self._thinking.num_waiting:
                return

    def pieces(self) -> Generator[Piece, None, None]:
        """What is written, as it comes."""
        while True:
            self._job.check()
            if self._pieces.empty():
                self._asked.set()
            try:
                piece = self._pieces.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if isinstance(piece, _Over):
                if piece.error is not None:
                    raise piece.error
                return
            yield piece
