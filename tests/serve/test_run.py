"""The server as a process: it ends when told, but not in the midst of an answer."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from tests.serve.stand import until, wav

from mooer.errors import ConfigError
from mooer.serve.run import configure, serve
from mooer.serve.settings import Settings, TlsOptions

SERVED = Path(__file__).with_name("served.py")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(port, workers=1):
    root = Path(__file__).parents[2]
    paths = [str(root / "src"), str(root), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [sys.executable, str(SERVED), str(port), str(workers)],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )

    def answers():
        assert process.poll() is None, process.stderr.read()
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, 30)
    return process


def post(port):
    url = f"http://127.0.0.1:{port}/v1/audio/transcriptions"
    return httpx.post(url, files={"file": ("a.wav", wav())}, timeout=20)


def test_what_runs_is_answered_before_the_end():
    port = free_port()
    process = start(port)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(post(port)))
    thread.start()
    url = f"http://127.0.0.1:{port}/metrics"
    until(lambda: "mooer_running{} 1" in httpx.get(url).text)
    process.send_signal(signal.SIGTERM)
    thread.join(15)
    assert answers[0].json()["text"] == "four four four four"
    log = process.communicate(timeout=15)[1]
    assert "Traceback" not in log
    assert f"listening on http://127.0.0.1:{port}" in log


@pytest.mark.slow
def test_a_worker_that_dies_is_made_anew():
    port = free_port()
    process = start(port, workers=2)
    try:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        worker = int(text.partition('worker="')[2].partition('"')[0])
        os.kill(worker, signal.SIGKILL)
        until(lambda: _works(port), 20)
    finally:
        process.send_signal(signal.SIGTERM)
        log = process.communicate(timeout=30)[1]
    assert "Traceback" not in log


def _works(port):
    try:
        return post(port).status_code == 200
    except httpx.TransportError:
        return False


def test_a_port_in_use_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="--port"):
            serve(Settings(port=taken.getsockname()[1], warm=False, models=("fake",)))


def test_a_certificate_that_is_not_there(tmp_path):
    tls = TlsOptions(tmp_path / "a.pem", tmp_path / "b.pem")
    with pytest.raises(ConfigError, match=r"a\.pem"):
        configure(Settings(tls=tls))
