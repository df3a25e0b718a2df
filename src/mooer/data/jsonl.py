"""JSON lines: read strictly with line numbers, written whole or not at all; `.gz` by its suffix."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from mooer.errors import ManifestError, OutputError


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line's place ("m.jsonl line 3") and object, one by one; blank lines are passed over.

    ManifestError for what cannot be read, is not UTF-8, no JSON or no object.
    """
    source = Path(path)
    for number, line in raw_lines(source):
        place = f"{source} line {number}"
        yield place, parse_row(line, place)


def parse_row(line: bytes, place: str) -> dict[str, Any]:
    """The object of one line; ManifestError says at `place` what is wrong with it."""
    try:
        row = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ManifestError(f"{place} is not UTF-8 ({error}): convert it") from error
    except ValueError as error:
        raise ManifestError(f"{place} is not JSON ({error}): mend or remove it") from error
    except RecursionError as error:
        raise ManifestError(f"{place} is nested too deep to be read: remove it") from error
    if not isinstance(row, dict):
        raise ManifestError(f'{place} is no object: write {{"audio": "a.wav", ...}}')
    return row


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def raw_lines(source: Path) -> Iterator[tuple[int, bytes]]:
    """Numbers and bytes of the lines that are not blank; ManifestError if it cannot be read."""
    try:
        with gzip.open(source, "rb") if source.suffix == ".gz" else source.open("rb") as file:
            for number, line in enumerate(file, 1):
                clean = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if clean.strip():
                    yield number, clean
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ManifestError(f"cannot read {source}: {reason}") from error


def write_rows(path: str | os.PathLike[str], rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one object a line under a hidden name, then rename; returns their number."""
    return write_lines(path, (json.dumps(r, ensure_ascii=False, allow_nan=False) for r in rows))


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> int:
    """Write lines of text under a hidden name, then rename; returns their number.

    OutputError if it cannot be written; then what stood there before still stands.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    number = 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                for number, line in enumerate(lines, 1):  # noqa: B007 (it is returned)
                    file.write(line.encode("utf-8", "surrogatepass") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            if target.suffix == ".gz":
                _compress(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    return number


def _compress(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    try:
        with (
            path.open("rb") as plain,
            packed.open("wb") as raw,
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as file,
        ):
            shutil.copyfileobj(plain, file)
        packed.replace(path)
    finally:
        packed.unlink(missing_ok=True)
