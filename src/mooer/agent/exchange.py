"""One HTTP request to a service that somebody runs: bounded in time and size, with plain errors.

The address and the key come from the caller. Proxies, cookies and redirects are left alone.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mooer.errors import AgentError, ConfigError

MAX_LINE_BYTES = 1 << 20
MAX_BYTES = 16 << 20  # of a whole answer
_WORST = {
    400: "it does not understand the request",
    401: "it does not know the key: give another",
    402: "its account is used up",
    403: "it refuses this key or request: give another key",
    404: "it has no such path or model: look at the address and the name",
    429: "it has too many requests: wait, or raise the quota",
}
_SAID_CHARS = 160
_CUT_S = 0.05  # by which a timer may be early


@dataclass(frozen=True)
class Service:
    """Where a service is, and how long it may take."""

    url: str  # http:// or https://, without the path of a request
    key: str = field(default="", repr=False)
    first_s: float = 15.0  # until it begins to answer
    pause_s: float = 10.0  # between two pieces
    total_s: float = 120.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.url)
            fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or any(char <= " " for char in self.url):
            raise ConfigError(f"{self.url!r} is no address: write http://host:port or https://host")
        if any(not " " < char < "\x7f" for char in self.key):
            raise ConfigError("the key holds characters that no key has: copy it again")
        if min(self.first_s, self.pause_s, self.total_s) <= 0:
            raise ConfigError("the seconds that a service may take are above 0")

    @property
    def host(self) -> str:
        """Its name, for messages."""
        return urlsplit(self.url).netloc.rpartition("@")[2]


@dataclass(frozen=True)
class Request:
    """What is asked of it."""

    path: str  # behind the address, with what is asked in it
    body: Any = None  # sent as JSON by POST; None: GET
    headers: Mapping[str, str] = field(default_factory=dict)


def lines(service: Service, request: Request) -> Generator[str, None, None]:
    """The lines of the answer as they come; closing it ends the connection.

    AgentError in one sentence if there is no service, if it refuses, stalls or never ends.
    """
    with _told(service), _answer(service, request) as (answer, line):
        num_bytes = 0
        while True:
            line.allow(service.pause_s)
            text = answer.readline(MAX_LINE_BYTES + 1)
            if not text:
                return
            num_bytes += len(text)
            if len(text) > MAX_LINE_BYTES or num_bytes > MAX_BYTES:
                raise AgentError(f"{service.host} writes without an end: it was cut off")
            yield text.decode(errors="replace").rstrip("\r\n")


def document(service: Service, request: Request) -> Any:
    """The JSON of the whole answer. AgentError as of `lines`, and if it is none."""
    text = "\n".join(lines(service, request))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise AgentError(
            f"{service.host} answers with no JSON ({_shown(text)}): look at the address"
        ) from None


class _Line:
    """The socket of a connection, and when it is cut at the latest."""

    def __init__(self, held: socket.socket, total_s: float) -> None:
        self._held = held
        self._ends_at = time.monotonic() + total_s
        # A service may send its headers letter by letter, which no timeout of a read would end.
        self._cutting = threading.Timer(total_s, self._cut)
        self._cutting.daemon = True
        self._cutting.start()

    def allow(self, pause_s: float) -> None:
        """So long may the next read take. TimeoutError if the whole has taken too long."""
        left_s = self._ends_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._held.settimeout(min(pause_s, left_s))

    def _cut(self) -> None:
        with contextlib.suppress(OSError):  # closed already
            self._held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._cutting.cancel()


@contextlib.contextmanager
def _answer(service: Service, request: Request) -> Iterator[tuple[http.client.HTTPResponse, _Line]]:
    body = None if request.body is None else json.dumps(request.body).encode()
    headers = {"User-Agent": "mooer", "Accept-Encoding": "identity", **request.headers}
    if body is not None:
        headers["Content-Type"] = "application/json"
    path = urlsplit(service.url).path.rstrip("/") + request.path
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(contextlib.closing(_connection(service)))
        connection.connect()
        line = stack.enter_context(contextlib.closing(_Line(connection.sock, service.total_s)))
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = stack.enter_context(contextlib.closing(connection.getresponse()))
        if answer.status != 200:
            line.allow(service.pause_s)
            raise _refused(service, answer.status, answer.read(4096))
        yield answer, line


def _connection(service: Service) -> http.client.HTTPConnection:
    parts = urlsplit(service.url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            host, parts.port, timeout=service.first_s, context=context
        )
    return http.client.HTTPConnection(host, parts.port, timeout=service.first_s)


@contextlib.contextmanager
def _told(service: Service) -> Iterator[None]:
    """What goes wrong on the way, in one sentence."""
    ends_at = time.monotonic() + service.total_s
    late = AgentError(f"{service.host} does not answer in time: is it busy, or down?")
    try:
        yield
    except TimeoutError:
        raise late from None
    except ConnectionRefusedError:
        raise AgentError(f"nobody listens at {service.host}: start the server there") from None
    except socket.gaierror:
        raise AgentError(f"there is no host {service.host}: look at the address") from None
    except ssl.SSLError as error:
        raise AgentError(f"{service.host} cannot be trusted ({error.reason})") from None
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= ends_at - _CUT_S:  # we have cut it ourselves
            raise late from None
        raise AgentError(
            f"the connection to {service.host} broke off ({type(error).__name__}): try again"
        ) from None


def _refused(service: Service, status: int, body: bytes) -> AgentError:
    text = body.decode(errors="replace")
    try:
        problem = json.loads(text)
        said = problem.get("error", problem) if isinstance(problem, dict) else problem
        text = str(said.get("message", said) if isinstance(said, dict) else said)
    except (ValueError, RecursionError):
        pass
    why = _WORST.get(status, "it failed: try again later" if status >= 500 else "it refuses")
    said = f" ({_shown(text)})" if text.strip() else ""
    return AgentError(f"{service.host} answers {status}{said}: {why}")


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SAID_CHARS else text[: _SAID_CHARS - 1] + "…"
