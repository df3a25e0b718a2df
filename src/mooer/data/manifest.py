"""What the user names to what is read: files, folders, globs, wav.scp, JSONL, standard input.

Nothing is opened but the lists themselves: a missing or damaged recording is the matter of its
own item, so that a batch goes on without it.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mooer.errors import ManifestError

_SUFFIXES = (
    ".3gp .aac .ac3 .aif .aiff .amr .ape .au .avi .caf .flac .flv .m4a .m4b .m4v .mka .mkv .mov "
    ".mp2 .mp3 .mp4 .mpeg .mpg .oga .ogg .opus .ts .wav .webm .wma .wmv .wv"
)
AUDIO_SUFFIXES = frozenset(_SUFFIXES.split())
_MAX_STEM_BYTES = 180  # file systems allow 255 for a name; suffixes are still to come
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # on Windows
_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Item:
    """One input: its name in results, where it is read, and what a manifest says of it."""

    id: str
    path: str  # "-" is standard input
    fields: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)


def inputs(args: Iterable[str | os.PathLike[str]]) -> list[Item]:
    """Items of everything named in `args`, in that order; each id is unique as a file name.

    A folder is searched with its subfolders for files with a known suffix, sorted. ManifestError
    for a list that cannot be read, and for a folder or a glob that gives nothing.
    """
    items: list[Item] = []
    seen: set[str] = set()  # paths named directly: a file in a folder and by name is read once
    stems: set[str] = set()
    for arg in args:
        for item, listed in _expand(os.fspath(arg)):
            if not listed:
                key = item.path if item.path == "-" else str(Path(item.path).absolute())
                if key in seen:
                    continue
                seen.add(key)
            items.append(_unique(item, stems))
    return items


def _unique(item: Item, stems: set[str]) -> Item:
    """The item under an id whose file name is not taken yet: a, a-2, a-3."""
    name, number = item.id, 1
    while safe_stem(name) in stems:
        number += 1
        name = f"{item.id}-{number}"
        if len(name.encode()) > _MAX_STEM_BYTES:  # the number must survive the cut of safe_stem
            name = f"{safe_stem(item.id)}-{number}"
    stems.add(safe_stem(name))
    return Item(name, item.path, item.fields)


def _expand(arg: str) -> Iterator[tuple[Item, bool]]:
    """Items of one argument, and whether a manifest lists them."""
    path = Path(arg)
    if arg == "-":
        yield Item("stdin", "-"), False
    elif not arg:
        raise ManifestError("an input has an empty name: name a file, a folder or a manifest")
    elif path.is_dir():
        for found in _audio_files(path):
            yield Item(found.relative_to(path).with_suffix("").as_posix(), str(found)), False
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        yield from ((item, True) for item in read_jsonl(path))
    elif path.suffix.lower() == ".scp":
        yield from ((item, True) for item in read_scp(path))
    elif glob.has_magic(arg) and not path.exists():
        found_names = sorted(glob.glob(arg, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute pattern)
        if not found_names:
            raise ManifestError(f"nothing matches {arg!r}: check the pattern and the folder")
        for name in found_names:
            yield from _expand(name) if not glob.has_magic(name) else [_file(name)]
    else:
        yield _file(arg)


def _file(arg: str) -> tuple[Item, bool]:
    return Item(Path(arg).stem, arg), False


def _audio_files(folder: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [
            Path(root, name)
            for name in names
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES
        ]
    if not found:
        raise ManifestError(
            f"{str(folder)!r} holds no audio: name files, or a folder with files such as "
            ".wav, .flac, .mp3, .m4a, .ogg or .mp4"
        )
    return sorted(found)


def read_jsonl(path: str | os.PathLike[str]) -> list[Item]:
    """Items of a JSONL manifest: `audio` relative to its folder, `id` if given, all keys kept.

    ManifestError with the line for broken JSON, a missing key or an id that comes twice.
    """
    manifest = Path(path)
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in _lines(manifest):
        place = f"{manifest} line {number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ManifestError(f"{place} is not JSON ({error}): mend or remove it") from error
        if not isinstance(row, dict):
            raise ManifestError(f'{place} is no object: write {{"audio": "a.wav", ...}}')
        audio = row.get("audio", row.get("audio_filepath"))
        if not isinstance(audio, str) or not audio:
            raise ManifestError(f'{place} has no "audio" with the path of the recording: add it')
        given = row.get("id")
        if given is not None and not isinstance(given, str | int):
            raise ManifestError(f'{place} has an "id" that is no string: got {given!r}')
        name = Path(audio).stem if given in (None, "") else str(given)
        if given not in (None, ""):
            _once(name, number, lines, manifest)
        items.append(Item(name, str(manifest.parent / audio), MappingProxyType(row)))
    return _some(items, manifest)


def read_scp(path: str | os.PathLike[str]) -> list[Item]:
    """Items of a Kaldi wav.scp: an id and a path on each line.

    A relative path is looked for from the list's folder, then from the working folder, which is
    what Kaldi means. ManifestError for a command that ends in `|`: nothing here runs commands.
    """
    manifest = Path(path)
    items: list[Item] = []
    lines: dict[str, int] = {}
    for number, line in _lines(manifest):
        place = f"{manifest} line {number}"
        name, *rest = line.split(maxsplit=1)
        if not rest:
            raise ManifestError(f"{place} has no path after the id {name!r}: write 'id path'")
        audio = rest[0].strip()
        if audio.endswith("|"):
            raise ManifestError(
                f"{place} is a command, which is not run: convert the recordings first and "
                "list the resulting files"
            )
        _once(name, number, lines, manifest)
        beside = manifest.parent / audio
        items.append(
            Item(name, audio if not beside.exists() and Path(audio).exists() else str(beside))
        )
    return _some(items, manifest)


def _lines(manifest: Path) -> list[tuple[int, str]]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestError(f"{manifest} is not UTF-8 ({error}): convert it") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ManifestError(f"cannot read {manifest}: {reason}") from error
    # Not splitlines: a string of JSON may hold U+2028, which is no end of a line.
    return [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]


def _once(name: str, number: int, lines: dict[str, int], manifest: Path) -> None:
    if name in lines:
        raise ManifestError(
            f"{manifest} line {number} has the id {name!r} of line {lines[name]}: "
            "give each line its own"
        )
    lines[name] = number


def _some(items: list[Item], manifest: Path) -> list[Item]:
    if not items:
        raise ManifestError(f"{manifest} lists nothing: write one entry a line")
    return items


def safe_stem(id: str) -> str:
    """A file name without suffix for `id`: one path part, on every system, never hidden.

    >>> safe_stem("../../etc/passwd"), safe_stem("会议 1"), safe_stem("")
    ('_.._etc_passwd', '会议 1', '_')
    """
    name = "".join(
        "_" if c in '/\\:*?"<>|' or unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c
        for c in id
    )
    name = name.strip(" .") or "_"
    if _RESERVED.fullmatch(name):
        name = f"_{name}"
    if len(name.encode()) > _MAX_STEM_BYTES:
        digest = hashlib.sha256(id.encode("utf-8", "replace")).hexdigest()[:8]
        name = f"{name.encode()[: _MAX_STEM_BYTES - 9].decode('utf-8', 'ignore')}-{digest}"
    return name
