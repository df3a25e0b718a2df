"""HTTP for weights: proxies, quick failure, and downloads that go on where they stopped."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import urlsplit

from mooer.errors import StoreError
from mooer.store.progress import Meter

CONNECT_S = 5.0
READ_S = 30.0
FORGET_S = 300.0
MAX_TRIES = 8
MAX_FRUITLESS = 3
PAUSE_S = 1.0
BLOCK_BYTES = 1 << 18
BUSY = frozenset({429, 500, 502, 503, 504})


_down: dict[str, tuple[str, float]] = {}
"""Host -> why it cannot be reached, and since when; of the whole process, to ask only once."""


class SourceError(StoreError):
    """One source cannot give a file; another may. `denied` if it wants to know who asks."""

    def __init__(self, reason: str, *, denied: bool = False) -> None:
        super().__init__(reason)
        self.denied = denied


class _DroppedError(Exception):
    """A transfer stopped early and may be tried again after a pause, which a server may set.

    `is_useless` if what has been fetched so far is no beginning of the file.
    """

    def __init__(
        self, reason: str, *, pause_s: float | None = None, is_useless: bool = False
    ) -> None:
        super().__init__(reason)
        self.pause_s = PAUSE_S if pause_s is None else pause_s
        self.is_useless = is_useless


class Web:
    """Opens addresses, but none of a host that did not answer a while ago.

    proxy: used for http and https in place of the proxies of the environment.
    cert: file of certificates to trust in place of the system's.
    """

    def __init__(self, *, proxy: str | None = None, cert: str | None = None) -> None:
        try:
            trusted = ssl.create_default_context(cafile=cert)
        except OSError as error:
            raise SourceError(f"the certificates in {cert} cannot be read ({error})") from error
        proxies = {"http": proxy, "https": proxy} if proxy else None
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),
            _HTTPHandler(),
            _HTTPSHandler(trusted),
            urllib.request.FileHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Redirect(),
        ):
            self._opener.add_handler(handler)

    def read(self, url: str, headers: Mapping[str, str]) -> tuple[bytes, str, str]:
        """Body (at most 64 MB), content type and final address of a page; SourceError if none."""
        try:
            with self._open(url, headers) as answer:
                kind = answer.headers.get("Content-Type", "")
                return answer.read(64 << 20), kind, answer.url
        except SourceError:
            raise
        except _DroppedError as error:
            raise SourceError(f"{host(url)} {error}") from error
        except (OSError, http.client.HTTPException) as error:
            raise _mark_down(url, _plain(error)) from error

    def look(self, url: str, headers: Mapping[str, str]) -> None:
        """Open `url` and close it again; SourceError if it does not answer with the file."""
        try:
            self._open(url, headers).close()
        except _DroppedError as error:
            raise SourceError(f"{host(url)} {error}") from error

    def download(
        self,
        url: str,
        part: Path,
        *,
        label: str,
        headers: Mapping[str, str] | None = None,
        size_bytes: int | None = None,
        limit_bytes: int,
    ) -> None:
        """Bring `url` into `part`, going on behind what is there already.

        size_bytes: exact size, if known; limit_bytes: never write more than this.
        A broken transfer is resumed a few times; SourceError if that does not help. `part` is
        left for the next attempt unless it turns out to be wrong.
        """
        fruitless = 0
        for attempt in range(1, MAX_TRIES + 1):
            have = part.stat().st_size if part.exists() else 0
            if size_bytes is not None and have == size_bytes:
                return
            try:
                self._stream(url, part, dict(headers or {}), label, size_bytes, limit_bytes)
                return
            except _DroppedError as dropped:
                if dropped.is_useless:
                    part.unlink(missing_ok=True)
                got_more = part.exists() and part.stat().st_size > have
                fruitless = 0 if got_more else fruitless + 1
                if attempt == MAX_TRIES or fruitless == MAX_FRUITLESS:
                    raise SourceError(f"{host(url)} {dropped}, after {attempt} tries") from dropped
                time.sleep(min(10.0, dropped.pause_s * (1 + fruitless)))

    def _stream(
        self,
        url: str,
        part: Path,
        headers: dict[str, str],
        label: str,
        size_bytes: int | None,
        limit_bytes: int,
    ) -> None:
        have = part.stat().st_size if part.exists() else 0
        if have:
            headers["Range"] = f"bytes={have}-"
        with self._open(url, headers) as answer:
            start = _first_byte(answer) if have else 0
            if start not in (0, have):
                raise _DroppedError("sent another range than the one asked", is_useless=True)
            length = answer.headers.get("Content-Length")
            total = start + int(length) if length and length.isdigit() else size_bytes
            if size_bytes is not None and total != size_bytes:
                raise SourceError(f"{host(url)} has {total} bytes where {size_bytes} are expected")
            if total is not None and total > limit_bytes:
                raise SourceError(f"{host(url)} has {total} bytes, more than the {limit_bytes} due")
            with part.open("ab" if start else "wb") as out, Meter(label, total) as meter:
                done = _pour(answer, out, start, limit_bytes, meter)
        if done > limit_bytes:
            part.unlink()
            raise SourceError(f"{host(url)} sent more than the {limit_bytes} bytes due")
        if total is not None and done < total:
            raise _DroppedError(f"sent {done} of {total} bytes")

    def _open(self, url: str, headers: Mapping[str, str]) -> http.client.HTTPResponse:
        """Open `url`; what is certain to fail again raises SourceError, the rest _DroppedError."""
        check_host(url)
        request = urllib.request.Request(url, headers={"User-Agent": "mooer", **headers})  # noqa: S310
        try:
            answer = self._opener.open(request, timeout=CONNECT_S)
        except urllib.error.HTTPError as error:
            error.close()
            raise _refusal(error, url) from error
        except urllib.error.URLError as error:
            if isinstance(error.reason, (FileNotFoundError, IsADirectoryError)):
                raise SourceError(f"no such file: {urlsplit(url).path}") from error
            raise _mark_down(url, _plain(error.reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise _mark_down(url, _plain(error)) from error
        return cast(http.client.HTTPResponse, answer)


def host(url: str) -> str:
    """Host and port of an address, without a user name or password.

    >>> host("https://me:secret@example.org:8080/simple/")
    'example.org:8080'
    """
    return urlsplit(url).netloc.rpartition("@")[2]


def check_host(url: str) -> None:
    """SourceError if the host of `url` could not be reached a while ago."""
    reason, since = _down.get(host(url), ("", 0.0))
    if reason and time.monotonic() - since < FORGET_S:
        raise SourceError(reason)


def forget_hosts() -> None:
    """Ask every host again, also those that could not be reached."""
    _down.clear()


def _mark_down(url: str, why: str) -> SourceError:
    proxy = urllib.request.getproxies().get(urlsplit(url).scheme)
    through = f" through the proxy {host(proxy)}" if proxy else ""
    reason = f"{host(url)} cannot be reached{through} ({why})"
    if host(url):
        _down[host(url)] = (reason, time.monotonic())
    return SourceError(reason, denied="CERTIFICATE_VERIFY_FAILED" in why)


def _pour(
    answer: http.client.HTTPResponse, out: IO[bytes], done: int, limit_bytes: int, meter: Meter
) -> int:
    """Copy the body of `answer` behind the `done` bytes of `out`; return how many are there."""
    meter.at(done)
    while done <= limit_bytes:
        try:
            block = answer.read(BLOCK_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise _DroppedError(f"broke off after {done} bytes ({_plain(error)})") from error
        if not block:
            break
        # Outside the try: a full disk is not the server's doing.
        out.write(block)
        done += len(block)
        meter.at(done)
    return done


def _first_byte(answer: http.client.HTTPResponse) -> int:
    """Where the body of an answer to a Range request starts: 0 if the server ignored the range."""
    if answer.status != http.client.PARTIAL_CONTENT:
        return 0
    unit, _, rest = answer.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else -1


def _refusal(error: urllib.error.HTTPError, url: str) -> SourceError | _DroppedError:
    if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
        return _DroppedError("has less than what was fetched before", is_useless=True)
    if error.code in BUSY:
        after = error.headers.get("Retry-After") or ""
        pause_s = float(after) if after.isdigit() else None
        return _DroppedError(f"answered HTTP {error.code}", pause_s=pause_s)
    denied = error.code in {401, 403, 407}
    return SourceError(f"{host(url)} answered HTTP {error.code} {error.reason}", denied=denied)


def _plain(error: object) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class _Quick(http.client.HTTPConnection):
    """Gives up connecting early, but waits longer for data once connected."""

    def connect(self) -> None:
        # A name may stand for many addresses; without one deadline for all of them together, a
        # network that swallows packets would cost CONNECT_S for each.
        self._create_connection = _connect_by_deadline
        super().connect()
        self.sock.settimeout(READ_S)


class _QuickTLS(http.client.HTTPSConnection, _Quick):
    pass


def _connect_by_deadline(
    address: tuple[str, int], timeout: float = CONNECT_S, source: Any = None
) -> socket.socket:
    deadline = time.monotonic() + timeout
    problem: OSError = OSError("no address")
    for family, kind, proto, _, target in socket.getaddrinfo(*address, 0, socket.SOCK_STREAM):
        sock = socket.socket(family, kind, proto)
        try:
            sock.settimeout(max(0.5, (deadline - time.monotonic()) / 2))
            sock.connect(target)
        except OSError as error:
            sock.close()
            problem = error
            if time.monotonic() >= deadline:
                break
        else:
            return sock
    raise problem


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Quick, request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trusted = context

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_QuickTLS, request, context=self._trusted)


class _Redirect(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but takes no token along to another host."""

    # Python 3.10 does not know this one.
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        code = 307 if code == 308 else code
        new = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        old_at, new_at = urlsplit(req.full_url), urlsplit(newurl)
        if new is not None and (old_at.scheme, old_at.netloc) != (new_at.scheme, new_at.netloc):
            new.remove_header("Authorization")
        return new


def proxies_in_use() -> dict[str, str]:
    """Proxies of the environment or the system, without their passwords."""
    return {kind: host(url) or os.fspath(url) for kind, url in urllib.request.getproxies().items()}
