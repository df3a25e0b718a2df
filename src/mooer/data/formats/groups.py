"""Tars in which the files of an utterance stand together: u1.txt, u1.wav, u1.json."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mooer.data.formats.base import Notes, located_path
from mooer.data.tar import Member, members, read_member
from mooer.errors import ManifestError

SUFFIXES = ("flac", "mp3", "m4a", "ogg", "opus", "wav", "wma")


@dataclass
class Group:
    """The files of one name: the sound, and short texts beside it by their suffix."""

    key: str
    tar: str
    sound: Member | None = None
    texts: dict[str, str] = field(default_factory=dict)


def tars(path: Path) -> list[str]:
    """A tar itself, those of a folder, or those of a list with one path a line."""
    if path.is_dir():
        found = sorted(str(name) for name in path.glob("*.tar"))
        if not found:
            raise ManifestError(f"{path} holds no .tar: name a folder of shards, or a list of them")
        return found
    if path.suffix == ".tar":
        return [str(path)]
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read {path}: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    for name in names:
        if "://" in name:
            raise ManifestError(f"{path} lists the address {name}: fetch the tars first")
    if not names:
        raise ManifestError(f"{path} lists nothing: write the path of one tar a line")
    return [located_path(path.parent, name) for name in names]


def groups(path: str, notes: Notes, *, max_text_bytes: int = 1 << 20) -> Iterator[Group]:
    """The utterances of one tar that have a sound; ManifestError if the tar is damaged."""
    group: Group | None = None
    with Path(path).open("rb") as file:
        for member in members(path):
            key, suffix = os.path.splitext(member.name)  # noqa: PTH122 (keys may hold dots)
            if group is None or key != group.key:
                if group is not None:
                    yield from _with_sound(group, notes)
                group = Group(key, os.path.abspath(path))  # noqa: PTH100
            if suffix[1:].lower() in SUFFIXES:
                group.sound = member
            elif member.num_bytes <= max_text_bytes:
                data = read_member(file, member, path)
                try:
                    group.texts[suffix[1:]] = data.decode("utf-8").strip()
                except UnicodeDecodeError:
                    notes.add(f"{suffix}: files that are no text, passed over")
    if group is not None:
        yield from _with_sound(group, notes)


def _with_sound(group: Group, notes: Notes) -> Iterator[Group]:
    if group.sound is None:
        notes.add("names without a sound in a tar, passed over")
    else:
        yield group
