"""https and wss, by the server itself and with several workers."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys

import httpx
import pytest
import websockets
from tests.conftest import ROOT
from tests.serve.certificates import make_certificate, needs_openssl
from tests.serve.stand import running, until, wav
from tests.serve.test_run import free_port

from mooer.errors import ConfigError
from mooer.serve.run import configure
from mooer.serve.settings import Settings, TlsOptions

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("tls"))


def url_of(live):
    return live.url.replace("http:", "https:")


def test_a_recording_over_https(made):
    certificate, key, trust = made
    with running(tls=TlsOptions(certificate, key)) as live:
        url = f"{url_of(live)}/v1/audio/transcriptions"
        answer = httpx.post(url, files={"file": ("a.wav", wav())}, verify=trust)
        assert answer.json()["text"] == "four four four four"
        with pytest.raises(httpx.ConnectError, match=r"certificate"):
            httpx.get(f"{url_of(live)}/health")  # who does not know the certificate
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{live.url}/health")  # no word in clear


def test_live_captions_over_wss(made):
    certificate, key, trust = made

    async def hear(url):
        async with websockets.connect(url, ssl=trust) as socket:
            await socket.send(json.dumps({"type": "start", "language": "en"}))
            await socket.send(bytes(3200))
            await socket.send(json.dumps({"type": "end"}))
            return [json.loads(text)["type"] async for text in socket]

    with running(tls=TlsOptions(certificate, key)) as live:
        url = url_of(live).replace("https:", "wss:")
        assert asyncio.run(hear(f"{url}/v1/captions")) == ["ready", "done"]


def test_old_versions_of_tls_are_refused(made):
    certificate, key, _ = made
    config = configure(Settings(tls=TlsOptions(certificate, key)))
    config.load()
    assert config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_key_of_another_certificate_is_said_in_a_sentence(made, tmp_path):
    certificate, _, _ = made
    _, other, _ = make_certificate(tmp_path)
    for key in (other, certificate):
        with pytest.raises(ConfigError, match=r"cert\.pem"):
            configure(Settings(tls=TlsOptions(certificate, key)))


@pytest.mark.slow
def test_several_workers(made):
    certificate, key, trust = made
    port = free_port()
    options = f"serve --port {port} --workers 2 --speaker none --set warm=false".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "mooer.cli.main", *options, "--tls", certificate, key],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"https://localhost:{port}/health"

    def answers():
        try:
            return httpx.get(url, verify=trust).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 30)
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[1]
    assert "Traceback" not in log
