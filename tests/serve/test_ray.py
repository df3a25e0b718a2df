"""deploy/ray_serve.py on a Ray of its own: two replicas over fakes, in processes of their own."""

import asyncio
import contextlib
import importlib.util
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import httpx
import psutil
import pytest
import websockets
from tests.conftest import ROOT
from tests.serve.stand import until, wav
from tests.serve.test_run import free_port

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.slow,
]
logger = logging.getLogger(__name__)
KEY = {"authorization": "Bearer k"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A client of Ray's proxy, and how to ask what it runs; all of it ends with the tests."""
    port = free_port()
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "RAY_USAGE_STATS_ENABLED": "0"}
    with (
        subprocess.Popen(
            [sys.executable, ROOT / "tests" / "serve" / "served_by_ray.py", str(port)],
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY, timeout=30) as client,
    ):
        for line in process.stdout:  # Ray writes there too
            if line == "ready\n":
                break
        assert process.poll() is None
        yield client, lambda: replicas_of(process.pid)
        process.communicate(timeout=60)  # the end of its input


def replicas_of(pid):
    """Processes of the replicas, by the title that Ray gives them."""
    found = []
    for one in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ServeReplica:default:mooer" in " ".join(one.cmdline()):
                found.append(one.pid)
    return found


def transcribe(client, **fields):
    return client.post("/v1/audio/transcriptions", files={"file": ("a.wav", wav())}, data=fields)


def test_recordings_whole_and_streamed(cluster):
    client, _ = cluster
    assert transcribe(client).json()["text"] == "four four four four"
    with client.stream(
        "POST",
        "/v1/audio/transcriptions",
        files={"file": ("a.wav", wav())},
        data={"stream": "true"},
    ) as answer:
        events = [line for line in answer.iter_lines() if line.startswith("data: {")]
    assert "transcript.text.delta" in events[0]
    assert "transcript.text.done" in events[-1]


def test_errors_are_the_server_s_own(cluster):
    client, _ = cluster
    assert client.get("/v1/models", headers={"authorization": "Bearer no"}).status_code == 401
    assert transcribe(client, model="no-such").json()["error"]["code"] == "model_not_found"
    assert client.get("/ready").json() == {"status": "ready"}


def test_live_captions(cluster):
    client, _ = cluster

    async def hear():
        url = str(client.base_url.join("/v1/captions")).replace("http:", "ws:")
        async with websockets.connect(url, additional_headers=KEY) as socket:
            await socket.send(json.dumps({"type": "start", "language": "en"}))
            await socket.send(bytes(3200))
            await socket.send(json.dumps({"type": "end"}))
            return [json.loads(text)["type"] async for text in socket]

    assert asyncio.run(hear()) == ["ready", "done"]


def test_a_socket_without_a_key_is_refused(cluster):
    client, _ = cluster

    async def hear():
        url = str(client.base_url.join("/v1/captions")).replace("http:", "ws:")
        async with websockets.connect(url):
            pass

    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(hear())
    assert refused.value.response.status_code == 401


def test_a_replica_that_is_killed_under_load_is_made_anew(cluster):
    client, replicas = cluster
    before = replicas()
    assert len(before) == 2
    answers, ends_at = [], time.monotonic() + 12

    def ask():
        while time.monotonic() < ends_at and len(answers) < 400:
            try:
                answers.append((time.monotonic(), transcribe(client)))
            except httpx.TransportError as error:
                answers.append((time.monotonic(), error))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for one in threads:
        one.start()
    time.sleep(1)
    os.kill(before[0], signal.SIGKILL)
    killed_at = time.monotonic()
    for one in threads:
        one.join(60)
    good = [at for at, answer in answers if getattr(answer, "status_code", 0) == 200]
    lost = [answer for _, answer in answers if getattr(answer, "status_code", 0) != 200]
    assert len(lost) <= 8, lost  # what the dead one was at, and what was on its way to it
    assert len([at for at in good if at > killed_at + 1]) > 10
    assert all(
        one.json()["text"] == "four four four four"
        for _, one in answers
        if getattr(one, "status_code", 0) == 200
    )
    lost_by = [getattr(one, "status_code", one) for one in lost]
    logger.info("%d answered, %d lost: %s", len(good), len(lost), lost_by)
    until(lambda: len(set(replicas()) - {before[0]}) == 2, 60)
