"""Models, loaded once and shared by all requests; those that are not asked for may be unloaded.

async with state.engines.session(caller, RecognizeOptions(words=True)) as session:
    for event in await session.push(samples):
        ...
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from mooer.engines.llm import usable_cores
from mooer.errors import MooerError, did_you_mean
from mooer.infer.ear import Samples
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.run import Listener
from mooer.infer.stream import Session, StreamEvent
from mooer.infer.utterance import LiveOptions
from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError
from mooer.serve.jobs import Job
from mooer.serve.metrics import Metrics
from mooer.serve.settings import Settings
from mooer.store import default_model

logger = logging.getLogger(__name__)

# Names that OpenAI's clients have built in, and what is meant by them here.
OPENAI_NAMES = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-4o-transcribe-diarize",
)
OPENAI_SPEAKERS = ("tts-1", "tts-1-hd", "gpt-4o-mini-tts")
OPENAI_CHATS = ("gpt-4o-audio-preview", "gpt-4o-mini-audio-preview", "gpt-audio", "gpt-audio-mini")
OPENAI_AGENTS = ("gpt-realtime", "gpt-realtime-mini", "gpt-4o-realtime-preview")
T = TypeVar("T")
S = TypeVar("S")
RECOGNISER, SPEAKER, CHAT, AGENT = "recogniser", "speaker", "chat", "agent"
_KINDS = (RECOGNISER, SPEAKER, CHAT, AGENT)


class Engine(Protocol):
    """What a room of `engines` loads; `serve.loading` makes them."""

    def close(self) -> None:
        """Let go of threads and weights."""
        ...


class Recogniser(Engine, Protocol):
    """An engine that hears."""

    def listener(self, job: Job) -> Listener:
        """A recogniser for one request, to be used in its thread. ConfigError if it has none."""
        ...

    def listen(self, job: Job, options: RecognizeOptions, live: LiveOptions | None) -> Session:
        """A session for one live stream. ConfigError for what it cannot do."""
        ...


Load = Callable[[str, str, Settings, Metrics], Any]  # kind, name


@dataclass
class _Slot:
    """A model that may be loaded."""

    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    engine: Any = None
    num_users: int = 0
    used_at: float = 0.0
    loading: asyncio.Task[Any] | None = None
    failed: str = ""


@dataclass(frozen=True)
class ModelInfo:
    """What `/v1/models` tells of a model."""

    id: str
    kind: str
    is_loaded: bool
    aliases: tuple[str, ...] = ()


class Threaded(Generic[S]):
    """A session for the event loop: each call runs in a thread, one at a time."""

    def __init__(self, session: S, threads: ThreadPoolExecutor, job: Job) -> None:
        self.session = session
        self._threads = threads
        self._job = job
        self._turn = asyncio.Lock()

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Anything that uses the session."""
        async with self._turn:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(self._threads, function, *arguments)
            try:
                return await asyncio.shield(call)
            except asyncio.CancelledError:
                self._job.cancel()
                await asyncio.wait([call])  # the session is in use until then
                raise


class LiveSession(Threaded[Session]):
    """A stream that is heard."""

    async def push(self, samples: Samples, start_s: float | None = None) -> list[StreamEvent]:
        """Float32 [T] at 16 kHz; what came of it."""
        return await self.call(self.session.push, samples, start_s)

    async def poll(self) -> list[StreamEvent]:
        """To be called while no samples come."""
        return await self.call(self.session.poll)

    async def flush(self) -> list[StreamEvent]:
        """The stream ends, or pauses, here."""
        return await self.call(self.session.flush)


class Engines:
    """All models of a server. `load` makes an engine of a kind and a name, in a thread."""

    def __init__(self, settings: Settings, metrics: Metrics, load: Load) -> None:
        self._settings = settings
        self._metrics = metrics
        self._load = load
        self._slots: dict[str, _Slot] = {}
        for i, name in enumerate(settings.models):
            chosen = default_model("asr") if name == "default" else name
            self._add(chosen, RECOGNISER, ("default", *OPENAI_NAMES) if i == 0 else ())
        if settings.speaker is not None:
            self._add(settings.speaker, SPEAKER, OPENAI_SPEAKERS)
        if settings.chat is not None:
            self._add(settings.chat, CHAT, OPENAI_CHATS)
        if settings.agent is not None:
            self._add(settings.agent, AGENT, OPENAI_AGENTS, shown=_agent_name(settings.agent))
        self._loaders = ThreadPoolExecutor(1, "load")
        threads = settings.threads or usable_cores()
        self._hearing = ThreadPoolExecutor(threads + 1, "live")
        metrics.gauge("mooer_models_loaded", "Models in memory.", self._num_loaded)

    def _add(
        self, name: str, kind: str, aliases: tuple[str, ...], *, shown: str | None = None
    ) -> None:
        shown = shown or name.rstrip("/").rpartition("/")[2]  # of a folder its name: no paths
        key = f"{kind}:{shown}"
        if key not in self._slots:
            self._slots[key] = _Slot(name, kind, aliases)

    def _num_loaded(self) -> float:
        return float(sum(slot.engine is not None for slot in self._slots.values()))

    def models(self) -> list[ModelInfo]:
        """Every model, by its public name."""
        return [
            ModelInfo(key.partition(":")[2], slot.kind, slot.engine is not None, slot.aliases)
            for key, slot in self._slots.items()
        ]

    def failures(self) -> Mapping[str, str]:
        """Models whose last loading failed, and why; for the log and for health."""
        return {key.partition(":")[2]: one.failed for key, one in self._slots.items() if one.failed}

    @property
    def is_usable(self) -> bool:
        """Whether the first model is loaded, or has not failed to be."""
        first = next(iter(self._slots.values()))
        return first.engine is not None or not first.failed

    def find(self, name: str | None, kind: str) -> str:
        """The public name of a model that is asked for; None or "" is the first of its kind.

        ApiError 404 for one that is not served.
        """
        return self._slot(name, kind)[0].partition(":")[2]

    def has(self, kind: str, name: str | None = None) -> bool:
        """Whether a model is served; without a name any of its kind."""
        try:
            self._slot(name, kind)
        except ApiError:
            return False
        return True

    def _slot(self, name: str | None, kind: str) -> tuple[str, _Slot]:
        own = {key: slot for key, slot in self._slots.items() if slot.kind == kind}
        if not own:
            what = {SPEAKER: "speaks", CHAT: "chats", AGENT: "converses"}.get(kind, "transcribes")
            raise ApiError(
                404,
                f"this server {what} not: it was started without such a model",
                param="model",
                code="model_not_found",
            )
        for key, slot in own.items():
            if not name or name == key.partition(":")[2] or name in slot.aliases:
                return key, slot
        known = did_you_mean(str(name)[:100], [key.partition(":")[2] for key in own])
        raise ApiError(
            404,
            f"the model {str(name)[:100]!r} does not exist here: {known}",
            param="model",
            code="model_not_found",
        )

    @asynccontextmanager
    async def borrow(self, name: str | None, kind: str) -> AsyncIterator[Any]:
        """An engine, loaded if it is not; it stays loaded until the block ends.

        ApiError 404 for an unknown name; MooerError if it cannot be loaded.
        """
        _, slot = self._slot(name, kind)
        slot.num_users += 1
        try:
            yield await self._loaded(slot)
        finally:
            slot.num_users -= 1
            slot.used_at = time.monotonic()

    @asynccontextmanager
    async def session(
        self,
        caller: Caller,
        options: RecognizeOptions | None = None,
        live: LiveOptions | None = None,
        *,
        model: str | None = None,
    ) -> AsyncIterator[LiveSession]:
        """A live stream, heard by a shared model; take a place of `limits.session` first.

        ConfigError for a model or an option that a stream cannot have.
        """
        job = Job(caller, float("inf"))
        async with self.borrow(model, RECOGNISER) as engine:
            loop = asyncio.get_running_loop()
            opened = loop.run_in_executor(
                self._hearing, engine.listen, job, options or RecognizeOptions(), live
            )
            try:
                yield LiveSession(await opened, self._hearing, job)
            finally:
                job.cancel()

    @asynccontextmanager
    async def conversation(
        self, caller: Caller, agent: str, recogniser: str | None = None
    ) -> AsyncIterator[Threaded[Any]]:
        """A conversation with an agent, which hears and speaks by the server's other models.

        Take a place of `limits.talk` first. It is closed, and its work ends, with the block.
        """
        job = Job(caller, float("inf"))
        async with AsyncExitStack() as stack:
            ears = await stack.enter_async_context(self.borrow(recogniser, RECOGNISER))
            speaker = await stack.enter_async_context(self.borrow(None, SPEAKER))
            engine = await stack.enter_async_context(self.borrow(agent, AGENT))
            loop = asyncio.get_running_loop()
            opened = loop.run_in_executor(self._hearing, engine.converse, job, ears, speaker)
            live = Threaded(await opened, self._hearing, job)
            try:
                yield live
            finally:
                job.cancel()
                await live.call(live.session.close)

    async def load(self, name: str | None, kind: str | None = None) -> str:
        """Load a model if it is not; its public name."""
        for one in [kind] if kind else _KINDS:
            with _passing_unknown(last=one in (kind, _KINDS[-1])):
                key, slot = self._slot(name, one)
                await self._loaded(slot)
                return key.partition(":")[2]
        raise AssertionError("the last kind tells that it is unknown")

    async def unload(self, name: str) -> None:
        """Give a model's memory back. ApiError 404 if it is unknown, 409 while it is in use."""
        slot = self._any(name)
        if slot.num_users or slot.loading:
            raise ApiError(409, f"{name[:100]!r} is in use: try again when its requests are done")
        await self._drop(slot)

    async def warm(self) -> None:
        """Load the first model."""
        await self._loaded(next(iter(self._slots.values())))

    async def tidy(self) -> None:
        """Unload what was not asked for in a while, if the settings say so."""
        after_s = self._settings.unload_after_s
        if after_s is None:
            return
        for slot in self._slots.values():
            is_idle = slot.engine is not None and not slot.num_users and not slot.loading
            if is_idle and time.monotonic() - slot.used_at > after_s:
                logger.info("%s was not asked for in %.0f s: unloaded", slot.name, after_s)
                await self._drop(slot)

    async def close(self) -> None:
        """Let go of all models."""
        for slot in self._slots.values():
            await self._drop(slot)
        self._loaders.shutdown(wait=False, cancel_futures=True)
        self._hearing.shutdown(wait=False, cancel_futures=True)

    def _any(self, name: str) -> _Slot:
        for kind in _KINDS:
            with _passing_unknown(last=kind == _KINDS[-1]):
                return self._slot(name, kind)[1]
        raise AssertionError("the last kind tells that it is unknown")

    async def _loaded(self, slot: _Slot) -> Any:
        if slot.engine is not None:
            return slot.engine
        if slot.loading is None:
            slot.loading = asyncio.create_task(self._bring(slot))
        return await asyncio.shield(slot.loading)  # one who leaves does not stop it for others

    async def _bring(self, slot: _Slot) -> Any:
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        try:
            slot.engine = await loop.run_in_executor(
                self._loaders, self._load, slot.kind, slot.name, self._settings, self._metrics
            )
        except Exception as error:
            slot.failed = " ".join(str(error).split())
            logger.error("%s cannot be loaded: %s", slot.name, slot.failed)
            raise
        finally:
            slot.loading = None
        slot.failed, slot.used_at = "", time.monotonic()
        logger.info("%s is loaded, in %.1f s", slot.name, time.monotonic() - began)
        return slot.engine

    async def _drop(self, slot: _Slot) -> None:
        engine, slot.engine = slot.engine, None
        if engine is not None:
            await asyncio.get_running_loop().run_in_executor(None, engine.close)


def _agent_name(agent: str) -> str:
    """What callers name an agent: as its persona's file is called, or simply so."""
    return "agent" if agent == "default" else Path(agent).stem


@contextmanager
def _passing_unknown(*, last: bool) -> Iterator[None]:
    """Let a 404 pass, unless it is the last that is tried."""
    try:
        yield
    except ApiError as error:
        if last or error.status != 404:
            raise


def shows_failure(error: BaseException) -> bool:
    """Whether an error is one that loading may raise, and not a bug."""
    return isinstance(error, MooerError | OSError | MemoryError)
