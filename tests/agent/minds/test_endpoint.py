"""The mind behind an address, against a server that does all that servers do."""

import logging
import socket

import pytest
from tests.agent.services import delta, endless, events, replying, service, waiting

from mooer.agent.exchange import Service
from mooer.agent.mind import Tool, ToolCall, Turn
from mooer.agent.minds import MINDS
from mooer.agent.minds.endpoint import Endpoint
from mooer.errors import AgentError, ConfigError

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
USER = [Turn("user", "What is the time?", language="en")]


def mind(running, *, first_s=5.0, pause_s=5.0, total_s=10.0, key=""):
    return Endpoint(Service(running.url + "/v1", key, first_s, pause_s, total_s), "small")


def answer(script, turns=USER, *, tools=(), max_tokens=200, **times):
    with service(script) as running:
        found = mind(running, **times).answer(
            turns, system="Be kind.", tools=tools, max_tokens=max_tokens
        )
        return list(found), running


def refused(script, **times):
    with pytest.raises(AgentError) as caught:
        answer(script, **times)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_an_answer_is_streamed_and_the_request_is_openais():
    found, running = answer(
        replying(
            events(delta(role="assistant"), delta("It is "), delta("ten."), delta(finish="stop"))
        )
    )
    assert "".join(found) == "It is ten."
    (asked,) = running.asked
    assert asked.line == "POST /v1/chat/completions HTTP/1.1"
    assert "authorization" not in asked.headers
    system, user = asked.body["messages"]
    assert system["content"].startswith("Be kind.\nYou are talking with the user by voice")
    assert user == {"role": "user", "content": "What is the time?"}
    assert asked.body["stream"] is True
    assert asked.body["max_tokens"] == 200
    assert "tools" not in asked.body


def test_the_key_goes_along_and_is_shown_nowhere():
    with service(replying(events(delta("Yes.", "stop")))) as running:
        endpoint = mind(running, key="sk-secret")
        assert list(endpoint.answer(USER, system="")) == ["Yes."]
    assert running.asked[0].headers["authorization"] == "bearer sk-secret"
    assert "secret" not in repr(Service("http://x", "sk-secret"))


def test_calls_come_in_pieces_and_results_go_back():
    tool = Tool("now", "The time.", {"type": "object", "properties": {}})
    pieces = [
        delta(tool_calls=[{"index": 0, "id": "a1", "function": {"name": "now", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"zone": '}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '"UTC"}'}}]),
        delta(tool_calls=[{"index": 1, "id": "a2", "function": {"name": "now"}}]),
        delta(finish="tool_calls"),
    ]
    found, running = answer(replying(events(*pieces)), tools=[tool])
    assert found == [ToolCall("a1", "now", '{"zone": "UTC"}'), ToolCall("a2", "now", "{}")]
    assert running.asked[0].body["tools"][0]["function"]["name"] == "now"
    turns = [
        *USER,
        Turn("assistant", "", calls=(found[0],)),
        Turn("tool", "ten", call="a1"),
    ]
    _, running = answer(replying(events(delta("Ten.", "stop"))), turns)
    _, _, called, told = running.asked[0].body["messages"]
    assert called["tool_calls"][0]["id"] == told["tool_call_id"] == "a1"
    assert told["content"] == "ten"


def test_nobody_listens_and_no_such_host():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(AgentError, match="nobody listens"):
        list(Endpoint.open("m", url=f"http://127.0.0.1:{port}").answer(USER, system=""))


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, '{"error": {"message": "bad key"}}', r"401 \(bad key\): it does not know the key"),
        (404, '{"error": "no model"}', r"404 \(no model\): it has no such path or model"),
        (429, "", "429: it has too many requests"),
        (500, "<html>oops</html>", "500 .*try again later"),
        (302, "", "302: it refuses"),
    ],
)
def test_a_refusal_is_one_sentence(status, body, words):
    import re

    assert re.search(words, refused(replying(body, status=status)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<html>Welcome</html>", "no stream of chat completions"),
        ("data: {broken\n\n", "no stream of chat completions"),
        ("data: 7\n\n", "no stream of chat completions"),
        ('data: {"error": {"message": "overloaded"}}\n\n', "cannot go on: overloaded"),
        ("", "broke off"),
        (events(delta("It is"), done=False), "broke off"),
        (b"data: \xff\xfe\n\n", "no stream of chat completions"),
        ("data: " + "[" * 50_000 + "\n\n", "no stream of chat completions"),
    ],
)
def test_nonsense_is_one_sentence(content, words):
    assert words in refused(replying(content))


def test_what_came_before_it_broke_off_was_given_out():
    with service(replying(events(delta("It is "), delta("ten o'clock "), done=False))) as running:
        said = []
        with pytest.raises(AgentError, match="broke off"):
            said.extend(mind(running).answer(USER, system=""))
    assert "".join(said) == "It is ten o'clock "


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200", HEAD, HEAD + b"data: {"])
def test_a_server_that_hangs_is_left(before):
    text = refused(waiting(before), first_s=0.2, pause_s=0.2, total_s=0.5)
    assert "does not answer in time" in text or "broke off" in text


def test_a_server_that_keeps_the_line_alive_is_left(monkeypatch):
    monkeypatch.setattr("mooer.agent.minds.endpoint._SILENT_S", 0.0)
    assert "without saying anything" in refused(endless(b": ping\n"))


def test_a_line_without_end_is_cut():
    assert "without an end" in refused(endless(b"data: " + b"x" * 65536))


def test_an_endless_answer_ends_and_the_server_sees_it(caplog):
    pieces = (events(delta(f"{i} is a number. "), done=False) for i in range(10**6))

    def script(client, asked):
        client.sendall(HEAD)
        for piece in pieces:
            client.sendall(piece.encode())

    with caplog.at_level(logging.WARNING), service(script) as running:
        said = "".join(mind(running).answer(USER, system="", max_tokens=20))
        assert running.gone.wait(5)
    assert 240 <= len(said) < 300
    assert "longer than" in caplog.text


def test_closing_an_answer_closes_the_connection():
    chunk = events(delta("word "), done=False).encode()
    with service(endless(chunk)) as running:
        pieces = mind(running).answer(USER, system="")
        assert next(pieces)
        pieces.close()
        assert running.gone.wait(5)


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "http://a b/"])
def test_an_address_that_is_none(url):
    with pytest.raises(ConfigError, match="no address"):
        Endpoint.open("m", url=url)


def test_a_key_with_a_line_break_and_a_model_without_a_name():
    with pytest.raises(ConfigError, match="copy it again"):
        Endpoint.open("m", url="http://localhost", key="a\nb")
    with pytest.raises(ConfigError, match="name of a model"):
        Endpoint.open(" ", url="http://localhost")


def test_minds_are_known_by_name():
    assert set(MINDS) >= {"embedded", "mini", "openai"}
    assert MINDS.load("openai") is Endpoint
    with pytest.raises(ConfigError, match="did you mean openai"):
        MINDS.load("openia")
