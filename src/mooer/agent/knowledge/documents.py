"""The text of documents, in sections: plain text, Markdown, HTML, Word, PDF; nothing in them runs.

A file is bounded before it is read and its text while it is taken out, so that a hostile one costs
a bounded time and memory, and is left out by name.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

MAX_FILE_BYTES = 32 << 20
MAX_TEXT_CHARS = 8 << 20  # of one document
PDF_S = 60.0  # to take the text out of one
EXTRA = "knowledge"  # of pip, for PDF

_DRAWN = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]+")
_WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


class UnreadableError(ValueError):
    """A document has no text that can be had; the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Section:
    """A piece of a document under one heading."""

    heading: str  # those above it joined by " > ", a page of a PDF, or ""
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """A file below a folder; `error` says why it is not read."""

    name: str  # its path below the folder, with /
    path: Path
    num_bytes: int = 0
    mtime_ns: int = 0
    error: str = ""


def find_documents(folder: Path) -> Iterator[Found]:
    """Files of the known kinds below a folder, in order; hidden ones are passed over.

    No link is followed, so that nothing outside the folder is read.
    """
    errors: list[OSError] = []
    for top, folders, names in os.walk(folder, onerror=errors.append):
        linked = [one for one in folders if Path(top, one).is_symlink()]
        folders[:] = sorted(one for one in folders if one[0] != "." and one not in linked)
        for name in sorted([*names, *linked]):
            if name[0] != "." and (name in linked or Path(name).suffix.lower() in KINDS):
                yield _found(Path(top, name), folder)
    for error in errors:
        path = Path(error.filename or folder)
        yield Found(_below(path, folder), path, error=error.strerror or "cannot be read")


def _found(path: Path, folder: Path) -> Found:
    name = _below(path, folder)
    try:
        about = path.lstat()
    except OSError as error:
        return Found(name, path, error=error.strerror or "cannot be read")
    why = ""
    if stat.S_ISLNK(about.st_mode):
        why = "a link, which is not followed"
    elif not stat.S_ISREG(about.st_mode):
        why = "no plain file"
    elif about.st_size > MAX_FILE_BYTES:
        why = f"{about.st_size >> 20} MiB, more than {MAX_FILE_BYTES >> 20}"
    return Found(name, path, about.st_size, about.st_mtime_ns, why)


def _below(path: Path, folder: Path) -> str:
    name = path.relative_to(folder).as_posix()
    return name.encode(errors="replace").decode()  # names on a disk need not be UTF-8


def content_of(found: Found) -> bytes:
    """What is in a file, if it still is a plain one. UnreadableError if it cannot be read."""
    # Since it was found it may have become a link, or a pipe that nobody writes to.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    flags |= getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(found.path, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("no plain file")
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableError(error.strerror or "cannot be read") from None
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableError(f"more than {MAX_FILE_BYTES >> 20} MiB")
    return content


def read_document(path: Path, content: bytes) -> list[Section]:
    """The sections of a document with text in them. UnreadableError in a few words."""
    kind = KINDS[path.suffix.lower()]
    sections = [
        Section(_CONTROL.sub("", one.heading).strip(), _CONTROL.sub("", one.text).strip())
        for one in kind(content)
    ]
    if sum(len(one.text) for one in sections) > MAX_TEXT_CHARS:
        raise UnreadableError(f"more than {MAX_TEXT_CHARS} characters of text")
    return [one for one in sections if one.text]


def decoded(content: bytes) -> str:
    """Text in UTF-8, UTF-16 with its mark, or GB 18030. UnreadableError if it is none of these."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    elif b"\x00" in content:
        raise UnreadableError("binary, no text")
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UnreadableError("neither UTF-8 nor GB 18030")


def _plain(content: bytes) -> list[Section]:
    return [Section("", decoded(content))]


def _markdown(content: bytes) -> list[Section]:
    return list(_under_headings(_headed_lines(decoded(content))))


def _headed_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the level of those that are headings, 0 for others."""
    is_code = False
    for line in text.splitlines():
        is_code ^= bool(_FENCE.match(line))
        drawn = None if is_code else _DRAWN.match(line)
        yield (len(drawn[1]), drawn[2]) if drawn else (0, line)


def _under_headings(lines: Iterator[tuple[int, str]]) -> Iterator[Section]:
    above: list[tuple[int, str]] = []
    held: list[str] = []
    for level, line in lines:
        if not level:
            held.append(line)
            continue
        yield Section(" > ".join(text for _, text in above), "\n".join(held))
        held = []
        above = [*(one for one in above if one[0] < level), (level, line)]
    yield Section(" > ".join(text for _, text in above), "\n".join(held))


class _Page(HTMLParser):
    """Collects lines of text, with the level of headings."""

    _UNSEEN = frozenset({"script", "style", "template", "noscript", "svg"})
    _BLOCKS = frozenset(
        {"p", "div", "br", "li", "tr", "table", "ul", "ol", "section", "article", "pre"}
        | {"blockquote", "dt", "dd"}
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[tuple[int, str]] = []
        self._held: list[str] = []
        self._level = 0
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in self._UNSEEN
        if tag in self._BLOCKS or _level(tag):
            self.flush()
            self._level = _level(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        if tag in self._BLOCKS or _level(tag):
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._held.append(data)

    def flush(self) -> None:
        """End a line."""
        if line := " ".join("".join(self._held).split()):
            self.lines.append((self._level, line))
        self._held, self._level = [], 0


def _level(tag: str) -> int:
    return int(tag[1]) if re.fullmatch("h[1-6]", tag) else 0


def _html(content: bytes) -> list[Section]:
    page = _Page()
    page.feed(decoded(content))
    page.close()
    page.flush()
    return list(_under_headings(iter(page.lines)))


def _docx(content: bytes) -> list[Section]:
    """Paragraphs of word/document.xml, by the names of their styles."""
    most = 4 * MAX_TEXT_CHARS  # of XML, unpacked
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        with archive, archive.open("word/document.xml") as file:
            body = file.read(most + 1)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error) as error:
        raise UnreadableError(f"no Word document ({str(error)[:80]})") from None
    # A password, or a way to pack that is not known; sizes that cannot be.
    except (RuntimeError, ValueError) as error:
        raise UnreadableError(f"a Word document that cannot be opened ({error})") from None
    if len(body) > most:
        raise UnreadableError(f"it unpacks to more than {most >> 20} MiB")
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise UnreadableError("XML with entities of its own")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  (no document type, so no entities)
    except ElementTree.ParseError as error:
        raise UnreadableError(f"broken XML ({error})") from None
    return list(_under_headings(_paragraphs(root)))


def _paragraphs(root: ElementTree.Element) -> Iterator[tuple[int, str]]:
    for paragraph in root.iter(f"{_WORD}p"):
        style = paragraph.find(f"{_WORD}pPr/{_WORD}pStyle")
        name = "" if style is None else style.get(f"{_WORD}val", "")
        level = re.fullmatch(r"(?i)heading\s?([1-6])|([1-6])", name)
        text = "".join(one.text or "" for one in paragraph.iter(f"{_WORD}t"))
        if text.strip():
            yield (int(level[1] or level[2]) if level else 0), text


def _pdf(content: bytes) -> list[Section]:
    """Pages, by a process of its own: what a hostile file takes ends with it."""
    if find_spec("pypdf") is None:
        raise UnreadableError(f"PDF needs pypdf: pip install 'mooer[{EXTRA}]'")
    command = [sys.executable, "-m", "mooer.agent.knowledge.pdf", str(MAX_TEXT_CHARS)]
    try:
        done = subprocess.run(  # noqa: S603  (our own module)
            command, input=content, capture_output=True, timeout=PDF_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"its text takes more than {PDF_S:.0f} s") from None
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise UnreadableError(f"no PDF that can be read ({' '.join(last)[:120]})")
    pages = json.loads(done.stdout)
    return [Section(f"page {i}", text) for i, text in enumerate(pages, start=1)]


KINDS: dict[str, Callable[[bytes], list[Section]]] = {
    ".txt": _plain,
    ".text": _plain,
    ".rst": _plain,
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".docx": _docx,
    ".pdf": _pdf,
}
