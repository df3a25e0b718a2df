"""What answers: a mind reads the turns so far and writes an answer piece by piece."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mooer.agent.events import Source

Samples = NDArray[np.float32]

ENDING_LETTERS = 200  # that an `EndingMind` is shown at most


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the mind wants to be called."""

    id: str
    name: str
    arguments: str  # JSON


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """A turn of the conversation, as far as it was heard."""

    role: Literal["user", "assistant", "tool"]
    text: str
    samples: Samples | None = None  # [T] at 16 kHz, of a user's turn, for minds that hear
    language: str = ""
    is_cut: bool = False  # the user interrupted it
    calls: tuple[ToolCall, ...] = ()  # of an assistant's turn
    call: str = ""  # of a tool's turn: the id of the call that it answers


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that may be called."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(default_factory=dict)  # JSON schema


class Mind(Protocol):
    """Answers conversations; one at a time, from any one thread."""

    hears: bool  # whether it wants the samples of the user's turns

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[str | ToolCall, None, None]:
        """The answer to the last turn, in pieces of text as it is written; closing it stops it.

        AgentError in one sentence if it cannot be had; DecodeError if it does not fit.
        """
        ...


@runtime_checkable
class ReadingMind(Mind, Protocol):
    """A mind that keeps what it has read."""

    def read(self, turns: Sequence[Turn], *, system: str, tools: Sequence[Tool] = ()) -> None:
        """Read what `answer` will be asked, of which the last turn's text is not yet whole."""
        ...


@runtime_checkable
class EndingMind(Mind, Protocol):
    """A mind that knows where sentences end; of a long turn it is shown the last letters."""

    def ends(self, text: str) -> float | None:
        """Probability that a sentence ends after a text without marks; None if it cannot tell.

        From any thread, while an answer is written too.
        """
        ...


class Knowledge(Protocol):
    """Where something is looked up: a folder of the user's, the web; from any thread."""

    def search(self, text: str, num: int) -> list[Source]:
        """The `num` best sources at most for what was said, the best first; [] if none fits.

        AgentError in one sentence if it cannot be asked.
        """
        ...
