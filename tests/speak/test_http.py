"""A speech server over the loopback, and all that one can answer."""

import json
import socket
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mooer.errors import ConfigError, DecodeError, ModelError
from mooer.speak import Voice, load_speaker, voicing_of
from mooer.speak.http import SpeechServer

TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(12_000) / 24_000) * 32767).astype("<i2")
ALLOY = Voice.parse("alloy")


def wav(samples, rate_hz=24_000, num_channels=1, *, bits=16, open_end=True, junk=b""):
    data = samples.tobytes()
    fields = struct.pack("<HHIIHH", 1, num_channels, rate_hz, 2 * rate_hz, 2, bits)
    size = 0xFFFFFFFF if open_end else len(data)
    head = b"RIFF" + struct.pack("<I", size) + b"WAVE" + junk
    return (
        head + b"fmt " + struct.pack("<I", 16) + fields + b"data" + struct.pack("<I", size) + data
    )


@contextmanager
def server(status=200, kind="audio/wav", body=b"", *, extra=None, stall=None):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["content-length"])
            asked.append((self.path, dict(self.headers), json.loads(self.rfile.read(size))))
            self.send_response(status)
            self.send_header("content-type", kind)
            for name, value in (extra or {}).items():
                self.send_header(name, value)
            self.end_headers()
            for start in range(0, len(body), 1000):
                self.wfile.write(body[start : start + 1000])
            if stall is not None:
                self.wfile.flush()
                stall.wait(10)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", asked
    finally:
        if stall is not None:
            stall.set()
        http.shutdown()
        http.server_close()


def test_a_clause_is_asked_for_as_openai_has_it():
    with server(body=wav(TONE)) as (url, asked):
        speaker = load_speaker(f"{url}/#kokoro", key="secret")
        samples = speaker.speak("Hello there", "en", Voice.parse("nova"), speed=1.2)
    np.testing.assert_allclose(samples, TONE / 32768, atol=1e-4)
    [(path, headers, body)] = asked
    assert path == "/v1/audio/speech"
    assert headers["authorization"] == "Bearer secret"
    assert body == {
        "model": "kokoro",
        "input": "Hello there",
        "voice": "nova",
        "speed": 1.2,
        "response_format": "wav",
    }


@pytest.mark.parametrize(
    ("body", "kind", "num"),
    [
        (TONE.tobytes(), "audio/pcm", 12_000),
        (TONE.tobytes() + b"x", "audio/pcm; rate=24000", 12_000),
        (wav(TONE, 48_000), "audio/wav", 6_000),
        (wav(TONE, 16_000), "application/octet-stream", 18_000),
        (wav(np.repeat(TONE, 2), num_channels=2, open_end=False), "audio/x-wav", 12_000),
        (wav(TONE, junk=b"LIST" + struct.pack("<I", 7) + b"x" * 8), "audio/wav", 12_000),
    ],
)
def test_what_servers_send_becomes_24_khz(body, kind, num):
    with server(kind=kind, body=body) as (url, _):
        samples = SpeechServer(url).speak("Hello", "en", ALLOY)
    assert len(samples) == pytest.approx(num, abs=2)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ({"status": 401}, ModelError, "refuses the key"),
        (
            {"status": 500, "body": b'{"error": "out of\nmemory"}'},
            DecodeError,
            "answered 500: .*out",
        ),
        ({"status": 302, "extra": {"location": "http://example.org"}}, DecodeError, "answered 302"),
        ({"kind": "audio/mpeg", "body": b"ID3" + b"x" * 5000}, DecodeError, "neither wav nor pcm"),
        ({"kind": "text/html", "body": b"<html>"}, DecodeError, "neither wav nor pcm"),
        ({"body": b""}, DecodeError, "neither wav nor pcm"),
        ({"body": wav(TONE)[:30]}, DecodeError, "neither wav nor pcm"),
        ({"body": wav(TONE, bits=24)}, DecodeError, "24 bits"),
        ({"body": wav(TONE, 1)}, DecodeError, "1 Hz"),
        ({"body": b"RIFF" + b"\0" * 200_000}, DecodeError, "neither wav nor pcm"),
        ({"body": wav(TONE[:0])}, DecodeError, "sent no sound"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(answer, error, message):
    with server(**answer) as (url, _), pytest.raises(error, match=message) as raised:
        SpeechServer(url).speak("Hello", "en", ALLOY)
    assert "\n" not in str(raised.value)


def test_an_answer_is_bounded_in_size_and_time(monkeypatch):
    monkeypatch.setattr("mooer.speak.http._MAX_BYTES", 10_000)
    with server(body=wav(TONE)) as (url, _), pytest.raises(DecodeError, match="more than"):
        SpeechServer(url).speak("Hello", "en", ALLOY)
    with (
        server(body=wav(TONE)[:5000], stall=threading.Event()) as (url, _),
        pytest.raises(DecodeError, match=r"broke off|not done in"),
    ):
        SpeechServer(url, timeout_s=0.3).speak("Hello", "en", ALLOY)


def test_a_server_that_is_not_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ModelError, match="cannot be reached"):
        SpeechServer(f"http://127.0.0.1:{port}/v1").speak("Hello", "en", ALLOY)


@pytest.mark.parametrize(
    "url", ["http://", "http://:80/v1", "http://user:pass@host/v1", "http://host:99999/v1"]
)
def test_addresses_that_are_none(url):
    with pytest.raises(ConfigError, match=r"http"):
        load_speaker(url)


def test_a_key_of_two_lines_is_refused():
    with pytest.raises(ConfigError, match="line break"):
        SpeechServer("http://host/v1", key="a\r\nx: y")


def test_it_speaks_a_stream_clause_by_clause():
    with server(body=wav(TONE)) as (url, asked):
        spoken = list(voicing_of(load_speaker(url)).voice(["Hello there, you. ", "Good **bye**!"]))
    assert [body["input"] for _, _, body in asked] == ["Hello there, you.", "Good bye!"]
    assert [one.text for one in spoken] == ["Hello there, you.", " Good **bye**!"]
    assert spoken[0].words[-1].end_s == pytest.approx(0.5, abs=0.02)
