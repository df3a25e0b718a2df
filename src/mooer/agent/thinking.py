"""The work of an answer: the mind writes, its words are spoken as they come."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

from mooer.agent.events import Source
from mooer.agent.jobs import Tell, Work
from mooer.agent.knowledge.quotes import quoted
from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Parts
from mooer.agent.policy import follow_up
from mooer.errors import MooerError
from mooer.speak.base import Voice


@dataclass(frozen=True, slots=True)
class Written:
    """A further piece of text."""

    text: str


@dataclass(frozen=True, slots=True)
class Called:
    """The mind wants a function called."""

    call: ToolCall


@dataclass(frozen=True, slots=True)
class Stuck:
    """The mind failed; what it wrote before is spoken to its end."""

    error: MooerError


@dataclass(frozen=True)
class Question:
    """What the mind is asked."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: Sequence[Tool] = ()
    text: str | None = None  # the answer itself, where no mind is asked


@dataclass
class Ask:
    """What an answer is wanted for."""

    turn: int | None = None  # its number
    said: Turn | None = None  # the user's turn
    is_remembered: bool = True  # whether memory holds that turn
    instructions: str = ""
    text: str | None = None  # the answer itself, if no mind is to be asked
    request: str = ""  # put to the mind as if the user said it, and not remembered
    moments: dict[str, float] = field(default_factory=dict)
    start_by_s: float = 0.0  # what is looked up is not awaited longer

    def question(
        self, turns: tuple[Turn, ...], options: AgentOptions, sources: Sequence[Source]
    ) -> Question:
        """What the mind is asked, with what memory holds, and with what was found."""
        if self.said and not self.is_remembered:
            turns = (*turns, self.said)
        language = (self.said.language if self.said else "") or options.language or ""
        asks_back = follow_up(turns, options.policy, language)
        if sources and turns:
            last = turns[-1]
            shown = quoted(last.text, sources, language=last.language)
            turns = (*turns[:-1], replace(last, text=shown))
        if self.request:
            turns = (*turns, Turn("user", self.request))
        lines = (options.instructions, self.instructions, asks_back)
        return Question(turns, system="\n\n".join(filter(None, lines)), text=self.text)


def answering(parts: Parts, options: AgentOptions, question: Question) -> Work:
    """Work that tells `Written`, `Called`, `Stuck`, and `Spoken` clauses as they are made."""
    voice = Voice.parse(options.voice) if options.voice else None

    def work(tell: Tell) -> Generator[None, None, None]:
        pieces = _pieces(parts, options, question, tell)
        if not options.speaks:
            for _ in pieces:
                yield
            return
        with closing(parts.voicing.voice(pieces, voice=voice, speed=options.speed)) as clauses:
            for spoken in clauses:
                tell(spoken)
                yield

    return work


def _pieces(parts: Parts, options: AgentOptions, question: Question, tell: Tell) -> Iterator[str]:
    """The text as it is written, told on the way."""
    if question.text is not None:
        tell(Written(question.text))
        yield question.text
        return
    try:
        with closing(
            parts.mind.answer(
                question.turns,
                system=question.system,
                tools=question.tools,
                max_tokens=options.max_tokens,
            )
        ) as written:
            for piece in written:
                if isinstance(piece, ToolCall):
                    tell(Called(piece))
                elif piece:
                    tell(Written(piece))
                    yield piece
    except MooerError as error:
        tell(Stuck(error))
