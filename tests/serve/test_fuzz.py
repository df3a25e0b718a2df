"""A small `bench/fuzz.py`: nonsense of many kinds is answered, and leaves nothing behind."""

import base64
import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.live import opened, serving
from tests.serve.stand import running, until, wav

from mooer.serve.settings import LimitOptions

NUM_UPLOADS, NUM_SESSIONS = 60, 40
ADDRESSES = ("/v1/audio/speech", "/v1/chat/completions")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
FIELDS = (
    "input", "voice", "speed", "response_format", "stream_format", "model", "messages", "stream",
    "temperature", "max_tokens", "modalities", "audio", "n", "stream_options", "tools",
)  # fmt: skip
VALUES = JSON | st.sampled_from(
    [10**400, -1e308, "\ud800", "alloy", "a:0.5+b:0.5", "a:" + "9" * 5000, "mp3", "sse", "audio"]
)
MESSAGE = st.fixed_dictionaries({}, optional={"role": VALUES, "content": VALUES, "audio": VALUES})
MESSAGE |= st.builds(
    lambda role, kind, inner: {"role": role, "content": [{"type": kind, kind: inner}]},
    st.sampled_from(["user", "system", "assistant"]),
    st.sampled_from(["text", "input_audio", "audio_url", "input_text"]),
    VALUES | st.fixed_dictionaries({}, optional={"data": VALUES, "url": VALUES}),
)


@pytest.fixture(scope="module")
def live():
    with running(limits=LimitOptions(idle_s=2, max_duration_s=60)) as found:
        yield found


def spoilt(data, order):
    found = bytearray(data)
    for _ in range(order.choice((1, 4, 30))):
        place = order.randrange(len(found))
        if order.random() < 0.7:
            found[place] = order.choice((0, 255, order.randrange(256)))
        else:
            del found[place : place + order.randint(1, 9)]
    return bytes(found[: order.choice((len(found), order.randint(1, len(found))))])


def check(answer):
    """It is an answer that is meant, and an error says what it is."""
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert '"internal_error"' not in answer.text


def test_spoilt_uploads(live):
    examples = Path(__file__).parents[2] / "examples"
    files = [wav(), wav(rate_hz=48_000), (examples / "en.flac").read_bytes()[:60_000]]
    head = '--xyz\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n'
    kind = {"content-type": "multipart/form-data; boundary=xyz"}
    for number in range(NUM_UPLOADS):
        order = random.Random(number)
        data = order.choice(files)
        data = spoilt(data, order) if number % 3 else data
        name = order.choice(("stream", "speakers", "language", "chunking_strategy[x]"))
        body = (head.format(name, "") + "true\r\n" + head.format("file", '; filename="a"')).encode()
        body += data + b"\r\n--xyz--\r\n"
        body = body if number % 3 else spoilt(body[:200], order) + body[200:]
        check(live.http.post("/v1/audio/transcriptions", content=body, headers=kind))
    until(lambda: not live.state.limits.num_running)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(ADDRESSES),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4),
    st.lists(MESSAGE, max_size=3),
)
def test_json_that_makes_no_sense(live, address, body, messages):
    body = {"input": "Good morning.", "messages": messages} | body
    check(live.http.post(address, content=json.dumps(body)))


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(ADDRESSES), st.binary(max_size=40))
def test_bytes_that_are_no_json(live, address, data):
    check(live.http.post(address, content=b'{"input": "' + data + b'"}'))


def test_frames_that_make_no_sense(caplog):
    good = wav()[44:]
    with serving(idle_s=5) as (client, _, state):
        for number in range(NUM_SESSIONS):
            order = random.Random(number)
            path = order.choice(("/v1/captions", "/v1/realtime"))
            with opened(client, path) as socket:
                if path == "/v1/captions" and number % 4:
                    socket.send_text(json.dumps({"type": "start", "encoding": "ogg"}))
                for _ in range(order.randint(1, 12)):
                    say_nonsense(socket, order, good)
                if order.random() < 0.5:
                    socket.send_text(json.dumps({"type": "end"}))
        until(lambda: not state.limits.num_sessions, 10)
    assert "failed" not in caplog.text


def say_nonsense(socket, order, good):
    events = ("start", "end", "flush", "ping", "session.update", "input_audio_buffer.append", 5)
    values = (None, [], {}, "x" * 3000, 10**400, float("nan"), {"audio": {"input": []}}, "\ud800")
    kind = order.randrange(4)
    if kind == 0:
        socket.send_bytes(order.choice((b"", b"\xff" * 99, good[:3200], order.randbytes(500))))
    elif kind == 1:
        names = ("session", "audio", "rate_hz", "step_s", "event_id", "language")
        message = {order.choice(names): order.choice(values) for _ in range(2)}
        socket.send_text(json.dumps(message | {"type": order.choice(events)}))
    elif kind == 2:
        socket.send_text(order.choice(("", "{", "[]", "null", "[" * 5000, '{"type": null}')))
    else:
        data = base64.b64encode(good[: order.choice((1, 4800))]).decode()
        event = {"type": "input_audio_buffer.append", "audio": data[order.randrange(2) :]}
        socket.send_text(json.dumps(event))


def test_a_good_clip_is_heard_right_at_the_end(live):
    assert live.transcribe().json()["text"] == "four four four four"
