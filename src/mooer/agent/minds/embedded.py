"""The mind that comes with mooer: a small LLM on llama.cpp, Qwen2.5 by default."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal

from mooer.agent.mind import ENDING_LETTERS, Tool, ToolCall, Turn
from mooer.agent.minds.calls import as_text, parsed
from mooer.agent.minds.draft import Chats, Draft, by_clauses
from mooer.agent.minds.history import fitting, num_tokens
from mooer.agent.minds.spoken_text import spoken_text, without_loops
from mooer.agent.minds.wording import language_of, spoken, with_tools
from mooer.engines.llm import LLM
from mooer.errors import AgentError, DecodeError
from mooer.store import fetch
from mooer.tasks.prompts import Message

NAME = "qwen2.5-0.5b"
CONTEXT_TOKENS = 4096
_ENDS = frozenset(".?!。？！…")
_RESPONSE = ("<tool_response>\n", "\n</tool_response>")
# What a small model answers from best: the result in plain words, and what to do with it.
_TOLD = {
    "zh": ("查到的结果是：{}", "请根据这个结果，用一句话回答我。"),
    "en": ("The result is: {}", "Answer me with this result, in one sentence."),
}


Role = Literal["user", "assistant"]


class Embedded:
    """Answers by a language model in this process."""

    hears = False

    def __init__(self, llm: Chats) -> None:
        self._llm = llm

    @classmethod
    def open(cls, model: str = NAME, *, num_threads: int | None = None) -> Embedded:
        """The mind of a model of the catalog, or of a GGUF file; fetched if need be.

        StoreError if it cannot be had, ModelError if it is none.
        """
        path = Path(model).expanduser()
        found = path if path.exists() else fetch(model)
        return cls(LLM(found, num_threads=num_threads, context_tokens=CONTEXT_TOKENS))

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[str | ToolCall, None, None]:
        """The answer to the last turn; the oldest turns that do not fit are left out.

        AgentError if there is nothing to answer; DecodeError if the last turn alone does not fit.
        """
        draft = Draft(self._llm, max_tokens)
        names = {tool.name for tool in tools}
        num_calls = sum(len(turn.calls) for turn in turns)
        with closing(self._pieces(turns, system, tools, draft, max_tokens)) as pieces:
            calls = parsed(pieces, names, start=num_calls)
            with closing(without_loops(by_clauses(spoken_text(calls), draft))) as answer:
                yield from answer

    def read(self, turns: Sequence[Turn], *, system: str, tools: Sequence[Tool] = ()) -> None:
        """Read what will be answered as far as it is known, so that little is left to read then.

        The words as `ends` has them come first: of the two prefixes that the model keeps, it gives
        up the one that was used longer ago, and the conversation is longer to read again. Those of
        a long turn are not: as it grows, the last of it begin elsewhere.
        """
        if 0 < len(turns[-1].text) <= ENDING_LETTERS:
            self.ends(turns[-1].text)
        with closing(self._pieces(turns, system, tools, Draft(self._llm, 1), 1)) as pieces:
            next(pieces, None)

    def ends(self, text: str) -> float:
        """Probability that a full stop, or nothing, follows a text."""
        likely = self._llm.likely_next(text)
        marks = ((token.strip()[:1], p) for token, p in likely.items())
        return math.fsum(p for mark, p in marks if not mark or mark in _ENDS)

    def _pieces(
        self,
        turns: Sequence[Turn],
        system: str,
        tools: Sequence[Tool],
        draft: Draft,
        max_tokens: int,
    ) -> Generator[str, None, None]:
        if not turns:
            raise AgentError("there is no turn to answer: say something first")
        language = language_of(turns)
        # A small model that has a result calls on and on: then it is shown no tools.
        is_told = turns[-1].role == "tool"
        prompt = with_tools(spoken(system, language), () if is_told else tools)
        room = self._llm.context_tokens - max_tokens - num_tokens(prompt) - 16
        num_left_out = 0
        while True:
            num_left_out, shown = fitting(turns, room, first=num_left_out)
            messages = [Message("system", prompt), *_messages(shown, language)]
            try:
                with closing(draft.pieces(messages)) as pieces:
                    yield from pieces
                return
            except DecodeError:
                # The lengths were estimated: a prompt that was refused is tried with less.
                if draft.has_begun or len(shown) == 1:
                    raise
                num_left_out += 1


def _messages(turns: Sequence[Turn], language: str) -> list[Message]:
    """Turns as Qwen's template has them; results of tools are told by the user.

    The call whose result is last is not shown: a small model would go on with another like it.
    """
    found: list[Message] = []
    told, ask = _TOLD.get(language, _TOLD["en"])
    called = max((i for i, turn in enumerate(turns) if turn.calls), default=-1)
    last = called if turns[-1].role == "tool" else len(turns)
    for i, turn in enumerate(turns):
        text = turn.text.encode(errors="replace").decode()
        if turn.role == "tool":
            text = told.format(text) if i > last else text.join(_RESPONSE)
        elif turn.calls and i < last:
            text = f"{text}\n{as_text(turn.calls)}".strip()
        elif turn.role == "assistant" and turn.is_cut:
            text += "…"
        role: Role = "assistant" if turn.role == "assistant" else "user"
        if found and found[-1].role == role:
            found[-1] = Message(role, f"{found[-1].content}\n{text}")
        elif text.strip():
            found.append(Message(role, text))
    if last < len(turns):
        found[-1] = Message("user", f"{found[-1].content}\n{ask}")
    return found
