"""A WebSocket with bounds: what is read and when, what waits to be written, and how it ends.

Whatever goes wrong is told as a last message `{"type": "error", "error": {…}}` and a close code of
4000 and the status that HTTP would have: 4400 for what makes no sense, 4401 without a key, 4408 for
one who is silent or does not read, 4413 for too much, 4429 where all places are taken. What a
reader has not taken waits in a bounded queue, in which a message may give way to the next of its
kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mooer.errors import AudioError
from mooer.serve.callers import Caller
from mooer.serve.errors import ApiError, told
from mooer.serve.fields import object_of
from mooer.serve.state import State, caller_of

logger = logging.getLogger(__name__)

MAX_FRAME_BYTES = 1 << 20  # half a minute of samples; a frame should be a tenth of a second
MAX_WAITING = 512  # messages that a reader has not taken
MAX_WRONG = 20  # messages that make no sense, until the stream is ended
_CLOSE_S = 5.0  # for a last message to one who may not read
_CANCEL_S = 5.0  # longer than a step of hearing, which is waited for
_REASON_BYTES = 120  # a control frame holds 125, two of them the code

Message = dict[str, Any]


class GoneError(Exception):
    """The other side has left."""


class Socket:
    """One side of a stream: `receive` and `send` here, `pump` writes what was sent."""

    def __init__(self, websocket: WebSocket, *, idle_s: float) -> None:
        self.shape = shape  # how an error is told
        self.max_frame_bytes = MAX_FRAME_BYTES
        self._websocket = websocket
        self._idle_s = idle_s
        self._waiting: deque[Message] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._writing: asyncio.Future[None] | None = None
        self.query = websocket.query_params
        self.num_wrong = 0

    async def receive(self, within_s: float | None = None) -> str | bytes:
        """The next frame. GoneError, or ApiError 408 if none comes for too long, 413 too large."""
        within_s = within_s or self._idle_s
        try:
            message = await asyncio.wait_for(self._websocket.receive(), within_s)
        except asyncio.TimeoutError:
            raise ApiError(
                408, f"nothing came for {within_s:.0f} s: send sound, or a ping", code="stalled"
            ) from None
        if message["type"] == "websocket.disconnect":
            raise GoneError
        data: str | bytes = message.get("bytes") or message.get("text") or b""
        if len(data) > self.max_frame_bytes:
            raise ApiError(
                413,
                f"a frame of {len(data)} is larger than {self.max_frame_bytes} bytes: send a tenth "
                "of a second of sound in each",
                code="frame_too_large",
            )
        return data

    def send(self, message: Message, *, gives_way: bool = False) -> None:
        """Put a message behind the others. ApiError 408 if too many wait.

        One that `gives_way` is dropped if the next of its type comes before it was read.
        """
        last = self._waiting[-1] if self._waiting else None
        if gives_way and last is not None and last["type"] == message["type"]:
            self._waiting[-1] = message
        elif len(self._waiting) >= MAX_WAITING:
            raise ApiError(
                408, f"{MAX_WAITING} messages were not read: read them as they come", code="unread"
            )
        else:
            self._waiting.append(message)
        self._news.set()

    def finish(self) -> None:
        """Nothing more will be sent: `pump` ends behind it."""
        self._is_over = True
        self._news.set()

    async def pump(self) -> None:
        """Write until nothing more comes. ApiError 408 for one who does not read."""
        while True:
            while self._waiting:
                writing = asyncio.ensure_future(self._write(self._waiting.popleft(), self._idle_s))
                writing.add_done_callback(lambda one: one.cancelled() or one.exception())
                self._writing = writing
                await asyncio.shield(writing)  # half-written it would be lost, or told twice
            if self._is_over:
                return
            self._news.clear()
            await self._news.wait()

    def wrong(self, error: ApiError) -> None:
        """Tell of a message that makes no sense. The error itself is raised once there are many."""
        self.num_wrong += 1
        if self.num_wrong >= MAX_WRONG:
            raise error
        self.send(self.shape(error))

    async def close(self, error: ApiError | None = None) -> None:
        """Say goodbye, in a bounded time; with an error, why."""
        if self._websocket.application_state is not WebSocketState.CONNECTED:
            return
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=_CLOSE_S)
            self._writing.cancel()
        code = 1000 if error is None else 4000 + error.status
        with contextlib.suppress(GoneError, ApiError, RuntimeError, asyncio.TimeoutError):
            if error is not None:
                waiting, self._waiting = self._waiting, deque()
                for message in (*waiting, self.shape(error)):
                    await self._write(message, _CLOSE_S)
            reason = "" if error is None else _cut(error.message)
            await asyncio.wait_for(self._websocket.close(code, reason), _CLOSE_S)

    async def _write(self, message: Message, within_s: float) -> None:
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
        try:
            await asyncio.wait_for(self._websocket.send_text(text), within_s)
        except asyncio.TimeoutError:
            raise ApiError(
                408, f"nothing was read for {within_s:.0f} s: read what comes", code="unread"
            ) from None
        except (WebSocketDisconnect, OSError, RuntimeError):
            raise GoneError from None


def shape(error: ApiError) -> Message:
    """An error as a message."""
    return {"type": "error", **error.body()}


Work = Callable[[Socket, Caller], Awaitable[None]]


async def attend(
    websocket: WebSocket, state: State, work: Work, *, protocols: tuple[str, ...] = ()
) -> None:
    """Open a stream that the guard let through, do the work, and close with how it went.

    Of `protocols` the first that the caller offers is chosen, as browsers want it.
    """
    offered = websocket.scope.get("subprotocols", [])
    await websocket.accept(next((name for name in protocols if name in offered), None))
    socket = Socket(websocket, idle_s=state.settings.limits.idle_s)
    caller = caller_of(websocket)
    error: ApiError | None = None
    try:
        async with state.limits.session(caller):
            await work(socket, caller)
    except GoneError:
        return
    except Exception as failure:
        error = told(failure)
        if isinstance(failure, AudioError):
            error = ApiError(400, error.message, code="invalid_audio")
        if error.code == "internal_error":
            logger.exception("a live stream failed")
    await socket.close(error)


async def together(*works: Coroutine[Any, Any, None]) -> None:
    """Run all to their ends; the first that fails ends the others, and its error is raised."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        left = set(tasks)
        while left:  # before Python 3.12 wait_for may swallow a cancellation
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_CANCEL_S)
        await asyncio.gather(*tasks, return_exceptions=True)  # they are heard, and not logged


def read_message(data: str) -> Message:
    """A JSON object with a `type`. ApiError 400 for anything else."""
    message = object_of(data, "a text frame")
    if not isinstance(message.get("type"), str):
        raise ApiError(400, 'a text frame is a JSON object with a "type"', param="type")
    return message


def _cut(text: str) -> str:
    return text.encode()[:_REASON_BYTES].decode("utf-8", "ignore")
