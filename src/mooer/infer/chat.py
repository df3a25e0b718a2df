"""A conversation with a speech LLM about recordings: text and sound turn by turn, without torch.

    with open_model("my-model") as model:
        chat = Chat(model)
        for piece in chat.say("What is said here?", [read_recording("talk.wav")]):
            print(piece, end="", flush=True)
        print("".join(chat.say("And in which language?")))

A recording is heard once, and its embeddings stay with its turn.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from mooer.audio.wave import SAMPLE_RATE_HZ, Source, read_wave
from mooer.decoding.pieces import pieces
from mooer.engines.embedding_llm import Floats, Prompt
from mooer.engines.speech_folder import CONFIG, read_options
from mooer.engines.speech_llm import SpeechLLM
from mooer.engines.token_search import GenerateOptions
from mooer.errors import AudioError, ConfigError, DecodeError, ModelError
from mooer.infer.longform import Samples
from mooer.infer.speech_llm import MAX_S
from mooer.store import fetch
from mooer.tasks.conversation import MARK, Written, question
from mooer.tasks.layout import Audio
from mooer.tasks.templates import template

logger = logging.getLogger(__name__)

MAX_TOKENS = 500  # of an answer


@dataclass(frozen=True, eq=False)
class Recording:
    """A sound that can be asked about."""

    name: str
    samples: Samples  # [T] at 16 kHz


@dataclass(frozen=True, eq=False)
class Turn:
    """What was said, and the recordings at its marks, or before it if it has none."""

    role: str
    content: str
    audio: tuple[str, ...] = ()  # names
    heard: tuple[Floats, ...] = field(default=(), repr=False)  # [N, W] of each


class Chat:
    """What was said so far, and the model that goes on.

    `system` takes the place of the template's own system turn; `temperature` 0 is greedy, above 0
    answers are drawn.
    """

    def __init__(
        self,
        model: SpeechLLM,
        *,
        system: str | None = None,
        max_tokens: int = MAX_TOKENS,
        temperature: float = 0.0,
    ) -> None:
        self._model = model
        self._stop_ids = model.stop_ids | model.llm.stop_ids
        self._max_tokens = max_tokens
        self._temperature = temperature
        self._system = [] if system is None else [Turn("system", _clean(system))]
        self._said: list[Turn] = []  # of the user and of the assistant by turns
        self._num_left_out = 0  # of the oldest, for which the context has no room

    @property
    def turns(self) -> list[Turn]:
        """All turns since the beginning, those too that are no longer shown to the model."""
        return [*self._system, *self._said]

    def clear(self) -> None:
        """Begin anew."""
        self._said = []
        self._num_left_out = 0

    def remember(self, text: str, audio: Sequence[Recording], answer: str) -> None:
        """Put a turn and its answer into the history, as if it had been said here.

        ConfigError and AudioError as `say` has them.
        """
        self._said += [self._asked(text, audio), Turn("assistant", _clean(answer))]

    def num_tokens(self) -> tuple[int, int, int]:
        """Tokens of the text of all turns but the last, of their sound, and of the last turn."""
        *shown, last = self.turns
        count = self._model.llm.encode
        text = sum(len(count(turn.content, special=False)) for turn in shown)
        sound = sum(len(one) for turn in shown for one in turn.heard)
        return text, sound, len(count(last.content, special=False))

    def _asked(self, text: str, audio: Sequence[Recording]) -> Turn:
        text = _clean(text)
        _check(text, len(audio))
        heard = tuple(self._model.encode([one.samples for one in audio])) if audio else ()
        return Turn("user", text, tuple(one.name for one in audio), heard)

    def say(self, text: str, audio: Sequence[Recording] = ()) -> Generator[str, None, None]:
        """The answer in pieces of text as it is written; once it has ended the turn is history.

        An answer that is broken off is kept as far as it got, one of which nothing came is not.
        ConfigError if the marks are not as many as the recordings, or nothing is asked; AudioError
        if a recording is too short; DecodeError if the context has no room for the turn alone.
        """
        asked = self._asked(text, audio)
        options = GenerateOptions(
            max_new_tokens=self._max_tokens,
            stop_ids=self._stop_ids,
            temperature=self._temperature,
            seed=len(self._said),
        )
        llm = self._model.llm
        said = ""
        with closing(llm.stream(self._fitting(asked), options)) as found:
            try:
                for piece in pieces((token for token, _ in found), llm.decode):
                    said += piece
                    yield piece
            except (GeneratorExit, KeyboardInterrupt):
                if said:
                    self._said += [asked, Turn("assistant", said)]
                raise
        self._said += [asked, Turn("assistant", said)]

    def _fitting(self, asked: Turn) -> Prompt:
        """The turn after as many of those before as the context has room for."""
        room = self._model.llm.context_tokens - self._max_tokens
        for num in range(self._num_left_out, len(self._said) + 1, 2):
            prompt = self._prompt([*self._system, *self._said[num:], asked])
            num_tokens = sum(map(len, prompt))
            if num_tokens <= room:
                break
        else:
            raise DecodeError(
                f"{num_tokens} tokens of a question and {self._max_tokens} of its answer do not "
                f"fit a context of {self._model.llm.context_tokens}: ask less at once, or allow "
                "a shorter answer"
            )
        if num > self._num_left_out:
            self._num_left_out = num
            logger.warning(
                "the conversation is longer than the context of %d tokens: its first %d turns are "
                "left out",
                self._model.llm.context_tokens,
                num,
            )
        return prompt

    def _prompt(self, turns: Sequence[Turn]) -> Prompt:
        heard = [one for turn in turns for one in turn.heard]
        marked = [(turn.role, _marked(turn)) for turn in turns]
        found: list[list[int] | Floats] = []
        recordings = iter(heard)
        for part in question(self._model.template, marked, [len(one) for one in heard]):
            if isinstance(part, Audio):
                found.append(next(recordings))
                continue
            # What a person or the model wrote cannot end a turn or begin another.
            ids = self._model.llm.encode(part.text, special=not isinstance(part, Written))
            if found and isinstance(found[-1], list):
                found[-1] += ids
            else:
                found.append(ids)
        return found


def read_recording(source: Source, *, rate_hz: int | None = None) -> Recording:
    """A sound of at most 30 s; AudioError if it is longer or cannot be read."""
    samples = read_wave(source, rate_hz=rate_hz, max_s=MAX_S + 1)
    name = os.fsdecode(source) if isinstance(source, str | os.PathLike) else "audio"
    if len(samples) > MAX_S * SAMPLE_RATE_HZ:
        raise AudioError(
            f"{name} is longer than {MAX_S:.0f} s, the most that can be asked about: cut it into "
            "shorter recordings"
        )
    return Recording(name, samples)


def open_model(name: str, *, num_threads: int | None = None) -> SpeechLLM:
    """A speech LLM by its name in the catalog or by its folder; fetched if need be.

    StoreError if it cannot be had; ModelError if it is none that runs without torch, or none that
    can go on for several turns.
    """
    folder = fetch(name)
    if not (folder / CONFIG).is_file():
        raise ModelError(
            f"{name} holds no {CONFIG} and cannot chat: name a speech LLM that mooer has trained"
        )
    layout = read_options(folder).template
    if template(layout).chat is None:
        raise ModelError(
            f"{name} cannot chat: its template {layout} has one question and one answer alone"
        )
    return SpeechLLM(folder, num_threads=num_threads)


def _clean(text: str) -> str:
    """The same without space around it and without halves of characters, which UTF-8 lacks."""
    return text.strip().encode(errors="replace").decode()


def _check(text: str, num_recordings: int) -> None:
    if not text and not num_recordings:
        raise ConfigError("nothing is asked: give a text or a recording")
    num_marks = text.count(MARK)
    if num_marks not in ((0, num_recordings) if num_recordings else (0,)):
        raise ConfigError(
            f"the question has {num_marks} {MARK} for {num_recordings} recordings: mark the place "
            "of each, or of none to have them heard before it"
        )


def _marked(turn: Turn) -> str:
    if turn.role != "user" or MARK in turn.content:
        return turn.content
    return MARK * len(turn.audio) + turn.content
