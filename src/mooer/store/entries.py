"""The catalog: which files a model has, how to know them, and where they lie.

`catalog.yaml` beside this file is the only place where a size, a sha256 or an address of weights
is written down. It is parsed strictly: a key that nobody reads is an error.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mooer.errors import ConfigError, StoreError, did_you_mean

CATALOG_PATH = Path(__file__).with_name("catalog.yaml")

_WHEEL = re.compile(r"(?P<package>[\w.-]+)==(?P<version>[\w.!+-]+):\s*(?P<member>\S.*)")
_TARBALL = re.compile(r"(?P<package>[\w.-]+)@(?P<version>[\w.+-]+):\s*(?P<member>\S.*)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")
_SHIPPED_NAME = re.compile(rf"(?:{_PLAIN_NAME.pattern}/)?{_PLAIN_NAME.pattern}")


@dataclass(frozen=True)
class Wheel:
    """One member of one wheel: a file, or a piece of one."""

    package: str
    version: str
    member: str

    @classmethod
    def parse(cls, text: str) -> Wheel:
        """Read "package==version: member".

        >>> Wheel.parse("silero-vad==6.2.3: silero_vad/data/a.onnx").member
        'silero_vad/data/a.onnx'
        """
        return cls(*_member(_WHEEL, text, "package==version: member"))


@dataclass(frozen=True)
class Tarball:
    """One member of one package of the npm registry."""

    package: str
    version: str
    member: str

    @classmethod
    def parse(cls, text: str) -> Tarball:
        """Read "package@version: member".

        >>> Tarball.parse("kokoro-js@1.2.1: package/voices/af_sky.bin").version
        '1.2.1'
        """
        return cls(*_member(_TARBALL, text, "package@version: member"))


def _member(pattern: re.Pattern[str], text: str, form: str) -> tuple[str, str, str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise ConfigError(f"catalog: {text!r} is not {form!r}")
    return match["package"], match["version"], match["member"]


@dataclass(frozen=True)
class File:
    """One file of a model; `path` is its place inside the hub repositories."""

    name: str
    size_bytes: int
    sha256: str
    path: str
    wheels: tuple[Wheel, ...] = ()
    npm: Tarball | None = None


@dataclass(frozen=True)
class Entry:
    """One model: what it is, what it may be used for, and its files."""

    name: str
    description: str
    tasks: tuple[str, ...]
    licence: str
    homepage: str
    files: tuple[File, ...]
    hf: str | None = None
    modelscope: str | None = None
    shipped: bool = False  # with mooer, in `mooer/weights`: nothing is fetched
    needs: tuple[str, ...] = ()  # names of entries that it is used with

    @property
    def size_bytes(self) -> int:
        """Sum of the sizes of all files."""
        return sum(file.size_bytes for file in self.files)


def catalog() -> Mapping[str, Entry]:
    """All models, by name; read once per process."""
    return _read(CATALOG_PATH)


def find(name: str) -> Entry:
    """The entry called `name`; StoreError names the nearest one if there is none."""
    entries = catalog()
    if name not in entries:
        raise StoreError(
            f"unknown model {name!r}: {did_you_mean(name, entries)} "
            "A folder of your own is given by its path."
        )
    return entries[name]


def with_needs(names: Iterable[str]) -> list[str]:
    """These models and all that they need, once each. StoreError if one is unknown."""
    found = list(dict.fromkeys(names))
    for name in found:  # which grows
        found += [need for need in find(name).needs if need not in found]
    return found


@functools.lru_cache(maxsize=4)
def fingerprint(path: Path) -> str:
    """Short hash of a catalog file: far cheaper than parsing it, so a warm fetch need not."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> Mapping[str, Entry]:
    import yaml

    with path.open(encoding="utf-8") as stream:
        return parse(yaml.safe_load(stream))


def parse(raw: Mapping[str, Any]) -> Mapping[str, Entry]:
    """Turn the YAML of a catalog into entries; ConfigError for whatever does not fit."""
    entries = {name: _entry(name, body) for name, body in raw.items()}
    for entry in entries.values():
        for need in entry.needs:
            if need not in entries:
                raise ConfigError(
                    f"catalog: {entry.name}: needs unknown model {need!r}: "
                    + did_you_mean(need, entries)
                )
    return MappingProxyType(entries)


def _entry(name: str, raw: Any) -> Entry:
    body = _checked(Entry, raw, f"catalog: {name}")
    if not _PLAIN_NAME.fullmatch(name):
        raise ConfigError(f"catalog: {name!r} cannot be the name of a model: use letters and -._+")
    shipped = body.setdefault("shipped", False)
    if not isinstance(shipped, bool):
        raise ConfigError(f"catalog: {name}: shipped must be true or false, got {shipped!r}")
    files = tuple(_file(name, file, spec, shipped) for file, spec in body.pop("files").items())
    tasks, needs = tuple(body.pop("tasks")), tuple(body.pop("needs", ()))
    return Entry(name=name, files=files, tasks=tasks, needs=needs, **body)


def _file(model: str, name: str, raw: Any, shipped: bool) -> File:
    where = f"catalog: {model}: {name}"
    body = {"path": name, **_checked(File, raw, where)}
    # The name becomes a path on the user's disk, so it must not be able to leave the folder.
    if shipped and not _SHIPPED_NAME.fullmatch(name):
        raise ConfigError(f"{where}: a file name has at most one folder in it")
    if not shipped and not _PLAIN_NAME.fullmatch(name):
        raise ConfigError(f"{where}: a file name has no folder in it")
    if not re.fullmatch(r"[0-9a-f]{64}", str(body["sha256"])):
        raise ConfigError(f"{where}: sha256 must be 64 hexadecimal digits, got {body['sha256']!r}")
    if not isinstance(body["size_bytes"], int) or body["size_bytes"] < 0:
        raise ConfigError(f"{where}: size_bytes must be a number, got {body['size_bytes']!r}")
    wheels = tuple(Wheel.parse(text) for text in body.pop("wheels", ()))
    npm = Tarball.parse(body.pop("npm")) if "npm" in body else None
    return File(name=name, wheels=wheels, npm=npm, **body)


def _checked(kind: type[Entry] | type[File], raw: Any, where: str) -> dict[str, Any]:
    """Copy of `raw` with exactly the keys that `kind` knows; its name is the key above it."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected keys and values, got {raw!r}")
    known = {field.name for field in fields(kind)} - {"name"}
    for key in raw:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}: {did_you_mean(str(key), known)}")
    optional = {"hf", "modelscope", "path", "wheels", "npm", "shipped", "needs"}
    missing = sorted(known - optional - set(raw))
    if missing:
        raise ConfigError(f"{where}: missing {', '.join(missing)}")
    return dict(raw)
