"""Web search against a service that is up, down, slow, or talks nonsense."""

import json
import re

import pytest
from tests.agent.services import endless, replying, service, waiting

from mooer.agent.events import Source
from mooer.agent.knowledge.web import SearXNG, Serper
from mooer.errors import AgentError, ConfigError

GOOGLE = {
    "answerBox": {"link": "http://a", "title": "Height", "answer": "8,849 m"},
    "organic": [
        {"link": "http://b", "title": "Everest", "snippet": "The <b>highest</b>  mountain &amp; …"},
        {"title": "only a title"},
        "nonsense",
        {},
    ],
}
OWN = {"results": [{"url": "http://c", "title": "T", "content": "C" * 900}, {"url": "http://d"}]}


def serper(running, **options):
    return Serper("k3y", url=running.url, **options)


def searxng(running, **options):
    return SearXNG(running.url, **options)


CLIENTS = pytest.mark.parametrize("client", [serper, searxng])


def test_serper_is_asked_with_its_key():
    with service(replying(json.dumps(GOOGLE))) as running:
        found = serper(running).search("how high  is\nEverest?", 3)
    assert found == [
        Source("http://a", "Height: 8,849 m"),
        Source("http://b", "Everest: The highest mountain & …"),
        Source("web", "only a title"),
    ]
    (asked,) = running.asked
    assert asked.line == "POST /search HTTP/1.1"
    assert asked.headers["x-api-key"] == "k3y"
    assert asked.body == {"q": "how high is Everest?", "num": 3}


def test_chinese_is_looked_for_in_china():
    with service(replying(json.dumps(GOOGLE))) as running:
        assert len(serper(running).search("珠穆朗玛峰有多高", 1)) == 1
    assert running.asked[0].body["gl"] == "cn"


def test_searxng_is_asked_for_json():
    with service(replying(json.dumps(OWN))) as running:
        (found,) = searxng(running).search("茶 & 咖啡", 5)
    assert found.name == "http://c"
    assert len(found.text) == 600
    assert re.match(
        r"GET /search\?q=%E8%8C%B6\+%26.*&format=json&language=zh-CN ", running.asked[0].line
    )


@CLIENTS
def test_nothing_is_asked_for_nothing(client):
    with service(replying("{}")) as running:
        assert client(running).search("  ", 3) == client(running).search("x", 0) == []
        assert client(running).search("x", 3) == []
    assert len(running.asked) == 1


@CLIENTS
@pytest.mark.parametrize(
    ("script", "words"),
    [
        (replying("no", status=500), "try again later"),
        (replying('{"message": "Unauthorized."}', status=401), "does not know the key"),
        (replying("slow down", status=429), "too many requests"),
        (replying("<html>Hi</html>"), "no JSON"),
        (replying("[1, 2]"), "no search results"),
        (replying(b"\xff\xfe"), "no JSON"),
        (replying("[" * 100_000), "no JSON"),
        (waiting(), "in time"),
        (waiting(b"HTTP/1.1 200 OK\r\n\r\n{"), "in time|broke off"),
        (endless(b"x" * 65536), "without an end"),
    ],
)
def test_what_fails_is_one_sentence(client, script, words):
    with service(script) as running, pytest.raises(AgentError, match=words) as caught:
        client(running, timeout_s=0.4 if words.startswith("in time") else 5.0).search("x", 3)
    assert "\n" not in str(caught.value)
    assert "k3y" not in str(caught.value)


@CLIENTS
@pytest.mark.parametrize("rows", [None, 5, "x", {"a": 1}, [None, 1, {"title": 3, "url": []}]])
def test_results_of_another_shape_are_left_out(client, rows):
    content = json.dumps({"organic": rows, "results": rows, "answerBox": rows})
    with service(replying(content)) as running:
        assert client(running).search("x", 3) == []


def test_a_searxng_that_gives_no_json_says_what_to_set():
    with (
        service(replying("", status=403)) as running,
        pytest.raises(AgentError, match=r"search\.formats"),
    ):
        searxng(running).search("x", 3)


def test_a_service_that_is_down():
    with service(replying("")) as running:
        client = searxng(running)
    with pytest.raises(AgentError, match="nobody listens"):
        client.search("x", 3)


def test_serper_needs_a_key():
    with pytest.raises(ConfigError, match="needs a key"):
        Serper("")
    with pytest.raises(ConfigError, match="no address"):
        SearXNG("search.local")
