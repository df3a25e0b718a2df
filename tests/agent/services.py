"""A service on the loopback that answers as it is told: in pieces, late, cut off, or for ever."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator

Script = Callable[[socket.socket, "Asked"], None]


class Asked:
    """What a client asked."""

    def __init__(self, head: str, body: bytes) -> None:
        self.line, _, rest = head.partition("\r\n")
        self.headers = dict(one.lower().split(": ", 1) for one in rest.split("\r\n") if ": " in one)
        self.body = json.loads(body) if body else None


class FakeService:
    """Listens on a free port; `script` writes to the socket what is answered to each request."""

    def __init__(self, script: Script) -> None:
        self.asked: list[Asked] = []
        self.gone = threading.Event()  # a client has closed before the script was done
        self._script = script
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                asked = _read(client)
                self.asked.append(asked)
                try:
                    self._script(client, asked)
                except OSError:
                    self.gone.set()

    def close(self) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


@contextlib.contextmanager
def service(script: Script) -> Iterator[FakeService]:
    running = FakeService(script)
    try:
        yield running
    finally:
        running.close()


def _read(client: socket.socket) -> Asked:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(65536)
        if not piece:
            raise OSError("gone")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    asked = Asked(head.decode(), b"")
    size = int(asked.headers.get("content-length", 0))
    while len(body) < size:
        body += client.recv(65536)
    return Asked(head.decode(), body)


def replying(content: bytes | str, *, status: int = 200, kind: str = "application/json") -> Script:
    """Answer with this and close."""
    data = content.encode() if isinstance(content, str) else content

    def script(client: socket.socket, asked: Asked) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode() + data)

    return script


def waiting(before: bytes = b"") -> Script:
    """Write this, then nothing more, until the client leaves."""

    def script(client: socket.socket, asked: Asked) -> None:
        client.sendall(before)
        client.settimeout(20)
        client.recv(1)

    return script


def endless(piece: bytes) -> Script:
    """An answer that never ends."""

    def script(client: socket.socket, asked: Asked) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            client.sendall(piece)

    return script


def events(*found: object, done: bool = True) -> str:
    """Server-sent events: what is no text is sent as JSON."""
    lines = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in found]
    return "".join(f"data: {line}\n\n" for line in [*lines, *(["[DONE]"] if done else [])])


def delta(content: str | None = None, finish: str | None = None, **more: object) -> dict:
    """A chunk of a streamed chat completion."""
    said = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": {**said, **more}, "finish_reason": finish}]}
