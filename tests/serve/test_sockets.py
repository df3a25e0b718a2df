"""What is told last, when a stream ends in the midst of a message."""

import asyncio
import json
from types import SimpleNamespace

from starlette.websockets import WebSocketState

from mooer.serve.errors import ApiError
from mooer.serve.sockets import Socket


class Slow:
    """A WebSocket that takes nothing until its gate is open."""

    query_params = SimpleNamespace()
    application_state = WebSocketState.CONNECTED

    def __init__(self):
        self.gate = asyncio.Event()
        self.told = []

    async def send_text(self, text):
        await self.gate.wait()
        self.told.append(json.loads(text)["type"])

    async def close(self, code, reason):
        self.told.append(code)


def test_the_message_that_was_being_written_is_told_before_the_error():
    async def main():
        slow = Slow()
        socket = Socket(slow, idle_s=5)
        socket.send({"type": "first"})
        socket.send({"type": "second"})
        pumping = asyncio.create_task(socket.pump())
        await asyncio.sleep(0.01)
        pumping.cancel()
        await asyncio.wait([pumping])
        closing = asyncio.create_task(socket.close(ApiError(400, "no")))
        await asyncio.sleep(0.01)
        slow.gate.set()
        await closing
        return slow.told

    assert asyncio.run(main()) == ["first", "second", "error", 4400]
