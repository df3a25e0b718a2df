"""An index of passages on disk: what each file held when it was read, its vectors and its words.

One SQLite file. A document goes in whole, in one transaction, so that whatever ends the work leaves
an index that is right as far as it got, and the next run goes on from there. Vectors are float16;
words lie in an FTS5 table, which scores them by BM25 (Robertson et al. 1994).
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from mooer.agent.knowledge.passages import Passage
from mooer.agent.language import script_of
from mooer.errors import StoreError, first_line
from mooer.text import is_cjk

FORMAT = "1"  # of the tables, and of how documents are cut
_WAIT_S = 10.0  # for somebody else who writes
_TABLES = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, num_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL, sha256 TEXT NOT NULL, error TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS passages (
    id INTEGER PRIMARY KEY, file INTEGER NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL,
    is_chinese INTEGER NOT NULL, vector BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS passages_of_files ON passages (file);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(terms, content='', tokenize='unicode61');
CREATE VIRTUAL TABLE IF NOT EXISTS num_passages USING fts5vocab(words, 'row');
"""
_RUN = re.compile(r"[^\W_]+")
_MAX_TERMS = 12  # of a question, the rarest
_COMMON_PART = 0.2  # a word in so many of the passages says nothing, if there are many passages
_MANY = 1000

Floats = NDArray[np.float32]
Halves = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Known:
    """A file as it was when it was read."""

    name: str
    num_bytes: int
    mtime_ns: int
    sha256: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A passage of the index."""

    id: int
    name: str  # of its file
    heading: str
    text: str


class Index:
    """The file; used from any thread, by one at a time.

    `model` names what made the vectors, `width` is theirs. StoreError if the file is none of ours,
    is damaged, or is of another model.
    """

    def __init__(self, path: Path, *, model: str, width: int) -> None:
        self.path = path
        self.width = width
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=_WAIT_S, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._error(error) from error
        try:
            self._open({"format": FORMAT, "model": model, "width": str(width)})
        except sqlite3.Error as error:
            self._base.close()
            raise self._error(error) from error
        except StoreError:
            self._base.close()
            raise

    def _open(self, wanted: Mapping[str, str]) -> None:
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA trusted_schema = OFF")
        with self._base:
            self._base.executescript(_TABLES)
            rows = self._base.execute("SELECT name, value FROM about").fetchall()
            if not rows:
                self._base.executemany("INSERT INTO about VALUES (?, ?)", wanted.items())
        found = dict(rows) if rows else dict(wanted)
        for name, value in wanted.items():
            if found.get(name) != value:
                raise StoreError(
                    f"{self.path} is an index of {name} {found.get(name)!r}, not {value!r}: build "
                    "it anew (mooer knowledge build --anew)"
                )

    def files(self) -> dict[str, Known]:
        """The files that are in it, by name."""
        rows = self._rows("SELECT name, num_bytes, mtime_ns, sha256, error FROM files")
        return {row[0]: Known(*row) for row in rows}

    def num_passages(self) -> int:
        """How many it holds."""
        return int(self._rows("SELECT count(*) FROM passages")[0][0])

    def vectors_of(self, name: str) -> dict[tuple[str, str], Floats]:
        """The vectors of a file's passages by heading and text, for what of it is still there."""
        rows = self._rows(
            "SELECT heading, text, vector FROM passages WHERE file IN "
            "(SELECT id FROM files WHERE name = ?)",
            name,
        )
        return {(heading, text): _read(vector)[0] for heading, text, vector in rows}

    def put(self, file: Known, passages: Sequence[Passage], vectors: Floats) -> None:
        """A file with its passages and their vectors [N, W], in place of what was known of it."""
        with self._lock, self._told(), self._base:
            self._forget(file.name)
            place = self._base.execute(
                "INSERT INTO files (name, num_bytes, mtime_ns, sha256, error) "
                "VALUES (?, ?, ?, ?, ?)",
                (file.name, file.num_bytes, file.mtime_ns, file.sha256, file.error),
            ).lastrowid
            for passage, vector in zip(passages, vectors.astype(np.float16), strict=True):
                row = self._base.execute(
                    "INSERT INTO passages (file, heading, text, is_chinese, vector) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (
                        place,
                        passage.heading,
                        passage.text,
                        script_of(passage.text) == "zh",
                        vector.tobytes(),
                    ),
                ).lastrowid
                written = (row, _indexed(passage.heading, passage.text))
                self._base.execute("INSERT INTO words (rowid, terms) VALUES (?, ?)", written)

    def touch(self, file: Known) -> None:
        """The same content has another time."""
        with self._lock, self._told(), self._base:
            self._base.execute(
                "UPDATE files SET mtime_ns = ?, num_bytes = ? WHERE name = ?",
                (file.mtime_ns, file.num_bytes, file.name),
            )

    def drop(self, names: Iterable[str]) -> None:
        """Forget files and all that was in them."""
        with self._lock, self._told(), self._base:
            for name in names:
                self._forget(name)

    def _forget(self, name: str) -> None:
        row = self._base.execute("SELECT id FROM files WHERE name = ?", (name,)).fetchone()
        if row is None:
            return
        held = self._base.execute(
            "SELECT id, heading, text FROM passages WHERE file = ?", row
        ).fetchall()
        # A table that keeps no content must be told what it forgets.
        self._base.executemany(
            "INSERT INTO words (words, rowid, terms) VALUES ('delete', ?, ?)",
            [(place, _indexed(heading, text)) for place, heading, text in held],
        )
        self._base.execute("DELETE FROM passages WHERE file = ?", row)
        self._base.execute("DELETE FROM files WHERE id = ?", row)

    def vectors(self) -> tuple[NDArray[np.int64], Halves, NDArray[np.bool_]]:
        """The ids [N] and vectors [N, W] of all passages, and whether they are Chinese [N]."""
        rows = self._rows("SELECT id, vector, is_chinese FROM passages ORDER BY id")
        data = b"".join(row[1] for row in rows)
        if len(data) != 2 * self.width * len(rows):
            raise StoreError(f"{self.path} is damaged: build it anew")
        ids = np.fromiter((row[0] for row in rows), np.int64, len(rows))
        is_chinese = np.fromiter((row[2] for row in rows), np.bool_, len(rows))
        return ids, np.frombuffer(data, "<f2").reshape(len(rows), self.width), is_chinese

    def by_words(self, text: str, num: int) -> list[int]:
        """Ids of the passages that share words with a text, best first by BM25."""
        terms = self._telling(text)
        if not terms:
            return []
        asked = " OR ".join(f'"{term}"' for term in terms)  # of letters and digits alone
        rows = self._rows(
            "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?", asked, num
        )
        return [row[0] for row in rows]

    def _telling(self, text: str) -> list[str]:
        """The rarest terms of a text that are in the index."""
        terms = list(dict.fromkeys(terms_of(text)))[:200]
        marks = ", ".join("?" * len(terms))
        rows = self._rows(f"SELECT doc, term FROM num_passages WHERE term IN ({marks})", *terms)  # noqa: S608
        num = self.num_passages()
        most = num * _COMMON_PART if num >= _MANY else num
        return [term for doc, term in sorted(rows) if doc <= most][:_MAX_TERMS]

    def passages(self, ids: Sequence[int]) -> dict[int, Stored]:
        """Passages by id; one that was dropped meanwhile is absent."""
        marks = ", ".join("?" * len(ids))
        asked = (
            "SELECT p.id, f.name, p.heading, p.text FROM passages p JOIN files f ON f.id = p.file "
            "WHERE p.id IN "
        )
        asked += f"({marks})"
        rows = self._rows(asked, *ids)
        return {row[0]: Stored(*row) for row in rows}

    def version(self) -> int:
        """A number that is another one after somebody has written to the file."""
        return int(self._rows("PRAGMA data_version")[0][0]) + self._base.total_changes

    def close(self) -> None:
        """Let the file go."""
        self._base.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _rows(self, statement: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, self._told():
            return self._base.execute(statement, values).fetchall()

    def _told(self) -> _Told:
        return _Told(self)

    def _error(self, error: Exception) -> StoreError:
        return StoreError(
            f"the index {self.path} cannot be used ({first_line(error)}): wait for who else "
            "writes to it, name another place, or build it anew"
        )


class _Told:
    """What SQLite says goes wrong, as a StoreError."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, sqlite3.Error):
            raise self._index._error(error) from error


def terms_of(text: str) -> list[str]:
    """What of a text is looked up: words in lower case, and pairs of Chinese characters.

    >>> terms_of("Use GGUF 量化模型!")
    ['use', 'gguf', '量化', '化模', '模型']
    """
    found: list[str] = []
    for run in _RUN.findall(text.lower()):
        word = ""
        for i, char in enumerate(run):
            if not is_cjk(char):
                word += char
                continue
            if word:
                found.append(word)
                word = ""
            after = run[i + 1 : i + 2]
            before = run[i - 1 : i] if i else ""
            if after and is_cjk(after):
                found.append(char + after)
            elif not (before and is_cjk(before)):
                found.append(char)
        if word:
            found.append(word)
    return found


def _indexed(heading: str, text: str) -> str:
    return " ".join(terms_of(f"{heading}\n{text}"))


def _read(vector: bytes) -> Floats:
    return np.frombuffer(vector, "<f2").astype(np.float32)[None]
