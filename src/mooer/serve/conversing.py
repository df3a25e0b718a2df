"""A realtime session that converses: OpenAI's events on one side, an agent on the other.

Everything a caller sends waits in one bounded queue, and is done in its order: sound, and events
between the sound. `Deeds` does it, in a thread, one step at a time.
"""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

from mooer.serve.callers import Caller
from mooer.serve.conversation_deeds import Asked, Deeds, Outcome
from mooer.serve.engines import AGENT, RECOGNISER, Threaded
from mooer.serve.errors import ApiError, told
from mooer.serve.live import TAKEN_BYTES, Queue
from mooer.serve.realtime_items import new_id
from mooer.serve.realtime_wire import (
    IDLE_S,
    SwitchedError,
    ending,
    read_event,
    sound_of,
    tell_wrong,
)
from mooer.serve.sockets import Message, Socket
from mooer.serve.state import State

_BUSY_POLL_S = 0.02  # while something is under way: what is found waits so long at most
_POLL_S = 0.25
_BUSY_S = 3.0  # after the last thing that happened


class Conversing:
    """One conversation; the models are taken when the caller first does something with them."""

    def __init__(self, state: State, socket: Socket, caller: Caller, model: str) -> None:
        self._state = state
        self._socket = socket
        self._caller = caller
        limits = state.settings.limits
        expires_at = round(time.time() + limits.max_talk_s)
        self._deeds = Deeds(
            state.engines.find(model, AGENT),
            new_id("sess"),
            expires_at,
            find=partial(state.engines.find, kind=RECOGNISER),
        )
        self._queue = Queue[Asked]()
        self._has_begun = False  # whether the caller has done anything but name settings

    async def begin(self, asked: Message | None = None) -> None:
        """The first event, or what follows from the one by which a caller came from elsewhere."""
        if asked is None:
            self._tell(self._deeds.begin())
        else:
            await self._queue.put(Asked(asked))

    async def read(self) -> None:
        """Put what comes into the queue, until the caller is gone. What makes no sense is told."""
        while True:
            frame = await self._socket.receive(IDLE_S)
            asked: Message = {}
            try:
                asked = read_event(frame)
                if asked["type"] == "input_audio_buffer.append":
                    await self._append(sound_of(asked.get("audio")))
                    continue
            except ApiError as error:
                tell_wrong(self._socket, error, asked)
                continue
            is_update = asked["type"] in ("session.update", "transcription_session.update")
            if is_update and not self._has_begun and _wants_transcription(asked):
                raise SwitchedError(asked)
            self._has_begun = self._has_begun or not is_update
            await self._queue.put(Asked(asked))

    async def hear(self) -> None:
        """Do what was asked for, in its order. ApiError once time is up, or the server ends."""
        limits = self._state.settings.limits
        ends_at = time.monotonic() + limits.max_talk_s
        async with AsyncExitStack() as stack:
            live: Threaded[Any] | None = None
            while True:
                is_busy = time.monotonic() - self._deeds.active_at < _BUSY_S
                is_busy = live is not None and (is_busy or self._deeds.is_busy)
                taken = await self._queue.take(_BUSY_POLL_S if is_busy else _POLL_S)
                if live is None and any(self._deeds.needs_agent(one) for one in taken):
                    live = await self._opened(stack)
                if live is not None:
                    self._tell(await live.call(partial(self._deeds.do, taken)))
                elif taken:
                    self._tell(self._deeds.do(taken))
                self._check(ends_at)

    async def _opened(self, stack: AsyncExitStack) -> Threaded[Any]:
        """The agent's session, with models that may have to be loaded first."""
        stack.enter_context(self._state.limits.talk())
        model, recogniser = self._deeds.models
        engines = self._state.engines
        live = await stack.enter_async_context(
            engines.conversation(self._caller, model, recogniser)
        )
        self._tell(await live.call(partial(self._deeds.open, live.session)))
        stack.callback(self._count)
        return live

    def _count(self) -> None:
        seconds = self._deeds.heard_s
        self._state.metrics.add("mooer_audio_seconds_total", seconds, route="/v1/realtime")

    def _check(self, ends_at: float) -> None:
        """ApiError if this conversation is to end."""
        limits = self._state.settings.limits
        if self._state.limits.is_draining and not self._deeds.is_busy:
            raise ending()
        if time.monotonic() > ends_at:
            raise ApiError(
                413,
                f"a conversation lasts {limits.max_talk_s:.0f} s at most: open another",
                code="session_expired",
            )
        if time.monotonic() - self._deeds.active_at > limits.max_silent_s:
            raise ApiError(
                408,
                f"nobody has said anything for {limits.max_silent_s:.0f} s: open another",
                code="idle",
            )

    async def _append(self, data: bytes) -> None:
        self._has_begun = self._has_begun or bool(data)
        for start in range(0, len(data), TAKEN_BYTES):
            await self._queue.put(data[start : start + TAKEN_BYTES])

    def _tell(self, outcomes: list[Outcome]) -> None:
        for one in outcomes:
            if isinstance(one, dict):
                self._socket.send(one)
            else:
                tell_wrong(self._socket, told(one.error), one.asked)


def _wants_transcription(asked: Message) -> bool:
    session = asked.get("session")
    is_named = isinstance(session, dict) and session.get("type") == "transcription"
    return is_named or asked["type"] == "transcription_session.update"
