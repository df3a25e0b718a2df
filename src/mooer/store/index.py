"""The simple index of Python packages (PEP 503 and 691): finds a wheel without pip."""

from __future__ import annotations

import base64
import json
import netrc
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

from mooer.store.entries import Wheel
from mooer.store.pipconf import PipConfig
from mooer.store.web import SourceError, Web, host

ACCEPT = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"


@dataclass(frozen=True)
class Link:
    """One file that an index offers."""

    filename: str
    url: str
    sha256: str | None = None


class Index:
    """All package indexes of a pip configuration, asked one after the other."""

    def __init__(self, web: Web, pip: PipConfig) -> None:
        self._web = web
        # Folders first: they cost nothing and are there without a network.
        self._roots = sorted(pip.indexes, key=lambda url: not url.startswith("file:"))
        self._find_links = pip.find_links
        self._auth = {host(root): _basic(root) for root in pip.indexes}

    @property
    def roots(self) -> tuple[str, ...]:
        """Hosts of the indexes, and folders if they are there."""
        folders = [root for root in self._roots if root.startswith("file:")]
        present = [root for root in folders if Path(url2pathname(urlsplit(root).path)).is_dir()]
        hosts = [host(root) for root in self._roots if root not in folders]
        return (*present, *hosts)

    def find(self, wheel: Wheel) -> Link:
        """The link to `wheel`; SourceError with the answer of every index if there is none."""
        problems: list[SourceError] = []
        for page in (*self._find_links, *self._pages(wheel.package)):
            try:
                links = list(self._links(page))
            except SourceError as error:
                problems.append(error)
                continue
            found = [link for link in links if fits(link.filename, wheel)]
            if found:
                return min(found, key=lambda link: not link.filename.endswith("-any.whl"))
            if links:
                where = host(page) or "a folder"
                problems.append(SourceError(f"{where} has no {wheel.package} {wheel.version}"))
        if not problems:
            raise SourceError(f"no index has {wheel.package} {wheel.version}")
        reasons = "; ".join(dict.fromkeys(str(problem) for problem in problems))
        raise SourceError(
            f"{wheel.package} {wheel.version}: {reasons}",
            denied=any(problem.denied for problem in problems),
        )

    def headers(self, url: str) -> dict[str, str]:
        """What to send along to the host of `url`: a login, if there is one for it."""
        login = self._auth.get(host(url))
        return {"Authorization": login} if login else {}

    def _pages(self, package: str) -> Iterator[str]:
        for root in self._roots:
            yield f"{root}/{normalised(package)}/"

    def _links(self, page: str) -> Iterator[Link]:
        folder = _local_folder(page)
        if folder is not None and not (folder / "index.html").is_file():
            # pip, too, passes over folders of its configuration that are not there.
            for path in sorted(folder.glob("*.whl")) if folder.is_dir() else ():
                yield Link(path.name, path.absolute().as_uri())
            return
        url = (folder / "index.html").absolute().as_uri() if folder else without_login(page)
        headers = {"Accept": ACCEPT, **self.headers(page)}
        body, kind, final_url = self._web.read(url, headers)
        text = body.decode("utf-8", "replace")
        yield from parse_json(text, final_url) if "json" in kind else parse_html(text, final_url)


def fits(filename: str, wheel: Wheel) -> bool:
    """Whether a file name is that of the wheel: name-version(-build)?-python-abi-platform.whl.

    >>> fits("silero_vad-6.2.3-py3-none-any.whl", Wheel("silero-vad", "6.2.3", ""))
    True
    """
    stem, dot, kind = filename.rpartition(".")
    pieces = stem.split("-")
    return (
        dot + kind == ".whl"
        and len(pieces) in {5, 6}
        and normalised(pieces[0]) == normalised(wheel.package)
        and pieces[1] == wheel.version
    )


def normalised(package: str) -> str:
    """Name of a package as indexes spell it (PEP 503).

    >>> normalised("Silero__VAD.x")
    'silero-vad-x'
    """
    return re.sub(r"[-_.]+", "-", package).lower()


def parse_json(text: str, base: str) -> Iterator[Link]:
    """Links of a PEP 691 page; SourceError if it is none."""
    try:
        for file in json.loads(text)["files"]:
            hashes: Mapping[str, str] = file.get("hashes", {})
            yield Link(file["filename"], urljoin(base, file["url"]), hashes.get("sha256"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{host(base)} sent a page that is no package index") from error


def parse_html(text: str, base: str) -> Iterator[Link]:
    """Links of a PEP 503 page, its `<base>` honoured."""
    parser = _Anchors(base)
    parser.feed(text)
    for href in parser.links:
        url = urlsplit(urljoin(parser.base, href))
        kind, _, digest = url.fragment.partition("=")
        filename = unquote(url.path.rpartition("/")[2])
        yield Link(
            filename, urlunsplit(url._replace(fragment="")), digest if kind == "sha256" else None
        )


class _Anchors(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base = base
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if tag == "a" and href:
            self.links.append(href)
        elif tag == "base" and href:
            self.base = urljoin(self.base, href)


def without_login(url: str) -> str:
    """The address without user name and password.

    >>> without_login("https://me:secret@example.org/simple")
    'https://example.org/simple'
    """
    return urlunsplit(urlsplit(url)._replace(netloc=host(url)))


def _local_folder(page: str) -> Path | None:
    """The folder that `page` stands for: a file:// address or, in find-links, a plain path."""
    url = urlsplit(page)
    if url.scheme == "file":
        return Path(url2pathname(url.path))
    return None if url.scheme in {"http", "https"} else Path(page).expanduser()


def _basic(url: str) -> str | None:
    """Value of the Authorization header for `url`: from the address itself, or from .netrc."""
    parts = urlsplit(url)
    login = (unquote(parts.username or ""), unquote(parts.password or ""))
    if not any(login) and parts.hostname:
        try:
            known = netrc.netrc().authenticators(parts.hostname)
        except (OSError, netrc.NetrcParseError):
            known = None
        if known:
            login = (known[0] or "", known[2] or "")
    if not any(login):
        return None
    return "Basic " + base64.b64encode(":".join(login).encode()).decode("ascii")
