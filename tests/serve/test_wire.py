"""Connections of those who do not mean well: slow, endless, ambiguous, or deaf."""

import contextlib
import socket
import time

import pytest
from tests.serve.stand import running, until

from mooer.serve.settings import LimitOptions

HOST = b"Host: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /v1/audio/speech HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def live():
    with running() as found:
        yield found


@contextlib.contextmanager
def connected(live, receive_bytes=None):
    with socket.socket() as one:
        if receive_bytes is not None:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        one.settimeout(5)
        one.connect(live.server.servers[0].sockets[0].getsockname())
        yield one


def all_of(one):
    """What comes until the other side closes."""
    found = b""
    with contextlib.suppress(ConnectionError):
        while data := one.recv(1 << 16):
            found += data
    return found


def is_cut_off(one, data, times):
    """Whether the other side lets go of one who sends so much."""
    try:
        for _ in range(times):
            one.sendall(data)
        for _ in range(100):  # the system takes some of it before the other side has read it
            time.sleep(0.05)
            one.sendall(data[:1])
    except ConnectionError:
        return True
    return False


def answer_of(one):
    """One answer with its JSON."""
    found = b""
    while not found.endswith(b"}"):
        found += one.recv(1 << 16)
    return found


def num_connections(live):
    return len(live.server.server_state.connections)


def test_one_who_connects_and_says_nothing_is_let_go(live, monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._HEADERS_S", 0.2)
    with connected(live) as silent, connected(live) as slow:
        slow.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        assert all_of(silent) == all_of(slow) == b""


@pytest.mark.parametrize("kind", ["one", "many", "url", "trailers", "chunks"])
def test_headers_without_an_end_are_cut_off(live, kind):
    begin, more = {
        "one": (b"GET / HTTP/1.1\r\nX: ", b"x" * 1000),
        "many": (b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        "url": (b"GET /", b"x" * 1000),
        "trailers": (CHUNKED + b"0\r\n", b"X: " + b"y" * 99 + b"\r\n"),
        "chunks": (CHUNKED + b"1;", b"x" * 1000),
    }[kind]
    with connected(live) as one:
        one.sendall(begin)
        assert is_cut_off(one, more * 100, 200)


def test_a_thousand_requests_at_once_are_cut_off(live):
    with connected(live) as one:
        with contextlib.suppress(ConnectionError):
            one.sendall(GET * 20_000)
        answers = all_of(one)
    assert answers.count(b"HTTP/1.1 200") < 100
    with connected(live) as one:
        one.sendall(GET * 5)
        found = b""
        while found.count(b"HTTP/1.1 200") < 5:
            found += one.recv(1 << 16)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length : 5\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: 5\r\n folded: yes\r\n",
        b"Host: other.example\r\n",
        b"X: \0\r\n",
        b"X: a\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_what_a_proxy_could_read_otherwise_is_refused(live, head):
    with connected(live) as one:
        one.sendall(POST + head + b"\r\n0\r\n\r\n" + GET)
        answer = all_of(one)
    assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
    assert b"Invalid HTTP request" in answer
    assert b"HTTP/1.1 200" not in answer


def test_one_who_sends_on_after_the_answer_is_let_go(live, monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._REST_S", 0.3)
    began = time.monotonic()
    with connected(live) as one:
        one.sendall(POST + b"Content-Length: 99999999999\r\n\r\n")
        assert one.recv(1 << 16).startswith(b"HTTP/1.1 413")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < began + 5:
                one.sendall(b"x")
                time.sleep(0.02)
    assert time.monotonic() < began + 4


def test_a_connection_goes_on_when_an_early_answer_was_given(live, monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._REST_S", 0.3)
    with connected(live) as one:
        one.sendall(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n")
        assert answer_of(one).startswith(b"HTTP/1.1 404")
        one.sendall(b"12345")
        time.sleep(0.6)
        one.sendall(GET)
        assert one.recv(1 << 16).startswith(b"HTTP/1.1 200")


def test_one_who_never_reads_holds_no_connection(live, monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._LINGER_S", 0.3)
    until(lambda: num_connections(live) <= 1)  # of the client that all tests share
    before = num_connections(live)
    live.server.servers[0].sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    with connected(live, 1024) as one:
        close = b"GET /openapi.json HTTP/1.1\r\n" + HOST
        one.sendall((close + b"\r\n") * 3 + close + b"Connection: close\r\n\r\n")
        time.sleep(0.3)
        until(lambda: num_connections(live) <= before, 10)


def frame(opcode, data=b"", *, fin=True):
    """A frame of a WebSocket, masked with zeros."""
    return bytes([(0x80 if fin else 0) | opcode, 0x80 | len(data)]) + bytes(4) + data


UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


def upgrade(one):
    one.sendall(b"GET /v1/captions HTTP/1.1\r\n" + HOST + UPGRADE)
    assert one.recv(1 << 12).startswith(b"HTTP/1.1 101")


@pytest.mark.parametrize("data", [frame(9, b"x" * 125), frame(0, fin=False)])
def test_a_stream_of_nothing_is_cut_off(live, data, monkeypatch):
    """Pings whose answers nobody reads, and a message of empty pieces without an end."""
    monkeypatch.setattr("mooer.serve.wire._UNREAD_BYTES", 1 << 18)
    with connected(live, 1024) as one:
        upgrade(one)
        if data[0] == 0:
            one.sendall(frame(1, b"{", fin=False))
        assert is_cut_off(one, data * 1000, 100)


def test_a_stream_that_never_reads_holds_no_connection(monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._LINGER_S", 0.3)
    monkeypatch.setattr("mooer.serve.captions._START_S", 1.0)
    with running(limits=LimitOptions(idle_s=1)) as live, connected(live, 1024) as one:
        upgrade(one)
        for _ in range(40):  # more than the system keeps for one who does not read
            one.sendall(frame(9, b"x" * 125) * 1000)
        until(lambda: num_connections(live) == 1)
        until(lambda: num_connections(live) == 0, 20)


def test_a_stream_on_a_connection_that_was_used_before(live, monkeypatch):
    monkeypatch.setattr("mooer.serve.wire._REST_S", 0.2)
    live.server.config.timeout_keep_alive = 0.2
    with connected(live) as one:
        one.sendall(b"POST /nowhere HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\n\r\n")
        assert answer_of(one).startswith(b"HTTP/1.1 404")
        one.sendall(b"12345")
        upgrade(one)
        time.sleep(0.6)
        one.sendall(frame(9, b"still there?"))
        assert one.recv(1 << 12).endswith(b"still there?")
    live.server.config.timeout_keep_alive = 65
