"""A mind that hears: a speech LLM of mooer is given the sound of the user's turn, not its text."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import closing

from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.minds.history import fitting, num_tokens
from mooer.agent.minds.spoken_text import spoken_text, without_loops
from mooer.agent.minds.wording import language_of, spoken
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.speech_llm import SpeechLLM
from mooer.errors import AgentError, AudioError
from mooer.infer.chat import Chat, Recording, open_model
from mooer.infer.speech_llm import MAX_S

logger = logging.getLogger(__name__)

NAME = "mini"
_SOUND_TOKENS = 25 * int(MAX_S)  # of the longest turn, at the most that an adapter gives


class Heard:
    """Answers by a speech LLM; it calls no tools.

    The last turn is heard; of those before, what was said is known as text.
    """

    hears = True

    def __init__(self, model: SpeechLLM) -> None:
        self._model = model

    @classmethod
    def open(cls, model: str = NAME, *, num_threads: int | None = None) -> Heard:
        """The mind of a model of the catalog, or of a folder.

        StoreError if it cannot be had, ModelError if it cannot chat.
        """
        return cls(open_model(model, num_threads=num_threads))

    def answer(
        self,
        turns: Sequence[Turn],
        *,
        system: str,
        tools: Sequence[Tool] = (),
        max_tokens: int = 200,
    ) -> Generator[str | ToolCall, None, None]:
        """The answer to the last turn: to its sound if it has one, else to its text.

        AgentError if the last turn is none of the user's, or holds nothing.
        """
        if not turns or turns[-1].role != "user":
            raise AgentError("a mind that hears answers the user: the last turn is not the user's")
        if tools:
            logger.warning("a mind that hears calls no tools: %d are left out", len(tools))
        *before, last = turns
        told = spoken(system, language_of(turns))
        chat = Chat(self._model, system=told, max_tokens=max_tokens)
        room = self._model.llm.context_tokens - max_tokens - _SOUND_TOKENS - num_tokens(told)
        for question, reply in _pairs(fitting([*before, last], room)[1][:-1]):
            chat.remember(question, (), reply)
        with (
            closing(self._said(chat, last)) as pieces,
            closing(without_loops(spoken_text(pieces))) as answer,
        ):
            yield from answer

    def _said(self, chat: Chat, turn: Turn) -> Generator[str, None, None]:
        if turn.samples is not None and len(turn.samples):
            # Of a long turn the end is what wants an answer.
            samples = turn.samples[-int(MAX_S * SAMPLE_RATE_HZ) :]
            try:
                yield from chat.say("", [Recording("turn", samples)])
                return
            except AudioError as error:
                logger.warning("the turn is answered by its text: %s", error)
        if not turn.text.strip():
            raise AgentError("there is nothing to answer: the turn holds neither sound nor words")
        yield from chat.say(turn.text)


def _pairs(turns: Sequence[Turn]) -> list[tuple[str, str]]:
    """What the user said and what was answered; turns without the other are joined or left out."""
    found: list[tuple[str, str]] = []
    asked = ""
    for turn in turns:
        if turn.role == "user":
            asked = f"{asked}\n{turn.text}".strip()
        elif turn.role == "assistant" and turn.text.strip() and asked:
            found.append((asked, turn.text))
            asked = ""
    return found
