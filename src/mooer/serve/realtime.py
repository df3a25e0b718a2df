"""`WS /v1/realtime`, with the events of OpenAI's realtime API: conversations and transcription.

Which of the two it is says the model by which a caller connects, an agent or a recogniser, or the
type of the session in its first `session.update`.
"""

from __future__ import annotations

from functools import partial

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from mooer.serve.callers import Caller
from mooer.serve.conversing import Conversing
from mooer.serve.engines import AGENT
from mooer.serve.realtime_wire import SwitchedError, shape
from mooer.serve.sockets import Message, Socket, attend, together
from mooer.serve.state import State
from mooer.serve.transcribing import Transcribing

_MAX_FRAME_BYTES = 4 << 20  # more than a minute of samples in base64
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
    await together(_sessions(state, socket, caller), socket.pump())


async def _sessions(state: State, socket: Socket, caller: Caller) -> None:
    """What a caller connects for, and what it makes of that before it says anything."""
    name = socket.query.get("model", "")
    is_hosted = name.startswith(_HOSTED)
    is_named = bool(name) and socket.query.get("intent") != "transcription"
    converses = is_named and state.engines.has(AGENT, "" if is_hosted else name)
    if is_hosted:
        name = ""
    asked: Message | None = None
    while True:
        session: Conversing | Transcribing = (
            Conversing(state, socket, caller, name)
            if converses
            else Transcribing(state, socket, caller, name)
        )
        try:
            await session.begin(asked)
            await together(session.read(), session.hear())
        except SwitchedError as switched:
            asked, name, converses = switched.asked, "", not converses
