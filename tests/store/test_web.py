"""Downloads over a bad network: resumed, bounded, and given up quickly."""

from __future__ import annotations

import socket
import time

import pytest

from mooer.errors import StoreError
from mooer.store import fetch, path
from mooer.store.web import SourceError, Web, check_host, forget_hosts


@pytest.fixture
def dead_url():
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_dropped_download_goes_on_where_it_stopped(hub, fakes):
    hub.pages[fakes.HUB + "weights.bin"].drop_after = [200_000, 100_000]
    folder = fetch(fakes.MODEL)
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert hub.ranges() == [None, None, "bytes=200000-", "bytes=300000-"]


def test_server_without_ranges_starts_again(hub, fakes):
    page = hub.pages[fakes.HUB + "weights.bin"]
    page.drop_after, page.ranges = [200_000], False
    folder = fetch(fakes.MODEL)
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS


def test_always_dropping_is_given_up(hub, fakes):
    hub.pages[fakes.HUB + "weights.bin"].drop_after = [0] * 100
    with pytest.raises(StoreError, match=r"sent 0 of 600000 bytes, after 3 tries"):
        fetch(fakes.MODEL)


def test_stale_part_of_other_bytes_is_begun_again(hub, fakes):
    part = path(fakes.MODEL) / ".parts" / "weights.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * 1000)
    folder = fetch(fakes.MODEL)
    assert (folder / "weights.bin").read_bytes() == fakes.WEIGHTS
    assert hub.ranges() == [None, "bytes=1000-", None]


def test_part_that_is_too_long_is_begun_again(hub, fakes):
    part = path(fakes.MODEL) / ".parts" / "weights.bin.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(fakes.WEIGHTS) + 5))
    assert (fetch(fakes.MODEL) / "weights.bin").read_bytes() == fakes.WEIGHTS


@pytest.mark.parametrize("says_length", [True, False])
def test_wrong_contents_are_refused(hub, fakes, says_length):
    page = hub.pages[fakes.HUB + "weights.bin"]
    page.body, page.says_length = bytes(len(fakes.WEIGHTS)), says_length
    with pytest.raises(StoreError, match="its sha256 differs"):
        fetch(fakes.MODEL)
    assert not (path(fakes.MODEL) / "weights.bin").exists()
    assert not (path(fakes.MODEL) / ".parts" / "weights.bin.part").exists()


@pytest.mark.parametrize(
    ("change", "said"), [(-10, "599990 bytes where 600000"), (10, "600010 bytes where 600000")]
)
def test_wrong_size_is_refused_before_downloading(hub, fakes, change, said):
    page = hub.pages[fakes.HUB + "weights.bin"]
    page.body = (fakes.WEIGHTS + bytes(10))[: len(fakes.WEIGHTS) + change]
    with pytest.raises(StoreError, match=said):
        fetch(fakes.MODEL)


def test_endless_answer_is_cut(hub, fakes):
    page = hub.pages[fakes.HUB + "weights.bin"]
    page.body, page.says_length = fakes.WEIGHTS * 4, False
    with pytest.raises(StoreError, match="sent more than the 600000 bytes due"):
        fetch(fakes.MODEL)


def test_busy_server_is_asked_again(hub, fakes):
    hub.pages[fakes.HUB + "weights.bin"].statuses = [503, 429]
    assert (fetch(fakes.MODEL) / "weights.bin").read_bytes() == fakes.WEIGHTS


def test_missing_and_forbidden_are_told(hub, fakes):
    hub.pages[fakes.HUB + "weights.bin"].statuses = [404]
    with pytest.raises(StoreError, match="answered HTTP 404"):
        fetch(fakes.MODEL)
    hub.pages[fakes.HUB + "weights.bin"].statuses = [401]
    with pytest.raises(StoreError, match="401 Unauthorized; a token in HF_TOKEN may help"):
        fetch(fakes.MODEL)


def test_dead_host_is_asked_once(dead_url, tmp_path):
    web = Web()
    forget_hosts()
    with pytest.raises(SourceError, match=r"cannot be reached \(Connection refused\)"):
        web.download(dead_url + "/a", tmp_path / "a", label="a", limit_bytes=10)
    with pytest.raises(SourceError, match="cannot be reached"):
        check_host(dead_url)
    forget_hosts()
    check_host(dead_url)


def test_silent_host_is_given_up_quickly(monkeypatch, tmp_path):
    """Packets that vanish: a listener whose queue is full answers nothing."""
    monkeypatch.setattr("mooer.store.web.CONNECT_S", 0.4)
    forget_hosts()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        start_s = time.monotonic()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/a"
        with pytest.raises(SourceError, match="timed out"):
            Web().download(url, tmp_path / "a", label="a", limit_bytes=10)
        assert time.monotonic() - start_s < 3
        for filler in fillers:
            filler.close()


def test_proxy_of_the_environment_is_used(hub, fakes, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    monkeypatch.setenv("http_proxy", hub.url)
    fetch(fakes.MODEL)
    assert hub.paths()[0] == "http://hub.invalid" + fakes.HUB + "config.json"


def test_no_proxy_is_honoured_and_a_dead_proxy_is_named(hub, fakes, monkeypatch, dead_url):
    monkeypatch.setenv("http_proxy", dead_url)
    with pytest.raises(StoreError, match=r"through the proxy 127\.0\.0\.1"):
        fetch(fakes.MODEL)
    forget_hosts()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch(fakes.MODEL)


def test_token_goes_to_the_endpoint_only(hub, fakes, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret")
    elsewhere = hub.url.replace("127.0.0.1", "localhost")
    hub.pages["/blob"] = hub.pages[fakes.HUB + "weights.bin"]
    hub.pages[fakes.HUB + "weights.bin"] = fakes.Page(b"", location=elsewhere + "/blob")
    fetch(fakes.MODEL)
    sent = {path: headers.get("Authorization") for path, headers in hub.requests}
    assert sent == {
        fakes.HUB + "config.json": "Bearer secret",
        fakes.HUB + "weights.bin": "Bearer secret",
        "/blob": None,
    }


def test_certificates_that_are_not_there(hub, fakes, monkeypatch, tmp_path):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(StoreError, match=r"certificates in .*absent\.pem cannot be read"):
        fetch(fakes.MODEL)
