"""Tool calls in a text that is still being written: Qwen's <tool_call> tags, and what small models
make of them.

A small model leaves the tags away, or writes a call as a block of code. So an answer that begins
like JSON is held back until the object is whole; other text goes through as it comes.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from mooer.agent.mind import ToolCall

logger = logging.getLogger(__name__)

BEGIN, END = _TAGS = "<tool_call>", "</tool_call>"
_MAX_CHARS = 4000  # of a call
_BEFORE = re.compile(r"(?:\s|</?tool_calls?>|</?tools>|```\w*|\[)*")
_AFTER = re.compile(r"(?:\s|</?tool_calls?>|</?tools>|```|[\],])*")


def parsed(
    pieces: Iterable[str], names: Collection[str], *, start: int = 0
) -> Iterator[str | ToolCall]:
    """Text and calls of the functions `names`, in the order in which they are whole.

    What looks like a call but is none, or is of a function that is not there, is left out with a
    line in the log: it is not to be spoken. `start` numbers the first call, for its id.
    """
    if not names:
        yield from pieces
        return
    reader = _Reader(names, start)
    for piece in pieces:
        yield from reader.read(piece)
    yield from reader.end()


def as_text(calls: Sequence[ToolCall]) -> str:
    """Calls as the model has written them, for its memory."""
    return "\n".join(
        f'{BEGIN}\n{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}\n{END}'
        for call in calls
    )


class _Reader:
    """Tells text from calls."""

    def __init__(self, names: Collection[str], number: int) -> None:
        self._names = names
        self._number = number
        self._held = ""
        self._is_call = False
        self._was_call = False  # marks behind it belong to it
        self._has_said = False

    def read(self, piece: str) -> Iterator[str | ToolCall]:
        self._held += piece
        while self._held:
            before = self._held, self._is_call
            yield from self._call() if self._is_call else self._text()
            if (self._held, self._is_call) == before:
                return

    def end(self) -> Iterator[str | ToolCall]:
        if self._is_call:
            logger.warning("the mind wrote a broken call, which is left out: %.80r", self._held)
        elif self._held.strip():
            yield self._held

    def _text(self) -> Iterator[str]:
        """Give out what is text for sure."""
        if self._was_call:
            self._held = self._held[_after(self._held) :]
        at = self._held.find(BEGIN)
        if at < 0 and not self._has_said:
            bare = self._held.lstrip()
            if bare.startswith(("{", "```", "[{")):
                self._is_call = True
                return
            if not bare or "```".startswith(bare) or bare == "[":
                return
        self._is_call = at >= 0
        end = at if at >= 0 else len(self._held) - max(overlap(self._held, tag) for tag in _TAGS)
        said, self._held = self._held[:end], self._held[end:]
        if said.strip():
            self._has_said, self._was_call = True, False
        if said:
            yield said

    def _call(self) -> Iterator[ToolCall]:
        """Give out a call as soon as its object is whole."""
        begin = _BEFORE.match(self._held).end()  # type: ignore[union-attr]  # it matches ""
        try:
            found, end = json.JSONDecoder().raw_decode(self._held, begin)
        except (ValueError, RecursionError):
            closes = self._held.find(END, begin)
            if closes >= 0:
                logger.warning("the mind wrote a broken call, which is left out: %.80r", self._held)
                self._held = self._held[closes + len(END) :]
                self._is_call = False
            elif len(self._held) > _MAX_CHARS:
                self._held = self._held[-len(END) :]
            return
        self._held, self._is_call, self._was_call = self._held[end:], False, True
        self._has_said = False  # another call may follow, without tags as well
        call = _call_of(found, self._names, self._number)
        if call is None:
            logger.warning("the mind calls what is not there, which is left out: %.80r", found)
            return
        self._number += 1
        yield call


def _call_of(found: Any, names: Collection[str], number: int) -> ToolCall | None:
    if not isinstance(found, dict) or found.get("name") not in names:
        return None
    arguments = found.get("arguments", found.get("parameters", {}))
    if isinstance(arguments, str):  # JSON in JSON
        try:
            arguments = json.loads(arguments)
        except ValueError:
            return None
    if not isinstance(arguments, dict):
        return None
    written = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(f"call_{number}", found["name"], written)


def _after(text: str) -> int:
    match = _AFTER.match(text)
    return match.end() if match else 0


def overlap(text: str, tag: str) -> int:
    """How many characters at the end of a text may begin a tag."""
    for size in range(min(len(text), len(tag) - 1), 0, -1):
        if text.endswith(tag[:size]):
            return size
    return 0
