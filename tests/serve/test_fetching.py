"""Addresses that callers give: refused, unless allowed and public."""

import asyncio
import contextlib
import http.server
import os
import threading
import time
from dataclasses import replace

import pytest

from mooer.serve import fetching
from mooer.serve.errors import ApiError
from mooer.serve.fetching import decode_data, fetch_url, is_public, public_addresses
from mooer.serve.settings import LimitOptions, Settings

ALLOWED = Settings(fetch_urls=True, limits=LimitOptions(max_upload_bytes=10_000))


PRIVATE = """
127.0.0.1 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0 100.64.0.1 224.0.0.1
255.255.255.255 198.18.0.1 ::1 :: fe80::1 fd00::1 ff02::1 ::ffff:10.0.0.1 64:ff9b::7f00:1
2002:7f00:1:: fec0::1 ::7f00:1 64:ff9b:1::7f00:1 fe80::1%eth0 nonsense
"""


@pytest.mark.parametrize("address", PRIVATE.split())
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


def test_addresses_that_are():
    assert is_public("8.8.8.8")
    assert is_public("2606:4700:4700::1111")


def test_a_name_with_one_private_address_is_refused():
    with pytest.raises(ApiError) as caught:
        public_addresses("mixed.example", 80, lambda host, port: ["8.8.8.8", "10.0.0.1"])
    assert caught.value.status == 403
    with pytest.raises(ApiError, match="not known"):
        public_addresses("no.example", 80, lambda host, port: [])


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://127.0.0.1/a.wav", 403),
        ("http://localhost/a.wav", 403),
        ("http://[::1]/", 403),
        ("http://2130706433/", 403),
        ("http://0x7f.1/", 403),
        ("https://127.0.0.1:8443/", 403),
        ("file:///etc/passwd", 400),
        ("gopher://example.org/", 400),
        ("http://user:pw@example.org/", 400),
        ("//example.org/", 400),
        ("http://example.org:99999/", 400),
        ("http://127.0.0.1/a b", 403),
        ("http://" + "a" * 5000, 400),
    ],
)
def test_addresses_that_are_not_fetched(url, status):
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch_url(url, ALLOWED))
    assert caught.value.status == status


def test_nothing_is_fetched_unless_allowed():
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch_url("https://example.org/a.wav", Settings()))
    assert (caught.value.status, caught.value.code) == (403, "urls_not_allowed")


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/private":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest")
            self.end_headers()
            return
        if self.path == "/drip":
            with contextlib.suppress(OSError):
                for _ in range(100):
                    self.wfile.write(b"H")
                    time.sleep(0.05)
            return
        self.send_response(404 if self.path == "/gone" else 200)
        self.end_headers()
        self.wfile.write(b"x" * (50_000 if self.path == "/large" else 100))

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch):
    """A site on this machine that passes for a public one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = server.server_address[1]
    monkeypatch.setattr(fetching, "_PORTS", (80, port))
    resolve = {"site.example": ["127.0.0.1"]}
    monkeypatch.setattr(fetching, "_resolve", lambda host, port: resolve.get(host, [host]))
    monkeypatch.setattr(
        fetching, "is_public", lambda a, before=is_public: a == "127.0.0.1" or before(a)
    )
    yield f"http://site.example:{port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_public_file_is_fetched(site):
    with asyncio.run(fetch_url(f"{site}/a.wav", ALLOWED)) as file:
        assert file.read() == b"x" * 100


@pytest.mark.parametrize(("path", "status"), [("private", 403), ("gone", 400), ("large", 413)])
def test_what_it_leads_to_is_looked_at_too(site, path, status):
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch_url(f"{site}/{path}", ALLOWED))
    assert caught.value.status == status


def test_a_site_that_sends_letter_by_letter(site, monkeypatch):
    monkeypatch.setattr(fetching, "_TOTAL_S", 0.3)
    began = time.monotonic()
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch_url(f"{site}/drip", ALLOWED))
    assert caught.value.status == 400
    assert time.monotonic() - began < 3


def test_what_is_fetched_is_kept_as_an_upload_is(site, monkeypatch, tmp_path):
    allowed = replace(ALLOWED, upload_dir=tmp_path)
    with asyncio.run(fetch_url(f"{site}/a.wav", allowed)) as file:
        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.raw.name == "the upload"
    monkeypatch.setattr("mooer.serve.uploads._RESERVE_BYTES", 1 << 60)
    with pytest.raises(ApiError) as caught:
        asyncio.run(fetch_url(f"{site}/a.wav", allowed))
    assert caught.value.status == 507


def test_base64():
    assert decode_data("aGk=", 10, "p") == b"hi"
    assert decode_data("data:audio/wav;base64,aGk=", 10, "p") == b"hi"
    for text, status in (("a", 400), ("!!!!", 400), ("data:audio/wav,hi", 400), ("aGk=" * 9, 413)):
        with pytest.raises(ApiError) as caught:
            decode_data(text, 10, "p")
        assert caught.value.status == status
