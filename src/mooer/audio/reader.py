"""The bytes of a sound, wherever they come from, as one object that FFmpeg reads through.

FFmpeg never gets a path or an address: what it can read is what stands here, so no playlist or
script in disguise makes it open another file or the network.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import BinaryIO

from mooer.errors import AudioError

_START_BYTES = 12  # enough to tell containers apart
_HEAD_BYTES = 4096
_SPOOL_BYTES = 32 << 30  # about two days of CD sound, and far beyond any recording
_MIB = 1 << 20
# These can be decoded from front to back; of the rest some (m4a) keep their index at the end.
_FLOWING = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"\x1aE\xdf\xa3", b"#!AMR", b".snd")


class AudioNotFoundError(AudioError, FileNotFoundError):
    """There is no such file."""


class Reader:
    """A binary file as PyAV wants it; `close` closes what was opened here and nothing else.

    A failure inside a callback cannot travel through FFmpeg. It is kept in `failure`, FFmpeg
    sees the end of the file, and the caller raises it (`check`). `start` holds the first bytes,
    `head` more of them, as far as FFmpeg has read.
    """

    def __init__(self, file: BinaryIO, name: str, *, owned: bool, start: bytes = b"") -> None:
        self.name = name
        self.head = b""
        self.failure: BaseException | None = None
        self._file = file
        self._owned = owned
        self._pending = start  # what was read of a pipe to recognise it
        self._seekable = not start and _is_seekable(file)
        # `read1` gives what a pipe has, where `read` would wait until the buffer is full.
        self._read_some = file.read if self._seekable else getattr(file, "read1", file.read)
        self._origin = file.tell() if self._seekable else 0
        self._size = file.seek(0, os.SEEK_END) - self._origin if self._seekable else None
        if self._seekable:
            file.seek(self._origin)
            start = file.read(_START_BYTES) or b""
            file.seek(self._origin)
        if not isinstance(start, bytes):
            raise AudioError(f"{name} gives text: open it in binary mode")
        self.start = start[:_START_BYTES]
        self._idle_bytes = 0

    @property
    def size(self) -> int | None:
        """Bytes in all; None for a pipe."""
        return self._size

    def seekable(self) -> bool:
        """Whether FFmpeg may move about."""
        return self._seekable

    def read(self, size: int) -> bytes:
        """At most `size` bytes; b"" at the end and after a failure."""
        if self.failure is not None:
            return b""
        try:
            data = self._read(size)
            self._idle_bytes += len(data)
            # A damaged index can send a demuxer round in circles.
            if self._idle_bytes > 64 * _MIB + 4 * (self._size or 64 * _MIB):
                raise AudioError(f"{self.name} is damaged: its index runs in circles; convert it")
        except BaseException as error:
            self.failure = error
            return b""
        if len(self.head) < _HEAD_BYTES and (not self._seekable or self._at_head):
            self.head += data[: _HEAD_BYTES - len(self.head)]
        return data

    def _read(self, size: int) -> bytes:
        if self._pending:
            data, self._pending = self._pending[:size], self._pending[size:]
            return data
        self._at_head = self._seekable and self._file.tell() - self._origin == len(self.head)
        return self._read_some(size) or b""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move, counted from where the caller's file stood when it was handed over."""
        if whence == os.SEEK_SET:
            offset += self._origin
        try:
            return self._file.seek(offset, whence) - self._origin
        except (OSError, ValueError):  # a place before the beginning, which headers can ask for
            return -1

    def tell(self) -> int:
        """Bytes from the beginning."""
        return self._file.tell() - self._origin

    def progress(self) -> None:
        """Note that the bytes read so far were of use."""
        self._idle_bytes = 0

    def check(self) -> None:
        """Raise what went wrong while FFmpeg read."""
        if self.failure is None:
            return
        if isinstance(self.failure, Exception) and not isinstance(self.failure, AudioError):
            raise AudioError(f"{self.name} cannot be read: {self.failure}") from self.failure
        raise self.failure

    def close(self) -> None:
        """Close the file, if it was opened here."""
        if self._owned:
            self._file.close()


def _is_seekable(file: BinaryIO) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if seekable else hasattr(file, "seek") and hasattr(file, "tell")


def open_reader(source: str | os.PathLike[str] | bytes | BinaryIO) -> Reader:
    """A `Reader` over a path ("-" is standard input), the bytes of a file, or an open file.

    Raises `AudioError` with the reason if there is nothing to read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return Reader(io.BytesIO(source), "the audio data", owned=True)
    if isinstance(source, str) and source == "-":
        if sys.stdin is None:
            raise AudioError("standard input is closed: name a file")
        return _readable(sys.stdin.buffer, "standard input", owned=False)
    if isinstance(source, str | os.PathLike):
        return _open_path(source)
    if not hasattr(source, "read"):
        raise AudioError(
            f"a sound is given as a path, bytes, an open file or a numpy array, "
            f"not as {type(source).__name__}"
        )
    name = getattr(source, "name", None)
    return _readable(source, name if isinstance(name, str) else "the open file", owned=False)


def _open_path(source: str | os.PathLike[str]) -> Reader:
    name = os.fspath(source)
    if not isinstance(name, str):
        name = os.fsdecode(name)
    try:
        path = Path(name)
        if path.is_dir():
            raise AudioError(f"{name} is a folder: name the sound files in it")
        return _readable(path.open("rb"), name, owned=True)
    except FileNotFoundError:
        if "://" in name:
            raise AudioNotFoundError(
                f"{name} is an address, not a file: download it first"
            ) from None
        raise AudioNotFoundError(f"{name} does not exist: check the path") from None
    except (OSError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name!r} cannot be opened: {reason}") from None


def _readable(file: BinaryIO, name: str, *, owned: bool) -> Reader:
    """The file itself if it can be sought or need not be, a copy on disk otherwise."""
    if _is_seekable(file):
        return Reader(file, name, owned=owned)
    start = b""
    while len(start) < _START_BYTES and (piece := file.read(_START_BYTES - len(start))):
        if not isinstance(piece, bytes):
            raise AudioError(f"{name} gives text: open it in binary mode")
        start += piece
    sync = len(start) > 1 and start[0] == 0xFF and start[1] & 0xE0 == 0xE0  # mp3, raw aac
    if start.startswith(_FLOWING) or sync or not start:
        return Reader(file, name, owned=owned, start=start)
    spool = tempfile.TemporaryFile(prefix="mooer-")  # noqa: SIM115 - the Reader closes it
    try:
        spool.write(start)
        while piece := file.read(_MIB):
            spool.write(piece)
            if spool.tell() > _SPOOL_BYTES:
                raise AudioError(f"{name} is longer than {_SPOOL_BYTES >> 30} GiB: save it first")
    except OSError as error:
        spool.close()
        raise AudioError(f"{name} cannot be kept on disk to be read ({error})") from None
    except BaseException:
        spool.close()
        raise
    finally:
        if owned:
            file.close()
    spool.seek(0)
    return Reader(spool, name, owned=True)
