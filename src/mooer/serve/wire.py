"""Connections with bounds, for those who are slow, endless, ambiguous or deaf.

uvicorn leaves these open: how long a request may begin, how large its headers are, how many
requests wait behind another, what comes after the answer, and a reader who takes none of it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_HEADERS_S = 20.0  # for a request, from its first byte or the connection's, to its headers' end
_REST_S = 30.0  # for the rest of a body that is answered already, and for nobody
_LINGER_S = 30.0  # for an answer to be taken, when all of it is written
_HEADER_BYTES = 64 << 10  # and what the system gives at once
_UNREAD_BYTES = 4 << 20  # of a WebSocket, that wait for a reader; messages wait elsewhere
_MAX_PIECES = 10_000  # of one message
_MAX_PIPELINED = 16  # requests that wait behind another of their connection


class RefusedError(Exception):
    """The parser is told to go no further: the answer is 400, and the connection ends."""


class Connection(HttpToolsProtocol):
    """HTTP that waits for nothing without end."""

    _overdue: asyncio.TimerHandle | None = None
    _num_idle_bytes = 0  # that were neither the end of headers nor of a body

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._within(_HEADERS_S)

    def data_received(self, data: bytes) -> None:
        """Read on, unless it is neither headers nor a body that comes."""
        self._num_idle_bytes += len(data)
        super().data_received(data)
        if self._num_idle_bytes > _HEADER_BYTES:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Wait for the rest of its headers. RefusedError if too many wait."""
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise RefusedError
        self._within(_HEADERS_S)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """They have come. RefusedError if they claim two hosts."""
        self._num_idle_bytes = 0
        self._within(None)
        if sum(name == b"host" for name, _ in self.headers) > 1:
            raise RefusedError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Some of it has come."""
        self._num_idle_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it has come; if it was answered before, the connection is idle from here on."""
        self._num_idle_bytes = 0
        super().on_message_complete()
        cycle = self.cycle
        if cycle is not None and cycle.response_complete and cycle.more_body:
            cycle.more_body = False
            self._within(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """Do not wait for ever for the rest of what was asked, or for the answer to be taken."""
        super().on_response_complete()
        if self.transport.is_closing():
            asyncio.get_running_loop().call_later(_LINGER_S, self.transport.abort)
        elif self.cycle.response_complete and self.cycle.more_body:
            self._within(_REST_S)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked in a long while; what was not read by now will not be."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """There is nothing to wait for."""
        self._within(None)
        super().connection_lost(exc)

    def _within(self, seconds: float | None) -> None:
        """End the connection unless something else is said in time; with None do not."""
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        if seconds is not None:
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(seconds, self.transport.abort)


class Stream(WebSocketsSansIOProtocol):
    """A WebSocket that answers no pings to the deaf, and ends when it is told to."""

    def data_received(self, data: bytes) -> None:
        """Read on, unless nobody takes what is answered to it."""
        super().data_received(data)
        if self.transport.get_write_buffer_size() > _UNREAD_BYTES:
            self.transport.abort()

    def handle_cont(self, event: Any) -> None:
        """A further piece of a message, empty perhaps: there may be so many of them."""
        if len(self.frames) > _MAX_PIECES:
            self.transport.abort()
            return
        super().handle_cont(event)

    async def run_asgi(self) -> None:
        """Serve it; what is not taken a while after its end is not waited for."""
        try:
            await super().run_asgi()
        finally:
            asyncio.get_running_loop().call_later(_LINGER_S, self.transport.abort)
