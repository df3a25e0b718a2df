"""A server of captions that sends frames such as ours does not, but RFC 6455 allows."""

import json
import socket
import threading
from contextlib import contextmanager, suppress

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

READY = b'{"type": "ready", "id": "\\u56db"}'
SEGMENT = '{"text": "四\\n\\ud83d\\ude00 \\"é\\"", "start_s": 0, "end_s": 1e0}'
SAID = f'{{"type": "said", "segment": {SEGMENT}}}'
HEARD = '四\n😀 "é"\n'
LONG = json.dumps({"type": "partial", "text": "x" * 70_000, "words": [None, True, -1.5e-3, {}]})
REASON = "the server is about to end: 再见"
TEXT, CONTINUED, LAST = 0x01, 0x00, 0x80


def frame(first, payload):
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    if size < 65536:
        return bytes([first, 126]) + size.to_bytes(2, "big") + payload
    return bytes([first, 127]) + size.to_bytes(8, "big") + payload


class Script:
    """`starts` are the first messages that came, `num_bytes` the sound, `pongs` pings answered."""

    def __init__(self):
        self.starts = []
        self.num_bytes = 0
        self.pongs = 0

    def __call__(self, connection):
        self.starts.append(json.loads(connection.recv()))
        write = connection.socket.sendall
        write(frame(TEXT, READY[:10]))
        pong = connection.ping("still there?")
        write(frame(CONTINUED, b"") + frame(CONTINUED | LAST, READY[10:]))
        try:
            while not isinstance(data := connection.recv(), str):
                self.num_bytes += len(data)
        except ConnectionClosed:
            return
        self.pongs += pong.wait(5)
        if self.starts[-1].get("language") == "gone":
            connection.socket.shutdown(socket.SHUT_RDWR)
            return
        cut = SAID.encode().index("四".encode()) + 1  # in the midst of a letter
        write(frame(TEXT | LAST, LONG.encode()))
        write(frame(TEXT, SAID.encode()[:cut]) + frame(CONTINUED | LAST, SAID.encode()[cut:]))
        connection.close(4503, REASON)


def _first(connection, offered):
    return offered[0] if offered else None


@contextmanager
def scripted():
    """The address of a server, and the script that it follows."""
    script = Script()
    with serve(script, "127.0.0.1", 0, select_subprotocol=_first) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.socket.getsockname()[1]}", script
        server.shutdown()
    thread.join(10)
    assert not thread.is_alive()


@contextmanager
def rude():
    """The address of a server that reads a little of a request, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            with suppress(OSError):
                while True:
                    with listener.accept()[0] as one:
                        one.recv(100)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
    assert not thread.is_alive()
