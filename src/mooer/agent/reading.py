"""What the user has said so far is read by the mind while he goes on speaking.

A language model that keeps what it has read, reads of the whole turn the rest alone when it is to
answer; of a conversation's first turn that spares it all its instructions.
"""

from __future__ import annotations

from collections.abc import Generator

from mooer.agent.answering import Answering
from mooer.agent.context import Context, Task
from mooer.agent.jobs import Tell, Work
from mooer.agent.memory import Memory
from mooer.agent.mind import ReadingMind, Tool, Turn
from mooer.agent.thinking import Ask, Question
from mooer.errors import MooerError


class Reading:
    """One partial text at a time, and only while nothing is answered."""

    def __init__(self, context: Context, answering: Answering, memory: Memory) -> None:
        self._context = context
        self._answering = answering
        self._memory = memory
        self._task: Task | None = None

    def read(self, said: Turn) -> None:
        """Begin to read a turn as far as it is known, if the mind does such a thing."""
        mind, options = self._context.parts.mind, self._context.options
        wants = options.speculate and options.create_response
        if not (wants and isinstance(mind, ReadingMind) and self._answering.is_idle):
            return
        if self._task is not None:
            return
        question = Ask(said=said, is_remembered=False).question(self._memory.turns, options, ())
        work = _reading(mind, question, tuple(self._answering.calling.tools))
        self._task = self._context.start("think", work, options.think_s, _nothing, self._done)

    def _done(self, error: MooerError | None) -> None:
        self._task = None
        if error:
            self._context.fail("think", error)


def _nothing(_: object) -> None:
    """Reading brings no result."""


def _reading(mind: ReadingMind, question: Question, tools: tuple[Tool, ...]) -> Work:
    def work(_: Tell) -> Generator[None, None, None]:
        mind.read(question.turns, system=question.system, tools=tools)
        yield

    return work
