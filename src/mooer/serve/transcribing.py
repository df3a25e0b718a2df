"""A realtime session that transcribes: OpenAI's events on one side, a recogniser on the other.

Words come as `…input_audio_transcription.delta` while they are said, each when it is final; the
item they belong to is committed when its turn ends. Nothing is answered: `response.create` and the
like are refused.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from mooer.serve.callers import Caller
from mooer.serve.engines import AGENT, RECOGNISER
from mooer.serve.errors import ApiError, wrong
from mooer.serve.live import Hearing, Mark
from mooer.serve.realtime_items import Items, new_id
from mooer.serve.realtime_wire import (
    IDLE_S,
    SwitchedError,
    ending,
    read_event,
    sound_of,
    tell_wrong,
)
from mooer.serve.sockets import Message, Socket
from mooer.serve.sound import make_decoder
from mooer.serve.state import State
from mooer.serve.transcription_session import TranscriptionSession

_LEAST_COMMIT_S = 0.1
_POLL_S = 0.5


class Transcribing:
    """What a caller says on one side, what is heard on the other.

    A session of the recogniser is opened by the first sound, and again by the first sound after
    its settings have changed.
    """

    def __init__(self, state: State, socket: Socket, caller: Caller, model: str) -> None:
        self._state = state
        self._socket = socket
        self._caller = caller
        self._id = new_id("sess")
        limits = state.settings.limits
        self._max_s = limits.max_duration_s
        self._expires_at = round(time.time() + self._max_s)
        self._wanted = TranscriptionSession(model=state.engines.find(model, RECOGNISER))
        self._items = Items(self._send)
        self._hearing: Hearing | None = None
        self._to_open: asyncio.Queue[TranscriptionSession] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._num_bytes = 0  # since the caller's last commit
        self._has_begun = False  # whether any sound has come

    async def begin(self, asked: Message | None = None) -> None:
        """The first event, or what follows from the one by which a caller came from elsewhere."""
        if asked is None:
            self._send("session.created", session=self._described())
        else:
            await self._try(asked)

    async def read(self) -> None:
        """Do what the caller's events say, until they are gone. What makes no sense is told."""
        while True:
            frame = await self._socket.receive(IDLE_S)
            try:
                asked = read_event(frame)
            except ApiError as error:
                tell_wrong(self._socket, error, {})
                continue
            if self._is_other(asked):
                raise SwitchedError(asked)
            await self._try(asked)

    async def _try(self, asked: Message) -> None:
        try:
            await self._do(asked)
        except ApiError as error:
            tell_wrong(self._socket, error, asked)

    def _is_other(self, asked: Message) -> bool:
        """Whether the caller wants to converse, and nothing has been heard yet."""
        session = asked.get("session")
        is_realtime = isinstance(session, dict) and session.get("type") == "realtime"
        return is_realtime and not self._has_begun and self._state.engines.has(AGENT)

    async def hear(self) -> None:
        """Hear one session after the other. ApiError 503 once the server ends."""
        while True:
            wanted = await self._next()
            engines = self._state.engines
            options, live = wanted.options(), wanted.live()
            async with engines.session(self._caller, options, live, model=wanted.model) as stream:
                hearing = Hearing(
                    stream,
                    make_decoder(wanted.format.encoding, wanted.format.rate_hz, 1),
                    max_s=self._max_s,
                    is_ending=lambda: self._state.limits.is_draining,
                    bytes_per_s=wanted.format.bytes_per_s,
                )
                self._items.open(has_turns=wanted.turns is not None, logprobs=wanted.logprobs)
                self._tell_changed(hearing)
                try:
                    await hearing.run(self._items.tell)
                finally:
                    heard_s, route = stream.session.time_s, "/v1/realtime"
                    self._state.metrics.add("mooer_audio_seconds_total", heard_s, route=route)
                self._items.close(heard_s)
            if hearing.is_cut:
                raise ending()
            self._tell_changed(None)

    async def _next(self) -> TranscriptionSession:
        """The settings of the next session, when its first sound comes."""
        while True:
            try:
                return await asyncio.wait_for(self._to_open.get(), _POLL_S)
            except asyncio.TimeoutError:
                if self._state.limits.is_draining:
                    raise ending() from None

    async def _do(self, asked: Message) -> None:
        kind = asked["type"]
        if kind in ("session.update", "transcription_session.update"):
            await self._update(asked)
            told = kind.replace("update", "updated")
            self._send(told, session=self._described())
        elif kind == "input_audio_buffer.append":
            await self._append(asked.get("audio"))
        elif kind == "input_audio_buffer.commit":
            await self._commit()
        elif kind == "input_audio_buffer.clear":
            self._num_bytes = 0
            if self._hearing is None:
                self._send("input_audio_buffer.cleared")
            else:
                await self._hearing.mark(Mark.CLEAR)
        else:
            raise wrong(
                "type",
                f"{kind[:60]!r} is not done here: this server transcribes, and does not answer",
                code="unsupported_event",
            )

    async def _update(self, asked: Message) -> None:
        wanted = self._wanted.changed(asked.get("session"))
        self._state.engines.find(wanted.model, RECOGNISER)
        if wanted != self._wanted and self._hearing is not None:
            await self._hearing.mark(Mark.END)
            await self._wait_until(is_open=False)
        self._wanted = wanted

    async def _append(self, audio: Any) -> None:
        data = sound_of(audio)
        if not data:
            return
        self._has_begun = True
        if self._hearing is None:
            self._to_open.put_nowait(self._wanted)
            await self._wait_until(is_open=True)
        assert self._hearing is not None
        self._num_bytes += len(data)
        await self._hearing.put(data)

    async def _commit(self) -> None:
        seconds = self._num_bytes / self._wanted.format.bytes_per_s
        if seconds < _LEAST_COMMIT_S or self._hearing is None:
            raise wrong(
                None,
                f"{1000 * seconds:.0f} ms of sound to be committed: append 100 ms at least",
                code="input_audio_buffer_commit_empty",
            )
        self._num_bytes = 0
        await self._hearing.mark(Mark.FLUSH)

    async def _wait_until(self, *, is_open: bool) -> None:
        while (self._hearing is not None) != is_open:
            self._changed.clear()
            await self._changed.wait()

    def _tell_changed(self, hearing: Hearing | None) -> None:
        self._hearing = hearing
        self._changed.set()

    def _described(self) -> Message:
        return self._wanted.describe(self._id, self._expires_at)

    def _send(self, kind: str, **fields: Any) -> None:
        self._socket.send({"type": kind, "event_id": new_id("event"), **fields})
