"""How many converse, how long, and what is told when the server ends."""

import json

import pytest
from starlette.testclient import TestClient
from tests.serve.conversations import ScriptedAgent
from tests.serve.live import kinds, opened, rest, said
from tests.serve.stand import Models, settings

from mooer.serve.app import make_app
from mooer.serve.settings import LimitOptions

PATH = "/v1/realtime?model=agent"


@pytest.fixture
def client():
    yield from serving()


def serving(**limits):
    models = Models()
    models.agent = ScriptedAgent()
    app = make_app(settings(warm=False, limits=LimitOptions(**limits)), models)
    with TestClient(app, base_url="http://localhost") as found:
        found.agent, found.state = models.agent, app.state
        yield found


def begun(socket):
    """An agent is there, and has answered."""
    said(socket, {"type": "response.create"})
    found = [json.loads(socket.receive_text())]
    while found[-1]["type"] not in ("response.done", "error"):
        found.append(json.loads(socket.receive_text()))
    return found


def test_one_more_than_there_may_be_is_refused():
    for client in serving(max_talks=1):
        with opened(client, PATH) as first, opened(client, PATH) as second:
            assert begun(first)[-1]["type"] == "response.done"
            said(second, {"type": "response.create"})
            messages, code = rest(second)
            assert (messages[-1]["error"]["code"], code) == ("rate_limit_exceeded", 4429)
        with opened(client, PATH) as third:
            assert begun(third)[-1]["type"] == "response.done"


@pytest.mark.parametrize(
    ("limits", "told"),
    [({"max_talk_s": 1.0}, ("session_expired", 4413)), ({"max_silent_s": 1.0}, ("idle", 4408))],
)
def test_it_does_not_last_for_ever(limits, told):
    for client in serving(**limits):
        with opened(client, PATH) as socket:
            begun(socket)
            messages, code = rest(socket)
        assert (messages[-1]["error"]["code"], code) == told
        assert client.agent.sessions[0].is_closed


def test_a_server_that_ends_lets_the_answer_come_to_its_end(client):
    client.agent.wanted = {"is_slow": True}
    with opened(client, PATH) as socket:
        said(socket, {"type": "response.create"})
        found = [json.loads(socket.receive_text())]
        while found[-1]["type"] != "response.output_audio.delta":
            found.append(json.loads(socket.receive_text()))
        client.state.limits.is_draining = True
        said(socket, {"type": "response.cancel"})
        messages, code = rest(socket)
    client.state.limits.is_draining = False
    assert "response.done" in kinds(messages)
    assert (messages[-1]["error"]["code"], code) == ("draining", 4503)


def test_settings_take_no_place_and_no_models(client):
    with opened(client, PATH) as socket:
        json.loads(socket.receive_text())
        said(socket, {"type": "session.update", "session": {"instructions": "Hm."}})
        assert json.loads(socket.receive_text())["type"] == "session.updated"
        assert client.state.limits.num_talks == 0
    assert client.agent.sessions == []
