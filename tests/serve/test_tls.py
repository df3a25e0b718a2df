"""https and wss, by the server itself and with several workers."""

import asyncio
import json
import os
import shutil
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
from mooer.serve.certificate import Renewal
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


def renew(certificate, key, folder):
    """Put a new certificate in the place of one, its key a moment later; who believes it."""
    folder.mkdir()
    *fresh, trust = make_certificate(folder)
    for path, one in zip((certificate, key), fresh, strict=True):
        one.replace(path)
    return trust


def test_a_renewed_certificate_is_shown_to_those_who_come_after_it(tmp_path):
    certificate, key, trust = make_certificate(tmp_path)
    with running(tls=TlsOptions(certificate, key)) as live:
        url = f"{url_of(live)}/health"
        with httpx.Client(verify=trust) as who_stays:
            assert who_stays.get(url).status_code == 200
            new = renew(certificate, key, tmp_path / "new")
            until(lambda: believes(url, new))
            assert not believes(url, trust)
            assert who_stays.get(url).status_code == 200  # on the connection that it has


def test_a_pair_that_does_not_belong_together_leaves_the_old_one_in_use(made, tmp_path, caplog):
    certificate, key, _ = made
    here = [tmp_path / path.name for path in (certificate, key)]
    for path, copy in zip((certificate, key), here, strict=True):
        shutil.copy(path, copy)
    renewal = Renewal(TlsOptions(*here))
    context = RememberingContext()
    renewal.look(context)
    other = tmp_path / "other"
    other.mkdir()
    *fresh, _ = make_certificate(other)
    fresh[0].replace(here[0])
    for _ in range(3):
        renewal.look(context)
    here[1].unlink()
    renewal.look(context)
    told = [one.getMessage() for one in caplog.records]
    assert len(told) == 2  # once of each state
    assert all(one.startswith("the certificate is not changed: ") for one in told)
    assert context.loaded == []
    fresh[1].replace(here[1])
    for _ in range(3):
        renewal.look(context)
    assert context.loaded == [tuple(here)]


class RememberingContext:
    """Of `ssl.SSLContext` what it was given."""

    def __init__(self):
        self.loaded = []

    def load_cert_chain(self, certificate, key, password):
        self.loaded.append((certificate, key))


def believes(url, trust):
    try:
        return httpx.get(url, verify=trust).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_several_workers(tmp_path):
    certificate, key, trust = make_certificate(tmp_path)
    port = free_port()
    options = f"serve --port {port} --workers 2 --speaker none --set warm=false".split()
    process = subprocess.Popen(
        [sys.executable, "-m", "mooer.cli.main", *options, "--tls", certificate, key],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"https://localhost:{port}/health"
    try:
        until(lambda: believes(url, trust), 30)
        new = renew(certificate, key, tmp_path / "new")
        until(lambda: all(believes(url, new) for _ in range(12)), 10)  # whichever worker answers
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[1]
    assert "Traceback" not in log
