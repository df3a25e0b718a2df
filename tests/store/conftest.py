"""A network of one machine: a web server that can misbehave, and a catalog that points at it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import os
import random
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mooer.store import entries, web
from mooer.store.settings import VARIABLES

WEIGHTS = random.Random(7).randbytes(600_000)
CONFIG = b'{"layers": 6}'
MODEL = "tiny-model"


@dataclass
class Page:
    """What the server says at one address."""

    body: bytes
    kind: str = "application/octet-stream"
    drop_after: list[int] = field(default_factory=list)  # bytes sent before hanging up, per try
    ranges: bool = True
    statuses: list[int] = field(default_factory=list)  # error answers given first
    location: str | None = None
    delay_s: float = 0.0
    says_length: bool = True


class FakeServer:
    """Serves `pages` on the loopback and remembers every request."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.requests.append((self.path, dict(self.headers)))
                fake.answer(self)

            def log_message(self, *args: object) -> None:
                pass

        self._httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._httpd.shutdown()
        self._thread.join()
        self._httpd.server_close()

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> None:
        # A proxy is asked for whole addresses; behind this one there is only this server.
        page = self.pages.get(re.sub(r"^http://[^/]+", "", request.path))
        if page is None or page.statuses:
            request.send_error(page.statuses.pop(0) if page else 404)
            return
        if page.location:
            request.send_response(302)
            request.send_header("Location", page.location)
            request.end_headers()
            return
        time.sleep(page.delay_s)
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and page.ranges else 0
        if start and start >= len(page.body):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        if start:
            size = len(page.body)
            request.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        if page.says_length:
            request.send_header("Content-Length", str(len(page.body) - start))
        request.send_header("Content-Type", page.kind)
        request.end_headers()
        end = start + page.drop_after.pop(0) if page.drop_after else len(page.body)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it heard enough
            request.wfile.write(page.body[start:end])


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty MOOER_HOME, an environment that says nothing else, and no memory of hosts."""
    for name in list(os.environ):
        if name in VARIABLES or name.startswith("PIP_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(web, "PAUSE_S", 0.0)
    web.forget_hosts()
    return tmp_path / "home"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def simple_page(links: Mapping[str, tuple[str, bytes]]) -> Page:
    """A PEP 691 page: file name -> (address, contents)."""
    files = [
        {"filename": name, "url": url, "hashes": {"sha256": sha256(data)}}
        for name, (url, data) in links.items()
    ]
    return Page(json.dumps({"files": files}).encode(), kind="application/vnd.pypi.simple.v1+json")


@pytest.fixture
def use_catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write a catalog with one model; keywords change its files or its entry."""

    def use(
        weights: Mapping[str, object] | None = None,
        config: Mapping[str, object] | None = None,
        **entry: object,
    ) -> Path:
        body = {
            "description": "a small model",
            "tasks": ["asr"],
            "licence": "MIT",
            "homepage": "https://example.org",
            "hf": "org/tiny",
            "modelscope": "org/tiny",
            "files": {
                "config.json": {
                    "size_bytes": len(CONFIG),
                    "sha256": sha256(CONFIG),
                    **(config or {}),
                },
                "weights.bin": {
                    "size_bytes": len(WEIGHTS),
                    "sha256": sha256(WEIGHTS),
                    **(weights or {}),
                },
            },
            **entry,
        }
        path = tmp_path / f"catalog-{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump({MODEL: body}))
        monkeypatch.setattr(entries, "CATALOG_PATH", path)
        return path

    return use


@pytest.fixture
def hub(
    server: FakeServer,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    use_catalog: Callable[..., Path],
) -> FakeServer:
    """A hub that has both files of the model, the only source that is asked."""
    use_catalog()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("MOOER_SOURCES", "hf")
    server.pages[HUB + "config.json"] = Page(CONFIG)
    server.pages[HUB + "weights.bin"] = Page(WEIGHTS)
    return server


HUB = "/org/tiny/resolve/main/"


@pytest.fixture
def fakes() -> SimpleNamespace:
    """The names above: test modules cannot import from here."""
    return SimpleNamespace(
        MODEL=MODEL,
        WEIGHTS=WEIGHTS,
        CONFIG=CONFIG,
        HUB=HUB,
        Page=Page,
        make_wheel=make_wheel,
        simple_page=simple_page,
        sha256=sha256,
    )
