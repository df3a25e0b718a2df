r"""ARPA files of n-gram models, read and written; log10 in the file, plain text or gzip.

    \data\
    ngram 1=4
    ngram 2=3

    \1-grams:
    -0.6	hello	-0.3        log10 p, the words, log10 of the back-off weight (0 if it is absent)
    …
    \2-grams:
    …
    \end\

What is not as it should be is refused with the number of its line. Of a model without <unk> unknown
words have log10 p = -100, as KenLM reads it.
"""

from __future__ import annotations

import codecs
import gzip
import logging
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import IO, NoReturn, cast

import numpy as np

from mooer.decoding.lm.ngram import UNKNOWN, UNKNOWN_LOG10
from mooer.decoding.lm.tables import Floats, Ids, Tables, empty_order, require_ends
from mooer.errors import ModelError
from mooer.files import whole_file

logger = logging.getLogger(__name__)

GZIP = b"\x1f\x8b"
_NUM_LINES = 4_000  # at once; with more, Python's collector goes through them again and again
_MAX_ORDER = 12
_CAPITAL_UNKNOWN = b"<UNK>"


def read_arpa(path: Path) -> Tables:
    """The n-grams of a file. ModelError says which line is wrong, or that the file is cut short."""
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == GZIP
        with gzip.open(path) if zipped else path.open("rb") as file:
            return _Reader(cast(IO[bytes], file), path).tables()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ModelError(f"{path} is no whole gzip file ({error}): fetch it again") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the path") from None


def write_arpa(tables: Tables, path: Path) -> None:
    """Write a file, in gzip if its name ends in .gz. Numbers are read back as they were."""
    with whole_file(path) as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0) as file:
                for part in _parts(tables):
                    file.write(part.encode())
        else:
            for part in _parts(tables):
                raw.write(part.encode())


def _parts(tables: Tables) -> Iterator[str]:
    counts = "".join(f"ngram {k}={count}\n" for k, count in enumerate(tables.counts, 1))
    yield f"\\data\\\n{counts}"
    units = tables.units
    for k, (ngrams, probs) in enumerate(zip(tables.ngrams, tables.probs, strict=True)):
        yield f"\n\\{k + 1}-grams:\n"
        for begin in range(0, len(ngrams), _NUM_LINES):
            part = slice(begin, begin + _NUM_LINES)
            columns = [probs[part].astype("U").tolist()]
            rows = ngrams[part].tolist()
            columns.append([" ".join([units[i] for i in row]) for row in rows])
            if k + 1 < tables.order:
                columns.append(tables.backoffs[k][part].astype("U").tolist())
            yield "".join(["\t".join(row) + "\n" for row in zip(*columns, strict=True)])
    yield "\n\\end\\\n"


class _Reader:
    """A place in a file, which knows the number of its line."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file = file
        self.path = path
        self.number = 0  # of the line read last
        self.ids: dict[bytes, int] = {}
        self.units: list[str] = []

    def tables(self) -> Tables:
        counts = self._counts()
        orders = [self._order(k, count, len(counts)) for k, count in enumerate(counts, 1)]
        self._expect(b"\\end\\")
        if rest := self._line():
            self._refuse(f"{_shown(rest)} stands behind \\end\\")
        ngrams = [ngrams for ngrams, _, _ in orders]
        probs = [probs for _, probs, _ in orders]
        backoffs = [backoffs for _, _, backoffs in orders]
        if UNKNOWN not in self.units:
            logger.warning("%s has no <unk>: unknown words are given 1e-100 each", self.path.name)
            ngrams[0] = np.append(ngrams[0], [[len(self.units)]], axis=0).astype(np.int32)
            probs[0] = np.append(probs[0], np.float32(UNKNOWN_LOG10))
            backoffs[0] = np.append(backoffs[0], np.float32(0))
            self.units.append(UNKNOWN)
        require_ends(self.units, str(self.path))
        return Tables(tuple(self.units), tuple(ngrams), tuple(probs), tuple(backoffs[:-1]))

    def _order(self, k: int, count: int, order: int) -> tuple[Ids, Floats, Floats]:
        self._expect(f"\\{k}-grams:".encode())
        parts = [(*empty_order(k), np.zeros(0, np.float32))]
        parts += [self._ngrams(lines, k, order) for lines in self._blocks(k, count)]
        return (
            np.concatenate([ngrams for ngrams, _, _ in parts]),
            np.concatenate([probs for _, probs, _ in parts]),
            np.concatenate([backoffs for _, _, backoffs in parts]),
        )

    def _counts(self) -> list[int]:
        line = self._line(b"#")
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._refuse("it is UTF-16: convert it to UTF-8")
        if line != b"\\data\\":
            self._refuse(f"it begins with {_shown(line)} and not with \\data\\")
        counts: list[int] = []
        while line := self.file.readline().strip():
            self.number += 1
            name, _, count = line.partition(b"=")
            if name.split() != [b"ngram", b"%d" % (len(counts) + 1)] or not count.strip().isdigit():
                self._refuse(f"{_shown(line)} is not `ngram {len(counts) + 1}=` and a count")
            counts.append(int(count))
        self.number += 1
        if not 1 <= len(counts) <= _MAX_ORDER or not counts[0]:
            self._refuse(f"it counts n-grams of {len(counts)} orders")
        return counts

    def _blocks(self, k: int, count: int) -> Iterator[list[bytes]]:
        """The lines of an order, some at a time."""
        left = count
        while left:
            lines = list(islice(self.file, min(left, _NUM_LINES)))
            if not lines:
                self._refuse(f"it ends {left} lines before the end of its {count} {k}-grams")
            yield lines
            self.number += len(lines)
            left -= len(lines)

    def _ngrams(self, lines: list[bytes], k: int, order: int) -> tuple[Ids, Floats, Floats]:
        rows = [line.split() for line in lines]
        widths = set(map(len, rows))
        if not widths <= {k + 1, k + 2}:
            wrong = next(i for i, row in enumerate(rows) if len(row) not in (k + 1, k + 2))
            self._refuse(self._misfit(lines[wrong], k), wrong)
        if len(widths) > 1:
            rows = [row if len(row) == k + 2 else [*row, b"0"] for row in rows]
        columns = list(zip(*rows, strict=True))
        log10 = self._numbers(columns[0])
        if (log10 > 0).any():
            wrong = int(np.argmax(log10 > 0))
            self._refuse(f"{_shown(lines[wrong])} has a probability above 1", wrong)
        backoffs = self._numbers(columns[k + 1]) if len(columns) > k + 1 else np.zeros_like(log10)
        if k == order and backoffs.any():
            wrong = int(np.argmax(backoffs != 0))
            self._refuse(f"{_shown(lines[wrong])} is of the highest order but backs off", wrong)
        words = self._learn(columns[1]) if k == 1 else self._known(columns[1 : k + 1], lines)
        return words, log10, backoffs

    def _numbers(self, column: Sequence[bytes]) -> Floats:
        try:
            found = np.array(list(map(float, column)), np.float32)
        except ValueError:
            wrong = next(i for i, text in enumerate(column) if not _is_number(text))
            self._refuse(f"{_shown(column[wrong])} is no number", wrong)
        if not np.isfinite(found).all():
            wrong = int(np.argmin(np.isfinite(found)))
            self._refuse(f"{_shown(column[wrong])} is no finite number", wrong)
        return found

    def _learn(self, column: Sequence[bytes]) -> Ids:
        """Give the unigrams their ids, in their order."""
        begin = len(self.ids)
        for i, word in enumerate(column):
            if word in self.ids:
                self._refuse(f"the unigram {_shown(word)} is there twice", i)
            self.ids[word] = begin + i
            try:
                self.units.append(word.decode())
            except UnicodeDecodeError:
                self._refuse(f"{_shown(word)} is not UTF-8: convert the file", i)
        if _CAPITAL_UNKNOWN in column and UNKNOWN.encode() not in self.ids:  # of some tools
            self.units[self.ids[_CAPITAL_UNKNOWN]] = UNKNOWN
        return np.arange(begin, len(self.ids), dtype=np.int32)[:, None]

    def _known(self, columns: Sequence[Sequence[bytes]], lines: list[bytes]) -> Ids:
        unknown = repeat(-1)
        found = np.array([list(map(self.ids.get, column, unknown)) for column in columns], np.int32)
        if (found < 0).any():
            wrong = int(np.argmax((found < 0).any(0)))
            self._refuse(f"{_shown(lines[wrong])} has a word that is no unigram", wrong)
        return np.ascontiguousarray(found.T)

    def _misfit(self, line: bytes, k: int) -> str:
        if not line.strip() or line.startswith(b"\\"):
            return f"there are fewer {k}-grams than it counts"
        return f"{_shown(line)} is not a number, {k} words and at most one number more"

    def _expect(self, header: bytes) -> None:
        line = self._line()
        if line == header:
            return
        if not line:
            self._refuse(f"it ends before {header.decode()}")
        fewer = b"" if line.startswith(b"\\") else b": there are more n-grams than it counts"
        self._refuse(f"{_shown(line)} stands where {header.decode()} should{fewer.decode()}")

    def _line(self, remark: bytes = b"") -> bytes:
        """The next line that is not empty and, if there are such, no remark; b"" at the end."""
        for line in self.file:
            self.number += 1
            text = line.removeprefix(codecs.BOM_UTF8).strip() if self.number == 1 else line.strip()
            if text and not (remark and text.startswith(remark)):
                return text
        return b""

    def _refuse(self, why: str, row: int = -1) -> NoReturn:
        """Refuse the line read last, or a row of those read behind it."""
        raise ModelError(
            f"{self.path} line {self.number + row + 1} is not as in an ARPA file ({why}): fetch it "
            "again or make it anew"
        )


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _shown(text: bytes) -> str:
    return repr(text.strip()[:60].decode(errors="replace"))
