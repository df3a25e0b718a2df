"""`WS /v1/realtime` in transcription mode, with the events of OpenAI's realtime API.

Words come as `…input_audio_transcription.delta` while they are said, each when it is final; the
item they belong to is committed when its turn ends. Nothing is answered: `response.create` and the
like are refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import time
from functools import partial
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from mooer.serve.callers import Caller
from mooer.serve.engines import RECOGNISER
from mooer.serve.errors import ApiError, wrong
from mooer.serve.live import Hearing, Mark
from mooer.serve.realtime_items import Items
from mooer.serve.sockets import Message, Socket, attend, read_message, together
from mooer.serve.sound import make_decoder
from mooer.serve.state import State
from mooer.serve.transcription_session import TranscriptionSession

_MAX_FRAME_BYTES = 4 << 20  # more than a minute of samples in base64
_IDLE_S = 600.0  # between what a caller says, who may wait for a button to be pressed
_LEAST_COMMIT_S = 0.1
_POLL_S = 0.5
_HOSTED = ("gpt-realtime", "gpt-4o-realtime", "gpt-4o-mini-realtime")  # connect with such names


def routes(state: State) -> list[WebSocketRoute]:
    """`/v1/realtime`."""

    async def realtime(websocket: WebSocket) -> None:
        await attend(websocket, state, partial(_realtime, state), protocols=("realtime",))

    return [WebSocketRoute("/v1/realtime", realtime)]


async def _realtime(state: State, socket: Socket, caller: Caller) -> None:
    """One connection."""
    socket.shape = partial(shape, asked={})
    socket.max_frame_bytes = _MAX_FRAME_BYTES
    asked = socket.query.get("model", "")
    if asked.startswith(_HOSTED):
        asked = ""
    conversation = Conversation(state, socket, caller, asked)
    conversation.begin()
    await together(conversation.read(), conversation.hear(), socket.pump())


def shape(error: ApiError, asked: Message) -> Message:
    """An error as an event, which names the event that it is about."""
    named = asked.get("event_id")
    about = {"event_id": named[:512] if isinstance(named, str) else None}
    return {"type": "error", "event_id": new_id("event"), "error": error.body()["error"] | about}


def new_id(kind: str) -> str:
    """An id as OpenAI's look."""
    return f"{kind}_{secrets.token_hex(12)}"


def _ending() -> ApiError:
    return ApiError(503, "the server is about to end: connect again", code="draining")


class Conversation:
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
        self._asked: Message = {}

    def begin(self) -> None:
        """The first event."""
        self._send("session.created", session=self._described())

    async def read(self) -> None:
        """Do what the caller's events say, until they are gone. What makes no sense is told."""
        while True:
            frame = await self._socket.receive(_IDLE_S)
            asked: Message = {}
            try:
                if isinstance(frame, bytes):
                    raise wrong("type", "a binary frame: events here are JSON, sound is base64")
                asked = read_message(frame)
                await self._do(asked)
            except ApiError as error:
                self._socket.shape = partial(shape, asked=asked)
                self._socket.wrong(error)
                self._socket.shape = partial(shape, asked={})

    async def hear(self) -> None:
        """Hear one session after the other. ApiError 503 once the server ends."""
        while True:
            wanted = await self._next()
            engines = self._state.engines
            options, live = wanted.options(), wanted.live()
            async with engines.session(self._caller, options, live, model=wanted.model) as stream:
                hearing = Hearing(
                    stream,
                    make_decoder(wanted.encoding, wanted.rate_hz, 1),
                    max_s=self._max_s,
                    is_ending=lambda: self._state.limits.is_draining,
                    bytes_per_s=wanted.bytes_per_s,
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
                raise _ending()
            self._tell_changed(None)

    async def _next(self) -> TranscriptionSession:
        """The settings of the next session, when its first sound comes."""
        while True:
            try:
                return await asyncio.wait_for(self._to_open.get(), _POLL_S)
            except asyncio.TimeoutError:
                if self._state.limits.is_draining:
                    raise _ending() from None

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
        try:
            data = base64.b64decode(audio, validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise wrong("audio", "audio must be sound in base64", code="invalid_audio") from None
        if not data:
            return
        if self._hearing is None:
            self._to_open.put_nowait(self._wanted)
            await self._wait_until(is_open=True)
        assert self._hearing is not None
        self._num_bytes += len(data)
        await self._hearing.put(data)

    async def _commit(self) -> None:
        seconds = self._num_bytes / self._wanted.bytes_per_s
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
