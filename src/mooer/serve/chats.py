"""Models that answer: a speech LLM that hears what is asked, or an LLM that reads it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from mooer.engines.llm import LLM, usable_cores
from mooer.engines.speech_llm import SpeechLLM
from mooer.errors import ConfigError
from mooer.infer.chat import Chat, open_model, read_recording
from mooer.infer.speech_llm import holds_speech_llm
from mooer.serve.jobs import Job
from mooer.serve.settings import Settings
from mooer.store import fetch
from mooer.tasks import Message
from mooer.tasks.conversation import MARK

_POLL_S = 0.2


@dataclass(frozen=True)
class ChatTurn:
    """A turn; `audio` are the files that are heard at the marks in its text."""

    role: str  # system | user | assistant
    text: str
    audio: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class ChatWanted:
    """How to answer."""

    max_tokens: int
    temperature: float


@dataclass(frozen=True)
class ChatUsage:
    """What an answer took, in tokens."""

    text: int
    audio: int
    answer: int
    is_cut: bool  # whether it ended for its length


class ChatEngine(Protocol):
    """Answers one conversation after the other."""

    def answer(
        self, job: Job, turns: Sequence[ChatTurn], wanted: ChatWanted
    ) -> Iterator[str | ChatUsage]:
        """The answer in pieces, at last what it took."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class _Turns:
    """A lock that a job waits for only as long as it is wanted."""

    def __init__(self, job: Job, lock: threading.Lock) -> None:
        self._job, self._lock = job, lock

    def __enter__(self) -> None:
        while not self._lock.acquire(timeout=_POLL_S):
            self._job.check()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class SpeechChat:
    """A speech LLM."""

    def __init__(self, model: SpeechLLM) -> None:
        self._model = model
        self._lock = threading.Lock()

    def answer(
        self, job: Job, turns: Sequence[ChatTurn], wanted: ChatWanted
    ) -> Iterator[str | ChatUsage]:
        """The answer in pieces. AudioError, ConfigError and DecodeError as `Chat.say` has them."""
        system, said = _split(turns)
        recordings = [[read_recording(one) for one in turn.audio] for turn in said]
        with _Turns(job, self._lock):
            chat = Chat(
                self._model,
                system=system,
                max_tokens=wanted.max_tokens,
                temperature=wanted.temperature,
            )
            for place in range(0, len(said) - 1, 2):
                chat.remember(said[place].text, recordings[place], said[place + 1].text)
            with closing(chat.say(said[-1].text, recordings[-1])) as pieces:
                for piece in pieces:
                    job.check()
                    yield piece
            text, sound, answer = chat.num_tokens()
        yield ChatUsage(text, sound, answer, answer >= wanted.max_tokens)

    def close(self) -> None:
        """Give the memory back, when the last answer is written."""
        with self._lock:
            self._model.close()


class TextChat:
    """An LLM that reads alone."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._lock = threading.Lock()

    def answer(
        self, job: Job, turns: Sequence[ChatTurn], wanted: ChatWanted
    ) -> Iterator[str | ChatUsage]:
        """The answer in pieces. ConfigError if there is something to hear."""
        if any(turn.audio for turn in turns):
            raise ConfigError("this model reads and does not hear: leave input_audio out")
        messages = [Message(turn.role, turn.text) for turn in turns]  # type: ignore[arg-type]
        num_pieces = 0
        with _Turns(job, self._lock):
            said = self._llm.chat(
                messages, max_tokens=wanted.max_tokens, temperature=wanted.temperature
            )
            with closing(said) as pieces:
                for piece in pieces:
                    job.check()
                    num_pieces += 1  # a token each, nearly
                    yield piece
        yield ChatUsage(0, 0, num_pieces, num_pieces >= wanted.max_tokens)

    def close(self) -> None:
        """Give the memory back, when the last answer is written."""
        with self._lock:
            self._llm.close()


def load_chat(name: str, settings: Settings) -> ChatEngine:
    """A speech LLM, or an LLM, by its name or folder. StoreError or ModelError."""
    threads = settings.threads or usable_cores()
    if holds_speech_llm(fetch(name)):
        return SpeechChat(open_model(name, num_threads=threads))
    return TextChat(LLM(fetch(name), num_threads=threads))


def _split(turns: Sequence[ChatTurn]) -> tuple[str | None, list[ChatTurn]]:
    """The system's text, and turns of user and assistant in alternation, the user's last."""
    system = "\n".join(turn.text for turn in turns if turn.role == "system") or None
    said: list[ChatTurn] = []
    for turn in turns:
        if turn.role == "system":
            continue
        if said and said[-1].role == turn.role:
            last = said.pop()
            texts = [_marked(last), _marked(turn)] if last.audio or turn.audio else None
            text = "\n".join(texts or [last.text, turn.text])
            said.append(ChatTurn(turn.role, text, last.audio + turn.audio))
        else:
            said.append(turn)
    if not said or said[-1].role != "user" or said[0].role != "user":
        raise ConfigError("a conversation begins and ends with the user: ask something")
    return system, said


def _marked(turn: ChatTurn) -> str:
    """A text with a mark for each sound."""
    if MARK in turn.text or not turn.audio:
        return turn.text
    return MARK * len(turn.audio) + turn.text
