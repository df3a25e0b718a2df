"""Tar archives as lists of members to be read in place: nothing is ever extracted.

Links, devices, absolute names and names with `..` are refused: a set of recordings needs none.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mooer.errors import ManifestError

BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a tar, and where its bytes stand."""

    name: str
    offset_bytes: int
    num_bytes: int


def members(path: str | os.PathLike[str]) -> Iterator[Member]:
    """The files of a tar in their order, by its headers alone.

    ManifestError for an archive that is compressed, damaged, cut off or has a member that a set
    of recordings does not have.
    """
    try:
        with Path(path).open("rb") as file:
            try:
                archive = tarfile.open(fileobj=file, mode="r:", errorlevel=2)  # noqa: SIM115
            except tarfile.TarError as error:
                raise ManifestError(_unreadable(path, file, error)) from error
            try:
                for info in archive:
                    archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                    if info.isdir():
                        continue
                    check_member(info, path)
                    yield Member(info.name, info.offset_data, info.size)
            except tarfile.TarError as error:
                raise ManifestError(f"{path} is damaged or cut off ({error})") from error
            file.seek(archive.offset)
            end = file.read(BLOCK_BYTES)
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror or error}") from error
    if end != bytes(BLOCK_BYTES):  # `tarfile` ends in silence at a header that it cannot read
        raise ManifestError(f"{path} is damaged or cut off: it has no end mark")


def _unreadable(path: str | os.PathLike[str], file: BinaryIO, error: Exception) -> str:
    file.seek(0)
    start = file.read(6)
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        return f"{path} is compressed, and cannot be read in place: unpack it to .tar"
    return f"{path} is no tar archive, empty or cut off ({error})"


def check_member(info: tarfile.TarInfo, path: str | os.PathLike[str]) -> None:
    """ManifestError for a member that is no plain file, or whose name leads elsewhere."""
    name = PurePosixPath(info.name)
    if not info.isreg():
        raise ManifestError(
            f"{path} holds {info.name!r}, which is a link or a device: pack plain files only"
        )
    if name.is_absolute() or ".." in name.parts or "\\" in info.name or "\0" in info.name:
        raise ManifestError(f"{path} holds {info.name!r}, a name that leads elsewhere: repack it")


def read_member(file: BinaryIO, member: Member, path: str | os.PathLike[str]) -> bytes:
    """Bytes of a member, whose header is compared with what a list says of it.

    ManifestError if there is another member at that place, or the archive ends before its end.
    """
    start = member.offset_bytes - BLOCK_BYTES
    if file.tell() != start:
        file.seek(max(0, start))
    head = file.read(BLOCK_BYTES)
    try:
        info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        raise ManifestError(
            f"{path} has no member at byte {member.offset_bytes} ({error}): it is cut off, or "
            "its list belongs to another archive"
        ) from error
    check_member(info, path)
    # A name of more than 100 bytes stands in a header of its own; here is its beginning.
    same_name = info.name == member.name or (
        len(member.name.encode("utf-8", "surrogateescape")) > 100
        and member.name.startswith(info.name)
    )
    if not same_name or info.size != member.num_bytes:
        raise ManifestError(
            f"{path} holds {info.name!r} ({info.size} bytes) where its list has {member.name!r} "
            f"({member.num_bytes} bytes): the list belongs to another archive"
        )
    data = file.read(member.num_bytes)
    if len(data) < member.num_bytes:
        raise ManifestError(f"{path} is cut off in the middle of {member.name!r}")
    return data


class TarWriter:
    """Writes plain files into a tar that is the same for the same input: no times, no owners."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT)  # noqa: SIM115

    def add(self, name: str, data: bytes) -> Member:
        """Append a file; returns where it stands."""
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        self._tar.addfile(info, io.BytesIO(data))
        padded = -(-len(data) // BLOCK_BYTES) * BLOCK_BYTES
        return Member(name, self._file.tell() - padded, len(data))

    def close(self) -> None:
        """Write the end mark; the file stays open."""
        self._tar.close()
