"""What stands before every route: who may call, from where, and what became of it.

One plain ASGI layer, so that what is streamed passes through as it comes. It gives a request its
id, knows the caller, refuses foreign hosts, pages and keys, ends a client that does not read, turns
errors into OpenAI's, counts, and logs a line without content.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
import time
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from mooer.serve.errors import ApiError, in_one_line, told
from mooer.serve.jobs import StoppedError
from mooer.serve.settings import LOOPBACK_NAMES
from mooer.serve.state import CALLER, HOLD, REQUEST_ID, State

logger = logging.getLogger(__name__)

OPEN_PATHS = ("/", "/health", "/ready", "/docs", "/openapi.json", "/favicon.ico")
OPEN_FOLDERS = ("/static/",)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
}
_CORS_HEADERS = "authorization, content-type, x-request-id, x-stainless-*, openai-organization"


class Guard:
    """The layer around the routes."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self.state = self._state = state
        self._addresses: dict[Any, str] = {  # as they were written down
            route.endpoint: route.path for route in getattr(app, "routes", ())
        }
        settings = state.settings
        self._cors = frozenset(settings.cors)
        self._hosts = frozenset(name.lower() for name in settings.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a connection on, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["app"] = self  # so that a route that is not there is an exception, not an answer
        asked = Headers(scope=scope).get("x-request-id", "")
        plain = asked.isascii() and asked.replace("-", "").isalnum() and len(asked) <= 64
        scope[REQUEST_ID] = asked if plain else secrets.token_hex(8)
        watched = _Watched(send, scope, self._state.settings.limits.idle_s)
        watched.origin = self._allowed_origin(scope)
        began = time.monotonic()
        try:
            if await self._is_preflight(scope, watched):
                return
            self._check_place(scope)
            self._check_caller(scope)
            with self._visit(scope):
                await self._app(scope, receive, watched.send)
        except (StoppedError, ClientDisconnect, WebSocketDisconnect, asyncio.TimeoutError):
            watched.status = watched.status or 499  # nobody is there to be told
            watched.abort()
        except Exception as error:
            await self._tell(error, scope, watched)
        finally:
            self._note(scope, watched.status or 499, time.monotonic() - began)

    def _check_place(self, scope: Scope) -> None:
        """Refuse a page of another site that calls a server on a visitor's own machine."""
        settings, headers = self._state.settings, Headers(scope=scope)
        host = _name_of(headers.get("host", ""))
        known = self._hosts or (frozenset(LOOPBACK_NAMES) if settings.is_loopback else frozenset())
        if known and host not in known and not _is_loopback(host):
            raise ApiError(
                403,
                "the Host header names another server: if it is right, put it into hosts",
                code="unknown_host",
            )
        origin = headers.get("origin")
        if origin is None or self._allowed_origin(scope) or _is_same(origin, headers):
            return
        raise ApiError(
            403,
            "pages of another site may not call this server: name the origin in the setting cors",
            code="unknown_origin",
        )

    def _allowed_origin(self, scope: Scope) -> str | None:
        origin = Headers(scope=scope).get("origin")
        if origin is not None and (origin in self._cors or "*" in self._cors):
            return origin
        return None

    def _check_caller(self, scope: Scope) -> None:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_FOLDERS):
            return
        state = self._state
        caller = state.callers.identify(HTTPConnection(scope))
        scope[CALLER] = caller
        if path.startswith("/v1/"):
            if state.limits.is_draining:
                raise ApiError(
                    503, "the server is about to end: try again", code="draining", retry_after_s=5
                )
            state.limits.check_rate(caller)

    def _visit(self, scope: Scope) -> AbstractContextManager[Any]:
        """Count a request of a caller while it lasts; live streams have limits of their own."""
        if scope["type"] != "http" or CALLER not in scope:
            return nullcontext()
        stack = ExitStack()
        scope[HOLD] = stack.enter_context(self._state.limits.visit(scope[CALLER]))
        return stack

    async def _is_preflight(self, scope: Scope, watched: _Watched) -> bool:
        headers = Headers(scope=scope)
        if scope["type"] != "http" or scope["method"] != "OPTIONS":
            return False
        if "access-control-request-method" not in headers:
            return False
        origin = self._allowed_origin(scope)
        answer = Response(status_code=204 if origin else 403)
        if origin:
            answer.headers["access-control-allow-methods"] = "GET, POST, OPTIONS"
            answer.headers["access-control-allow-headers"] = headers.get(
                "access-control-request-headers", _CORS_HEADERS
            )
            answer.headers["access-control-max-age"] = "600"
        await answer(scope, _nothing, watched.send)
        return True

    async def _tell(self, error: Exception, scope: Scope, watched: _Watched) -> None:
        """Answer with an error, if nothing was answered yet; a bug goes to the log."""
        answer = _told_of_route(error, scope) if isinstance(error, HTTPException) else told(error)
        if answer.status >= 500:
            level = logging.ERROR if answer.status == 500 else logging.WARNING
            is_bug = answer.code == "internal_error"
            words = "" if is_bug else f": {type(error).__name__}: {in_one_line(error)}"
            logger.log(level, "%s failed%s", scope[REQUEST_ID], words, exc_info=is_bug)
        if watched.status:
            watched.abort()
        elif scope["type"] == "http":
            await answer.response()(scope, _nothing, watched.send)
        else:
            await watched.refuse(answer)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._addresses.get(scope.get("endpoint"), "other")
        metrics = self._state.metrics
        metrics.add("mooer_requests_total", route=route, status=str(status))
        if scope["type"] == "http":
            metrics.observe("mooer_request_seconds", seconds, route=route)
        caller = scope.get(CALLER)
        logger.info(
            "%s %s %s %d %.3f s %s",
            scope[REQUEST_ID],
            scope.get("method", "WS"),
            route,  # not the path: that is the caller's text
            status,
            seconds,
            caller.id if caller else "-",
        )


class _Watched:
    """A `send` that knows what was sent, and does not wait for ever for a client that stalls."""

    def __init__(self, send: Send, scope: Scope, idle_s: float) -> None:
        self._send = send
        self._scope = scope
        self._idle_s = idle_s
        self.status = 0
        self.origin: str | None = None

    async def send(self, message: Message) -> None:
        """Send a message; TimeoutError if the client takes nothing for too long."""
        kind = message["type"]
        if kind == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers["x-request-id"] = self._scope[REQUEST_ID]
            headers.add_vary_header("Origin")
            if self.origin:
                headers["access-control-allow-origin"] = self.origin
                headers["access-control-expose-headers"] = "x-request-id, retry-after"
                headers["cross-origin-resource-policy"] = "cross-origin"
        elif kind == "websocket.accept":
            self.status = 101
        elif kind == "websocket.close" and not self.status:
            self.status = 403
        await asyncio.wait_for(self._send(message), self._idle_s)

    async def refuse(self, answer: ApiError) -> None:
        """Answer a WebSocket's opening with an error; the body only where the server can."""
        self.status = answer.status
        if "websocket.http.response" not in self._scope.get("extensions", {}):
            await self._send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        response = answer.response()
        start = {"type": "websocket.http.response.start", "status": response.status_code}
        await self._send(start | {"headers": response.raw_headers})
        await self._send({"type": "websocket.http.response.body", "body": response.body})

    def abort(self) -> None:
        """Drop the connection without waiting for what the client has not read."""
        transport: Any = getattr(getattr(self._send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()


def _told_of_route(error: HTTPException, scope: Scope) -> ApiError:
    """Of a path or a method that is not there."""
    sentences = {
        404: "there is no such address here: /docs lists what there is",
        405: f"{scope.get('method')} is not what this address takes: /docs lists what it does",
    }
    text = sentences.get(error.status_code, str(error.detail))
    allowed = (error.headers or {}).get("Allow")
    return ApiError(error.status_code, text, code="not_found", allowed=allowed)


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _name_of(host: str) -> str:
    """The name in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_same(origin: str, headers: Headers) -> bool:
    """Whether a page comes from this server itself."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return bool(parts.netloc) and parts.netloc.lower() == headers.get("host", "").lower()
