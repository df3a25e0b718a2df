"""Forms on their way to the disk, in whatever pieces they come."""

import asyncio
import errno
import os
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request

from mooer.serve.errors import ApiError, told
from mooer.serve.settings import LimitOptions, Settings
from mooer.serve.uploads import read_form, read_json

DATA = bytes(range(256)) * 40 + b"\r\n--" + b"almost\r\n"


def form(*parts):
    lines = b""
    for name, value, file_name in parts:
        file = f'; filename="{file_name}"' if file_name else ""
        lines += f'--xyz\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        lines += value + b"\r\n"
    return lines + b"--xyz--\r\n"


BODY = form(
    ("model", b"whisper-1", ""),
    ("file", DATA, "../../etc/passwd"),
    ("timestamp_granularities[]", b"word", ""),
    ("timestamp_granularities[]", b"segment", ""),
    ("prompt", "你好".encode(), ""),
)


def request(pieces, content_type="multipart/form-data; boundary=xyz", **headers):
    messages = [{"type": "http.request", "body": p, "more_body": True} for p in pieces]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    raw = [(b"content-type", content_type.encode())]
    raw += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]

    async def receive():
        return messages.pop(0)

    return Request({"type": "http", "method": "POST", "headers": raw}, receive)


def read(asked, settings=None):
    async def main():
        async with read_form(asked, settings or Settings()) as found:
            data = found.file.read() if found.file else None
        assert found.file is None or found.file.closed
        return found, data

    return asyncio.run(main())


@settings(suppress_health_check=[HealthCheck.too_slow])  # a machine may be busy
@given(st.lists(st.integers(1, len(BODY) - 1), max_size=8))
def test_a_form_is_the_same_in_whatever_pieces(cuts):
    places = [0, *sorted(set(cuts)), len(BODY)]
    found, data = read(request([BODY[a:b] for a, b in pairwise(places)]))
    assert data == DATA
    assert found.num_bytes == len(DATA)
    assert found.text("model") == "whisper-1"
    assert found.text("prompt") == "你好"
    assert found.texts("timestamp_granularities") == ["word", "segment"]


def test_the_file_has_no_name_on_the_disk(tmp_path):
    async def main():
        async with read_form(request([BODY]), Settings(upload_dir=tmp_path)) as found:
            assert not list(tmp_path.iterdir())
            assert found.file.name == "the upload" or found.file.raw.name == "the upload"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (BODY[:-20], None, 400),
        (BODY[:300], None, 400),
        (b"", None, 400),
        (b"nothing of the kind", None, 400),
        (BODY, "application/json", 400),
        (BODY, "multipart/form-data", 400),
        (form(("other", b"x", "a.wav")), None, 400),
        (form(("file", b"x", "a"), ("file", b"x", "b")), None, 400),
        (form(*[(f"f{i}", b"", "") for i in range(80)]), None, 400),
        (form(("prompt", b"x" * 300_000, "")), None, 400),
        (b"--xyz\r\nX: " + b"y" * 20_000 + b"\r\n\r\nz\r\n--xyz--\r\n", None, 400),
        (b"--xyz\r\n" + b"X: y\r\n" * 200 + b"\r\nz\r\n--xyz--\r\n", None, 400),
        (BODY, "multipart/form-data; boundary*=utf-8''%E4%BD%A0", 400),
        (BODY, "multipart/form-data; boundary*0*=x; boundary*1*=''%", 400),
        (form(("file", b"x" * 3_000_000, "a")), None, 413),
    ],
)
def test_what_is_no_form_is_refused(body, kind, status):
    settings = Settings(limits=LimitOptions(max_upload_bytes=2_000_000))
    asked = request([body], **({"content_type": kind} if kind else {}))
    with pytest.raises(ApiError) as caught:
        read(asked, settings)
    assert caught.value.status == status


def test_a_length_that_is_too_much_is_refused_unread():
    with pytest.raises(ApiError) as caught:
        read(request([], content_length="99999999999"))
    assert caught.value.status == 413


def test_a_sender_who_stalls_or_leaves():
    settings = Settings(limits=LimitOptions(idle_s=1))

    async def stalls():
        await asyncio.sleep(5)

    async def leaves():
        return {"type": "http.disconnect"}

    asked = request([])
    asked._receive = stalls
    with pytest.raises(ApiError) as caught:
        read(asked, settings)
    assert caught.value.status == 408
    asked = request([])
    asked._receive = leaves
    with pytest.raises(ClientDisconnect):
        read(asked, settings)


def test_a_sender_who_drips(monkeypatch):
    """A byte now and then would hold a connection for days."""
    now = [0.0]
    monkeypatch.setattr("mooer.serve.uploads.time.monotonic", lambda: now[0])

    def drips(num_bytes, wait_s):
        async def receive():
            now[0] += wait_s
            return {"type": "http.request", "body": b"-" * num_bytes, "more_body": True}

        asked = request([])
        asked._receive = receive
        with pytest.raises(ApiError) as caught:
            read(asked)
        return caught.value

    assert drips(1, 20).status == 408
    assert now[0] < 60
    now[0] = 0.0
    assert drips(50_000, 20).status in (400, 408)
    assert now[0] < 2000


def test_a_full_disk_is_said(monkeypatch):
    monkeypatch.setattr("mooer.serve.uploads._RESERVE_BYTES", 1 << 60)
    with pytest.raises(ApiError) as caught:
        read(request([BODY]))
    assert (caught.value.status, caught.value.code) == (507, "disk_full")
    assert told(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))).status == 507


def test_json_is_bounded_and_an_object():
    def ask(body, settings=None):
        return asyncio.run(read_json(request([body]), settings or Settings()))

    assert ask(b'{"a": 1}') == {"a": 1}
    for body in (b"[1]", b"{", b"\xff", b"[" * 100_000):
        with pytest.raises(ApiError, match="JSON object"):
            ask(body)
    with pytest.raises(ApiError) as caught:
        ask(b" " * 2000, Settings(limits=LimitOptions(max_body_bytes=1000)))
    assert caught.value.status == 413
