"""The nginx configuration of docs/serving.md before two replicas, with the real nginx."""

import re
import shutil
import socket
import subprocess
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.serve.stand import running, until, wav

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def configuration(folder, port, replicas):
    text = re.search(r"```nginx\n(.*?)```", DOCUMENT.read_text("utf-8"), re.S)[1]
    text = text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    for example, real in zip(("127.0.0.1:8001", "127.0.0.1:8002"), replicas, strict=True):
        text = text.replace(example, real)
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    head = f"pid {folder}/pid; error_log {folder}/error.log; daemon off;\n"
    return f"{head}events {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"


def test_two_replicas_behind_nginx(tmp_path):
    port = free_port()
    options = {"hosts": ("speech.example",), "proxies": ("127.0.0.1",)}
    with ExitStack() as stack:
        replicas = [stack.enter_context(running(**options)) for _ in range(2)]
        addresses = [one.url.removeprefix("http://") for one in replicas]
        file = tmp_path / "nginx.conf"
        file.write_text(configuration(tmp_path, port, addresses))
        process = subprocess.Popen([NGINX, "-c", str(file), "-p", str(tmp_path)])
        stack.callback(process.wait, 10)
        stack.callback(process.terminate)
        url, headers = f"http://127.0.0.1:{port}", {"host": "speech.example"}

        def answers():
            try:
                return httpx.get(f"{url}/health", headers=headers).status_code == 200
            except httpx.TransportError:
                return False

        until(answers, 10)
        for _ in range(6):
            answer = httpx.post(
                f"{url}/v1/audio/transcriptions",
                headers=headers,
                files={"file": ("a.wav", wav())},
                data={"stream": "true"},
            )
            assert "transcript.text.done" in answer.text
        heard = [len(one.models.whisper.batches) for one in replicas]
        assert sum(heard) == 6
        assert all(heard)
        evil = httpx.get(f"{url}/v1/models", headers={"host": "evil.example"})
        assert evil.status_code == 403
