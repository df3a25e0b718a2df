"""An answer while a language model writes it: halted where a clause is whole.

The model writes in threads of its own, as fast as it can, whether it is read or not. While the
first clauses are spoken it would take their cores, and nobody needs what it writes by then.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Protocol

from mooer.agent.mind import ToolCall
from mooer.speak.clauses import SOON, ClauseCutter
from mooer.tasks.prompts import Message

_HALTS = 8  # clauses; later ones are spoken while the ones before play, and there is time


class Chats(Protocol):
    """What a mind asks of a language model; `mooer.engines.llm.LLM` does.

    Where the last message is the assistant's, its answer goes on from there.
    """

    context_tokens: int

    def chat(self, messages: Sequence[Message], *, max_tokens: int) -> Generator[str, None, None]:
        """The answer to a conversation; DecodeError if it does not fit."""
        ...

    def likely_next(self, prompt: str) -> dict[str, float]:
        """The likeliest tokens after a bare text, and their probabilities; "" ends it."""
        ...


class Draft:
    """One answer of a model; halted, it goes on from there when more of it is read."""

    def __init__(self, llm: Chats, max_tokens: int) -> None:
        self._llm = llm
        self._left = max_tokens
        self._text = ""
        self._stream: Generator[str, None, None] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether something was written."""
        return bool(self._text)

    def pieces(self, messages: Sequence[Message]) -> Generator[str, None, None]:
        """The answer to a conversation as it is written."""
        while self._left > 0:
            so_far = [Message("assistant", self._text)] if self._text else []
            stream = self._stream = self._llm.chat([*messages, *so_far], max_tokens=self._left)
            with closing(stream):
                for piece in stream:
                    self._text += piece
                    self._left -= 1
                    yield piece
                    if self._stream is None:
                        break
                else:
                    return

    def halt(self) -> None:
        """Let the model stand still until more is read."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def by_clauses(pieces: Iterable[str | ToolCall], draft: Draft) -> Iterator[str | ToolCall]:
    """The same, the draft halted whenever one of the first clauses is whole."""
    cutter, num_halts = ClauseCutter(SOON), 0
    for piece in pieces:
        if num_halts < _HALTS and isinstance(piece, str) and cutter.push(piece):
            draft.halt()
            num_halts += 1
        yield piece
