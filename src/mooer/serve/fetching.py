"""Recordings by address, where the settings allow it: of public addresses, and of a bounded size.

A name is looked up once, each of its addresses must be public, and the connection goes to an
address that was looked at: a name that points elsewhere the next moment gains nothing. A redirect
is a new address. Nothing of this process (proxies, cookies, credentials) goes along.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from mooer.serve.errors import ApiError, wrong
from mooer.serve.settings import MIB, Settings
from mooer.serve.uploads import Form, check_disk, nameless

_MAX_REDIRECTS = 3
_MAX_URL_CHARS = 2048
_TIMEOUT_S = 10.0  # of one step
_TOTAL_S = 120.0
_PIECE_BYTES = 64 << 10
_PORTS = (80, 443)

# Apart from the threads that write uploads, which a slow site must not keep waiting.
_threads = ThreadPoolExecutor(8, "fetch")

Resolve = Callable[[str, int], list[str]]


async def recording_of(form: Form, settings: Settings) -> None:
    """See that a form has a recording: its file, or what its field url is the address of.

    ApiError 400 if it has none, 403 if addresses are not fetched here.
    """
    url = form.text("url")
    if form.file is not None:
        if not form.num_bytes:
            raise wrong("file", "the file is empty: it holds no bytes", "invalid_audio")
        return
    if not url:
        raise wrong("file", "there is no recording: send it in the field file", "missing_file")
    form.file = await fetch_url(url, settings)


async def fetch_url(url: str, settings: Settings) -> BinaryIO:
    """What lies at an address, in a file without a name. ApiError 400, 403 or 413."""
    if not settings.fetch_urls:
        raise ApiError(
            403,
            "addresses are not fetched here: send the recording itself",
            param="url",
            code="urls_not_allowed",
        )
    loop = asyncio.get_running_loop()
    limits = settings.limits
    return await loop.run_in_executor(
        _threads, _fetch, url, limits.max_upload_bytes, settings.upload_dir
    )


def decode_data(data: str, max_bytes: int, param: str) -> bytes:
    """The bytes of base64, or of a data: address. ApiError 400 or 413."""
    if data.startswith("data:"):
        head, _, data = data.partition(",")
        if not head.endswith(";base64"):
            raise wrong(param, "a data: address must be of base64")
    if len(data) * 3 // 4 > max_bytes:
        raise ApiError(
            413, "the sound is too large: send less of it", param=param, code="too_large"
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise wrong(param, "the sound is no base64", "invalid_base64") from None


def public_addresses(host: str, port: int, resolve: Resolve | None = None) -> list[str]:
    """The addresses of a name. ApiError 403 if one of them is not public, 400 if there is none."""
    try:
        found = (resolve or _resolve)(host, port)
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise wrong("url", "the name in the address is not known")
    if not all(map(is_public, found)):
        raise ApiError(
            403, "the address is not a public one: it is not fetched", param="url", code="private"
        )
    return found


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open network, and not one that hides another.

    >>> [is_public(a) for a in ("8.8.8.8", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254")]
    [True, False, False, False]
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        hidden = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if hidden or ip in _NAT64:
            return False
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def _resolve(host: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def _fetch(url: str, max_bytes: int, folder: Path | None = None) -> BinaryIO:
    ends_at = time.monotonic() + _TOTAL_S
    for _ in range(_MAX_REDIRECTS + 1):
        connection, target = _open(url)
        cutting = threading.Timer(max(0.0, ends_at - time.monotonic()), connection.cut)
        cutting.daemon = True
        cutting.start()  # a site may send its headers letter by letter
        try:
            headers = {"User-Agent": "mooer", "Accept": "*/*", "Accept-Encoding": "identity"}
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as answer:
                place = answer.getheader("Location")
                if answer.status in (301, 302, 303, 307, 308) and place:
                    url = urljoin(url, place)
                    continue
                if answer.status != 200:
                    raise wrong("url", f"the address answers with status {answer.status}")
                return _poured(answer, max_bytes, ends_at, folder)
        except (OSError, http.client.HTTPException) as error:
            raise wrong("url", f"the address cannot be read ({type(error).__name__})") from None
        finally:
            cutting.cancel()
            connection.close()
    raise wrong("url", f"the address leads on more than {_MAX_REDIRECTS} times")


def _open(url: str) -> tuple[_To, str]:
    """A connection to a public address, and what to ask there."""
    try:
        parts = urlsplit(url if len(url) <= _MAX_URL_CHARS and url.isascii() else "")
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise wrong("url", "an address is http:// or https://, without a user name")
    if port not in _PORTS:
        raise ApiError(403, "only ports 80 and 443 are fetched from", param="url", code="private")
    address = public_addresses(parts.hostname, port)[0]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if any(c in target for c in " \r\n\t"):
        raise wrong("url", "the address holds a space: write %20")
    kind = _SecureTo if parts.scheme == "https" else _To
    return kind(parts.hostname, port, address), target


class _To(http.client.HTTPConnection):
    """A connection to an address that was looked at, under the name that was asked for."""

    def __init__(self, host: str, port: int, address: str) -> None:
        super().__init__(host, port, timeout=_TIMEOUT_S)
        self._address = address

    def connect(self) -> None:
        """Connect to the address, not to whatever the name is by now."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)

    def cut(self) -> None:
        """End it, whatever another thread waits for."""
        with contextlib.suppress(OSError, AttributeError):  # not open yet, or closed
            self.sock.shutdown(socket.SHUT_RDWR)


class _SecureTo(_To):
    """The same by TLS, whose certificate must be of the name."""

    def connect(self) -> None:
        super().connect()
        context = ssl.create_default_context()
        self.sock = context.wrap_socket(self.sock, server_hostname=self.host)


def _poured(
    answer: http.client.HTTPResponse, max_bytes: int, ends_at: float, folder: Path | None
) -> BinaryIO:
    file = nameless(folder)
    try:
        num_bytes = 0
        while piece := answer.read1(_PIECE_BYTES):
            num_bytes += len(piece)
            if num_bytes > max_bytes:
                raise ApiError(
                    413,
                    f"what lies at the address is larger than {max_bytes / MIB:.0f} MiB",
                    param="url",
                    code="too_large",
                )
            if time.monotonic() > ends_at:
                raise ApiError(408, "the address takes too long", param="url", code="stalled")
            check_disk(folder)
            file.write(piece)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
