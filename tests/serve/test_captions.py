"""Live captions over a scripted recogniser: the protocol, its bounds, and how it ends."""

import json
import time
from dataclasses import replace

import pytest
from starlette.testclient import WebSocketDenialResponse
from tests.serve.live import (
    CLIP,
    WORDS,
    frames,
    kinds,
    opened,
    rest,
    said,
    serving,
)

from mooer.serve.captions import Wanted, read_start
from mooer.serve.errors import ApiError


def heard(client, start=None, samples=CLIP):
    """A whole stream: its messages, and the code it was closed with."""
    with opened(client) as socket:
        said(socket, {"type": "start", **(start or {})})
        for frame in frames(samples):
            socket.send_bytes(frame)
        said(socket, {"type": "end"})
        return rest(socket)


def test_words_come_then_sentences_then_the_end():
    with serving() as (client, engine, _):
        messages, code = heard(client, {"language": "en"})
    assert code == 1000
    assert messages[0] | {"id": ""} == {
        "type": "ready",
        "id": "",
        "model": "fake",
        "encoding": "pcm16",
        "rate_hz": 16_000,
        "channels": 1,
        "language": "en",
        "to": None,
    }
    finals = [m for m in messages if m["type"] == "final"]
    assert "".join(m["text"] for m in finals).strip() == WORDS
    words = [word for m in finals for word in m["words"]]
    assert words[0]["start_s"] == pytest.approx(0.5, abs=0.02)
    assert words[-1]["end_s"] == pytest.approx(2.9, abs=0.02)
    [sentence] = [m for m in messages if m["type"] == "said"]
    assert sentence["id"] == 1
    assert sentence["segment"]["text"] == WORDS
    assert len(sentence["segment"]["words"]) == len(WORDS.split())
    assert "speaker" not in sentence["segment"]
    order = kinds(messages)
    assert order.index("speech") < order.index("final") < order.index("said")
    assert order[-2:] == ["end_point", "done"]
    assert messages[-1]["duration_s"] == pytest.approx(4.5)
    assert messages[-1]["num_said"] == 1
    assert engine.asked[0].task == "asr"


def test_what_start_asks_for_reaches_the_recogniser():
    def translate(chunk, segment):
        return replace(segment, translation="早上好。")

    with serving(translate=translate) as (client, engine, _):
        start = {"language": "English", "to": "zh", "labels": True, "itn": True, "silence_s": 1}
        messages, code = heard(client, start)
    assert code == 1000
    [sentence] = [m for m in messages if m["type"] == "said"]
    assert sentence["segment"]["translation"] == "早上好。"
    asked = engine.asked[0]
    assert (asked.language, asked.task, asked.to) == ("en", "ast", "zh")
    assert asked.rich
    assert asked.gender
    assert asked.itn
    assert engine.lives[0].endpoint.end_s == 1.0


@pytest.mark.parametrize(
    ("message", "param", "words"),
    [
        ({"type": "begin"}, "type", "the first message"),
        ({"type": "start", "langage": "en"}, "langage", "did you mean language"),
        ({"type": "start", "rate_hz": "16000"}, "rate_hz", "a whole number"),
        ({"type": "start", "itn": 1}, "itn", "true or false"),
        ({"type": "start", "prompt": "a" * 3000}, "prompt", "3000 letters"),
        ({"type": "start", "step_s": 0.01}, "step_s", "0.2 to 5"),
        ({"type": "start", "step_s": 10**400}, "step_s", "0.2 to 5"),
        ({"type": "start", "silence_s": float("nan")}, "silence_s", "0.2 to 10"),
        ({"type": "start", "rate_hz": 10**400}, None, "8000 to 96000"),
        ({"type": "start", "\ud800": 1}, None, "half of a letter"),
        ({"type": "start", "prompt": "\ud800"}, None, "half of a letter"),
        ({"type": "start", "rate_hz": 1}, None, "8000 to 96000"),
        ({"type": "start", "encoding": "mp3"}, None, "unknown encoding"),
        ({"type": "start", "language": "klingonian"}, None, "unknown language"),
        ({"type": "start", "model": "other"}, "model", "does not exist"),
    ],
)
def test_a_start_that_makes_no_sense_is_told_and_the_stream_closed(message, param, words):
    with serving() as (client, _, state), opened(client) as socket:
        said(socket, message)
        [error], code = rest(socket)
        assert error["type"] == "error"
        assert words in error["error"]["message"]
        assert error["error"]["param"] == param
        assert code == (4404 if message.get("model") else 4400)
    assert state.limits.num_sessions == 0


def test_sound_before_the_start_is_refused():
    with serving() as (client, _, _), opened(client) as socket:
        socket.send_bytes(b"\0\0")
        [error], code = rest(socket)
    assert error["error"]["code"] == "not_started"
    assert code == 4400


def test_garbage_is_told_and_much_of_it_ends_the_stream():
    with serving() as (client, _, _), opened(client) as socket:
        said(socket, {"type": "start"})
        for text in ("{", "[]", '"end"', '{"type": 3}', '{"type": "enf"}', "[" * 100_000):
            socket.send_text(text)
        for _ in range(20):
            socket.send_text("\x00")
        messages, code = rest(socket)
    assert code == 4400
    assert len([m for m in messages if m["type"] == "error"]) == 20
    assert any("did you mean end" in m["error"]["message"] for m in messages if "error" in m)


def test_a_frame_that_is_too_large_ends_the_stream():
    with serving() as (client, _, _), opened(client) as socket:
        said(socket, {"type": "start"})
        socket.send_bytes(bytes((1 << 20) + 2))
        messages, code = rest(socket)
    assert code == 4413
    assert messages[-1]["error"]["code"] == "frame_too_large"


def test_one_who_says_nothing_is_let_go_of():
    with serving(idle_s=1.0) as (client, _, state), opened(client) as socket:
        said(socket, {"type": "start"})
        messages, code = rest(socket)
        assert code == 4408
        assert messages[-1]["error"]["code"] == "stalled"
    assert state.limits.num_sessions == 0


def test_a_stream_has_a_longest():
    with serving(max_duration_s=1.0) as (client, _, _):
        messages, code = heard(client)
    assert code == 4413
    assert messages[-1]["error"]["code"] == "session_too_long"


def test_a_caller_has_so_many_streams():
    with serving(max_sessions_each=1) as (client, _, state), opened(client) as one:
        said(one, {"type": "start"})
        assert json.loads(one.receive_text())["type"] == "ready"
        with opened(client) as two:
            [error], code = rest(two)
        assert code == 4429
        assert "try again" in error["error"]["message"]
        assert state.limits.num_sessions == 1


def test_one_who_vanishes_leaves_nothing_behind():
    with serving() as (client, _, state):
        with opened(client) as socket:
            said(socket, {"type": "start"})
            for frame in frames(CLIP)[:20]:
                socket.send_bytes(frame)
        wait_for(lambda: state.limits.num_sessions == 0)


def wait_for(holds, within_s=3.0):
    ends_at = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.01)


def test_flush_ends_the_utterance_and_the_stream_goes_on():
    with serving() as (client, _, _), opened(client) as socket:
        said(socket, {"type": "start"})
        for frame in frames(CLIP)[:29]:
            socket.send_bytes(frame)
        said(socket, {"type": "flush"})
        found = []
        while not found or found[-1]["type"] != "flushed":
            found.append(json.loads(socket.receive_text()))
        assert found[-1]["time_s"] == pytest.approx(2.9)
        assert "said" in kinds(found)
        said(socket, {"type": "ping"})
        assert json.loads(socket.receive_text())["type"] == "pong"
        said(socket, {"type": "end"})
        messages, code = rest(socket)
    assert (kinds(messages)[-1], code) == ("done", 1000)


def test_a_server_that_ends_says_what_it_has_heard():
    with serving() as (client, _, state), opened(client) as socket:
        said(socket, {"type": "start"})
        for frame in frames(CLIP)[:29]:
            socket.send_bytes(frame)
        assert json.loads(socket.receive_text())["type"] == "ready"
        state.limits.is_draining = True
        messages, code = rest(socket)
        state.limits.is_draining = False
    assert code == 4503
    assert [m["segment"]["text"] for m in messages if m["type"] == "said"]
    assert kinds(messages)[-2:] == ["done", "error"]


def test_a_key_comes_as_a_subprotocol_from_a_browser():
    with serving(settings={"api_key": "secret"}) as (client, _, _):
        with pytest.raises(WebSocketDenialResponse) as refused, opened(client):
            pass
        assert refused.value.status_code == 401
        offered = ["mooer-captions", "openai-insecure-api-key.secret"]
        with opened(client, subprotocols=offered) as socket:
            assert socket.accepted_subprotocol == "mooer-captions"


def test_a_page_of_another_site_may_not_listen():
    with serving() as (client, _, _):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            opened(client, headers={"origin": "https://evil.example"}),
        ):
            pass
        assert refused.value.status_code == 403
        with opened(client, headers={"origin": "http://localhost"}) as socket:
            said(socket, {"type": "start"})
            assert json.loads(socket.receive_text())["type"] == "ready"


def test_start_without_options_is_the_default():
    assert read_start({"type": "start"}) == Wanted()
    assert read_start({"type": "start", "model": None, "step_s": 1}).step_s == 1.0
    with pytest.raises(ApiError, match="a string"):
        read_start({"type": "start", "model": 3})
