"""Who calls: API keys, of which only hashes are kept, and compared in constant time.

A file of keys has a line for each, `name:sha256:HEX` or `name:admin:sha256:HEX`; `new_key` writes
one. A key is 32 random bytes, so one hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import HTTPConnection

from mooer.errors import ConfigError
from mooer.files import write_whole
from mooer.serve.errors import ApiError
from mooer.serve.settings import Settings

PREFIX = "mk-"
_SUBPROTOCOL = "openai-insecure-api-key."  # how a browser shows a key over a WebSocket
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):(admin:)?sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Caller:
    """Someone who calls: by key, or without keys by address."""

    id: str  # what limits count by
    is_admin: bool = False  # may load and unload models


@dataclass(frozen=True)
class _Key:
    name: str
    digest: bytes
    is_admin: bool


class Callers:
    """The keys of a server; without any, everyone who reaches it is let in."""

    def __init__(self, keys: Iterable[_Key] = ()) -> None:
        self._keys = tuple(keys)

    @classmethod
    def of(cls, settings: Settings) -> Callers:
        """Those of a server's settings. ConfigError if the file cannot be read or holds none."""
        keys = list(read_keys(settings.keys)) if settings.keys is not None else []
        if settings.keys is not None and not keys:
            raise ConfigError(
                f"{settings.keys} holds no key: make one with `mooer serve --new-key NAME --keys "
                f"{settings.keys}`"
            )
        if settings.api_key:
            keys.append(_Key("key", _digest(settings.api_key), is_admin=True))
        return cls(keys)

    def identify(self, connection: HTTPConnection) -> Caller:
        """Who sends a request or opens a WebSocket. ApiError 401 for no key, or an unknown one."""
        if not self._keys:
            client = connection.client
            return Caller(f"address {client.host}" if client else "local", is_admin=True)
        given = shown_key(connection.headers)
        if given is None:
            raise ApiError(
                401,
                "no API key was given: send it as `Authorization: Bearer KEY`",
                code="missing_api_key",
            )
        digest = _digest(given)
        found: _Key | None = None
        for key in self._keys:  # all of them, whichever it is: time tells nothing
            if hmac.compare_digest(key.digest, digest):
                found = key
        if found is None:
            raise ApiError(401, "the API key is not known here", code="invalid_api_key")
        return Caller(f"key {found.name}", found.is_admin)


def shown_key(headers: Mapping[str, str]) -> str | None:
    """The key of a request: a bearer token, or a WebSocket's subprotocol."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for protocol in headers.get("sec-websocket-protocol", "").split(","):
        if protocol.strip().startswith(_SUBPROTOCOL):
            return protocol.strip().removeprefix(_SUBPROTOCOL)
    return None


def read_keys(path: Path) -> list[_Key]:
    """The keys of a file. ConfigError, with the number of the line, for what is none."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"cannot read the keys in {path}: {reason}") from error
    keys = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ConfigError(
                f"{path}:{number}: not a key (name:sha256:64 hex digits): make one with "
                "`mooer serve --new-key NAME`"
            )
        keys.append(_Key(match[1], bytes.fromhex(match[3]), bool(match[2])))
    return keys


def new_key(path: Path, name: str, *, is_admin: bool = False) -> str:
    """Make a key, add its hash to a file, and give the key: it is kept nowhere.

    ConfigError for a name that is there, or is none.
    """
    if not _NAME.fullmatch(name) or name == "admin":
        raise ConfigError(f"a key's name is letters, digits, '.', '_' and '-', not {name!r}")
    before = path.read_text("utf-8") if path.exists() else ""
    if path.exists() and any(key.name == name for key in read_keys(path)):
        raise ConfigError(f"{path} has a key {name!r} already: remove its line, or choose another")
    key = PREFIX + secrets.token_urlsafe(32)
    role = "admin:" if is_admin else ""
    if before and not before.endswith("\n"):
        before += "\n"
    write_whole(path, f"{before}{name}:{role}sha256:{_digest(key).hex()}\n")
    os.chmod(path, 0o600)  # noqa: PTH101 - also where the file was there before
    return key


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
