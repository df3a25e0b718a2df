"""Functions that the mind calls: ours are run here, others are told to the client."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial

from mooer.agent.answer import Answer, Round
from mooer.agent.context import Context, Task
from mooer.agent.events import ToolCalled
from mooer.agent.jobs import Tell, Work
from mooer.agent.mind import Tool, ToolCall
from mooer.agent.parts import Toolbox
from mooer.errors import AgentError, MooerError, first_line

_NUM_LATE = 64  # calls of which a late result is taken without complaint


class Calling:
    """The calls of answers, until each has its result; `on_results` then goes on."""

    def __init__(self, context: Context, on_results: Callable[[Answer], None]) -> None:
        self._context = context
        self._on_results = on_results
        self._owed: dict[str, Round] = {}  # calls without a result
        self._tasks: dict[str, Task] = {}
        self._late: list[str] = []

    @property
    def tools(self) -> tuple[Tool, ...]:
        """All that the mind may call."""
        toolbox = self._context.parts.toolbox
        return (*(toolbox.tools if toolbox else ()), *self._context.options.tools)

    @property
    def is_owed(self) -> bool:
        """Whether results are awaited."""
        return bool(self._owed)

    def tell(self, answer: Answer, call: ToolCall) -> None:
        """Tell the client of a call."""
        self._context.tell(
            ToolCalled(
                self._context.time_s,
                answer.number,
                call.id,
                call.name,
                call.arguments,
                self._is_ours(call),
            )
        )

    def run(self, answer: Answer, round_: Round) -> bool:
        """Start what is ours; whether the answer goes on by itself once the results are there."""
        ours = [call for call in round_.calls if self._is_ours(call)]
        options = self._context.options
        if len(answer.rounds) > options.max_tool_rounds:
            self._context.fail(
                "tool", AgentError(f"the mind called functions {len(answer.rounds)} times in a row")
            )
            return False
        self._owed.update({call.id: round_ for call in round_.calls})
        for call in ours:
            toolbox = self._context.parts.toolbox
            assert toolbox is not None
            self._tasks[call.id] = self._context.start(
                "tool",
                _running(toolbox, call),
                options.tool_s,
                partial(self._take, call.id),
                partial(self._done, call.id),
            )
        return len(ours) == len(round_.calls)

    def result(self, call: str, output: str) -> None:
        """A result from the client; AgentError if nobody called."""
        if call in self._late:
            return
        if call not in self._owed:
            raise AgentError(f"no call {call!r} waits for a result: it was not made, or has one")
        self._take(call, output)

    def stop(self, answer: Answer) -> None:
        """The answer is broken off: results that come now are not wanted."""
        for call in [call for call, round_ in self._owed.items() if round_.answer is answer]:
            del self._owed[call]
            self._late = [*self._late[1 - _NUM_LATE :], call]
            if task := self._tasks.pop(call, None):
                task.close()

    def _is_ours(self, call: ToolCall) -> bool:
        toolbox = self._context.parts.toolbox
        return toolbox is not None and any(tool.name == call.name for tool in toolbox.tools)

    def _take(self, call: str, output: object) -> None:
        round_ = self._owed.pop(call, None)
        if round_ is None:
            return
        round_.results[call] = str(output)
        if not any(owed.answer is round_.answer for owed in self._owed.values()):
            self._on_results(round_.answer)

    def _done(self, call: str, error: MooerError | None) -> None:
        self._tasks.pop(call, None)
        if error:
            self._context.fail("tool", error)
            self._take(call, f"error: {first_line(error)}")


def _running(toolbox: Toolbox, call: ToolCall) -> Work:
    def work(tell: Tell) -> Generator[None, None, None]:
        tell(toolbox.run(call.name, call.arguments))
        yield

    return work
