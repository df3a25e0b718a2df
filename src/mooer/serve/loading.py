"""Engines of a server, made of the models of the house."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from mooer.audio.vad import SpeechModel
from mooer.engines.llm import LLM, usable_cores
from mooer.errors import ConfigError
from mooer.infer.aligners import load_speller
from mooer.infer.ctc_ear import Speller
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.listening import holds_ctc, listen_by, listen_by_speller
from mooer.infer.model import DEFAULT_LLM, load
from mooer.infer.run import Listener
from mooer.infer.stream import Session
from mooer.infer.translator import ChatModel, Translator
from mooer.infer.utterance import LiveOptions
from mooer.serve.engines import AGENT, CHAT, RECOGNISER, SPEAKER
from mooer.serve.jobs import Job
from mooer.serve.metrics import Metrics
from mooer.serve.settings import NO_LLM, Settings
from mooer.serve.sharing import Shared, share
from mooer.store import fetch
from mooer.tasks import Message

logger = logging.getLogger(__name__)

_ROOMS = {SPEAKER: "mooer.serve.speakers:load_speaker", CHAT: "mooer.serve.chats:load_chat"}
_ROOMS |= {AGENT: "mooer.serve.agents:load_agent"}


class RecogniserEngine:
    """A model of the house that many use at once: recordings and live streams."""

    def __init__(
        self,
        recognizer: Listener,
        shared: Shared,
        make_translator: Callable[[], Translator],
        *,
        has_llm: bool = True,
    ) -> None:
        self.has_llm = has_llm
        self.recognizer = recognizer
        self._shared = shared
        self._make_translator = make_translator
        self._translator: Translator | None = None
        self._making = threading.Lock()

    @property
    def translator(self) -> Translator:
        """Translates what the recogniser cannot; loaded at the first call."""
        with self._making:
            if self._translator is None:
                self._translator = self._make_translator()
            return self._translator

    def listener(self, job: Job) -> Listener:
        """A recogniser for one request, to be used in its thread."""
        return self._shared.listener(job)

    def listen(self, job: Job, options: RecognizeOptions, live: LiveOptions | None) -> Session:
        """A session for one live stream. ConfigError for what it cannot do."""
        return listen_by(self.listener(job), options, live)

    def close(self) -> None:
        """End its threads; the weights go with the last request."""
        self._shared.close()


class CtcEngine:
    """rich-mini: it hears streams, and has no recogniser for recordings."""

    def __init__(self, model: Speller, vad: SpeechModel, name: str) -> None:
        self._model = model
        self._vad = vad
        self._name = name

    def listener(self, job: Job) -> Listener:
        """None. ConfigError says what to take."""
        raise ConfigError(
            f"{self._name} hears live streams alone: take whisper-base for recordings"
        )

    def listen(self, job: Job, options: RecognizeOptions, live: LiveOptions | None) -> Session:
        """A session for one live stream. ConfigError for what it cannot do."""
        return listen_by_speller(self._model, self._vad, self._name, options, live)

    def close(self) -> None:
        """Nothing runs on its own."""


def load_engine(kind: str, name: str, settings: Settings, metrics: Metrics) -> Any:
    """An engine of the models in the catalog, or of a folder that the settings name.

    StoreError and ModelError if it cannot be had.
    """
    if kind == RECOGNISER:
        return load_recogniser(name, settings, metrics)
    module, _, function = _ROOMS[kind].partition(":")
    return getattr(import_module(module), function)(name, settings)


def load_recogniser(name: str, settings: Settings, metrics: Metrics) -> Any:
    """A recogniser, shared."""
    threads = settings.threads or usable_cores()
    folder = fetch(name)
    if holds_ctc(folder):
        vad = SpeechModel(next(fetch("silero-vad").glob("*.onnx")))
        speller = load_speller(folder, device=settings.device, num_threads=threads)
        return CtcEngine(speller, vad, folder.name)
    model = load(name, num_threads=threads, parts={"device": settings.device})
    shared = share(
        model.recognizer,
        threads=threads,
        max_batch=settings.max_batch,
        on_batch=lambda size: metrics.observe("mooer_batch_size", size),
    )
    make_translator = partial(_translator, settings)
    has_llm = settings.llm != NO_LLM
    return RecogniserEngine(model.recognizer, shared, make_translator, has_llm=has_llm)


def _translator(settings: Settings) -> Translator:
    if settings.llm == NO_LLM:
        raise ConfigError("this server has no language model: it translates into English alone")
    name = settings.llm or DEFAULT_LLM
    llm = LLM(fetch(name), num_threads=settings.threads or usable_cores())
    return Translator(TakingTurns(llm), name=name)


class TakingTurns:
    """A language model that many ask: one answer after the other."""

    def __init__(self, llm: ChatModel) -> None:
        self._llm = llm
        self._turn = threading.Lock()

    def chat(
        self, messages: Sequence[Message], *, max_tokens: int, grammar: str | None = None
    ) -> Generator[str, None, None]:
        """Answer in pieces."""
        with self._turn:
            yield from self._llm.chat(messages, max_tokens=max_tokens, grammar=grammar)

    def complete(
        self, prompt: str, *, max_tokens: int, stop: Sequence[str] = (), grammar: str | None = None
    ) -> Generator[str, None, None]:
        """Continue a text."""
        with self._turn:
            yield from self._llm.complete(prompt, max_tokens=max_tokens, stop=stop, grammar=grammar)
