"""deploy/nginx.conf before two replicas, with the real nginx."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import websockets
from tests.conftest import ROOT
from tests.serve.certificates import make_certificate, needs_openssl
from tests.serve.stand import Models, running, until, wav
from tests.serve.test_run import free_port, start

from mooer.serve.settings import LimitOptions

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIGURATION = ROOT / "deploy" / "nginx.conf"
pytestmark = [
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
    needs_openssl,
]


def configuration(folder, ports, replicas):
    """The file with other addresses in the places of those that it names."""
    text = CONFIGURATION.read_text("utf-8")
    real = {
        "listen 80;": f"listen 127.0.0.1:{ports[0]};",
        "listen 443 ssl;": f"listen 127.0.0.1:{ports[1]} ssl;",
        "/etc/nginx/tls": str(folder),
        "mooer-1:8000": replicas[0],
        "mooer-2:8000": replicas[1],
    }
    for example, other in real.items():
        assert text.count(example) in (1, 2), example
        text = text.replace(example, other)
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"pid {folder}/pid; error_log {folder}/error.log; daemon off;\n"
    return f"{head}events {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"


@contextmanager
def behind(folder, replicas):
    """A client of an nginx in front of replicas, and the port of plain http."""
    ports = free_port(), free_port()
    _, _, trust = make_certificate(folder)
    file = folder / "nginx.conf"
    file.write_text(configuration(folder, ports, replicas))
    told = subprocess.run([NGINX, "-t", "-c", file, "-p", folder], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "[warn]" not in told.stderr.replace('[warn] the "user"', "")
    process = subprocess.Popen([NGINX, "-c", file, "-p", folder])
    try:
        with httpx.Client(
            base_url=f"https://localhost:{ports[1]}", verify=trust, timeout=20
        ) as client:

            def answers():
                assert process.poll() is None
                try:
                    return client.get("/health").status_code < 600
                except httpx.TransportError:
                    return False

            until(answers, 10)
            yield client, trust, ports[0]
    finally:
        process.terminate()
        process.wait(10)


def address(live):
    return live.url.removeprefix("http://")


@pytest.fixture
def two(tmp_path):
    with ExitStack() as stack:
        models = [Models(), Models()]
        models[0].broken = "kokoro-82m"  # one of them cannot speak
        replicas = [stack.enter_context(running(one, public=True, api_key="k")) for one in models]
        client, trust, plain = stack.enter_context(behind(tmp_path, [*map(address, replicas)]))
        client.headers["authorization"] = "Bearer k"
        yield client, replicas, trust, plain


def heard(replicas):
    return [len(one.models.whisper.batches) for one in replicas]


def stream(client, **headers):
    return client.post(
        "/v1/audio/transcriptions",
        headers=headers,
        files={"file": ("a.wav", wav())},
        data={"stream": "true"},
    )


def test_recordings_are_shared_out_and_streamed(two):
    client, replicas, _, _ = two
    for _ in range(6):
        assert "transcript.text.done" in stream(client).text
    assert sum(heard(replicas)) == 6
    assert all(heard(replicas))


def test_the_page_is_let_in_and_others_are_not(two):
    client, _, _, _ = two
    own = str(client.base_url).rstrip("/")  # with its port
    assert stream(client, origin=own).status_code == 200
    assert stream(client, origin="https://evil.example").status_code == 403


def test_clear_text_is_sent_to_https(two):
    _, _, _, plain = two
    answer = httpx.get(f"http://127.0.0.1:{plain}/docs?a=b")
    assert answer.status_code == 301
    assert answer.headers["location"] == "https://127.0.0.1/docs?a=b"


def test_live_captions(two):
    client, _, trust, _ = two

    async def hear():
        url = str(client.base_url.join("/v1/captions")).replace("https:", "wss:")
        key = {"authorization": "Bearer k"}
        async with websockets.connect(url, ssl=trust, additional_headers=key) as socket:
            await socket.send(json.dumps({"type": "start", "language": "en"}))
            await socket.send(bytes(3200))
            await socket.send(json.dumps({"type": "end"}))
            return [json.loads(text)["type"] async for text in socket]

    assert asyncio.run(hear()) == ["ready", "done"]


def test_what_one_replica_cannot_do_does_not_close_it_for_others(two):
    client, replicas, _, _ = two
    asked = {"model": "kokoro-82m", "voice": "alloy", "input": "Hello."}
    answers = [client.post("/v1/audio/speech", json=asked) for _ in range(8)]
    assert {one.status_code for one in answers} == {200, 503}, answers[0].text
    for _ in range(6):
        assert stream(client).status_code == 200
    assert all(heard(replicas))


def test_a_body_that_is_too_large_is_refused_by_the_server_in_its_own_words(tmp_path):
    with running() as live, behind(tmp_path, [address(live)] * 2) as (client, trust, _):
        # A header that claims it, and the body's beginning: more is not waited for.
        head = (
            "POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\n"
            f"Content-Length: {LimitOptions().max_upload_bytes + 1}\r\n\r\n--b\r\n"
        )
        place = ("localhost", client.base_url.port)
        with trust.wrap_socket(socket.create_connection(place), server_hostname="localhost") as one:
            one.sendall(head.encode())
            text = b"".join(iter(lambda: one.recv(4096), b"")).decode()
        assert text.startswith("HTTP/1.1 413 ")
        assert '"code":"too_large"' in text


def test_a_replica_that_is_gone_is_passed_over(tmp_path):
    with running(public=True, api_key="k") as one:
        dead = f"127.0.0.1:{free_port()}"
        with behind(tmp_path, [dead, address(one)]) as (client, _, _):
            client.headers["authorization"] = "Bearer k"
            assert [stream(client).status_code for _ in range(8)] == [200] * 8


@pytest.mark.slow
def test_what_a_replica_was_at_when_it_died_is_lost_and_the_rest_goes_on(tmp_path):
    port = free_port()
    process = start(port)  # each batch of its model takes a second
    try:
        with (
            running() as one,
            behind(tmp_path, [f"127.0.0.1:{port}", address(one)]) as (client, *_),
        ):
            with ThreadPoolExecutor(8) as threads:
                asked = [threads.submit(stream, client) for _ in range(8)]
                until(lambda: any(call.done() for call in asked))  # by the quick one
                time.sleep(0.3)
                process.kill()
                codes = [call.result().status_code for call in asked]
            assert set(codes) == {200, 502}
            assert [stream(client).status_code for _ in range(6)] == [200] * 6
    finally:
        process.kill()
        process.communicate()


def test_callers_without_keys_are_told_apart_by_their_own_address(tmp_path, caplog):
    caplog.set_level("INFO", "mooer")
    options = {"hosts": ("localhost",), "proxies": ("127.0.0.1",)}
    with running(**options) as one, behind(tmp_path, [address(one)] * 2) as (client, _, _):
        answer = stream(client, **{"x-forwarded-for": "192.0.2.7"})
        assert answer.status_code == 200
        until(lambda: "address 192.0.2.7" in caplog.text)
        evil = client.get("/v1/models", headers={"host": "evil.example"})
        assert evil.status_code == 403
