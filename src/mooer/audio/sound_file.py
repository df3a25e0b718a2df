"""A file of sound that is written while it is made, and appears under its name when it is whole.

with SoundFile("talk.mp3", rate_hz=24_000) as file:
    for samples in blocks:
        file.write(samples)
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from mooer.audio.encoders import Encoder, encoder_for, tell_length
from mooer.audio.pcm import Floats
from mooer.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from typing_extensions import Self

# What a file of each suffix is, by the names of `audio.encoders`.
SUFFIXES = {
    ".wav": "wav",
    ".flac": "flac",
    ".mp3": "mp3",
    ".opus": "opus",
    ".ogg": "opus",
    ".aac": "aac",
}


def check_suffix(path: Path) -> str:
    """The format of a file by its suffix. ConfigError for one that is not written."""
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise ConfigError(
            f"{path} has no suffix of a sound that is written here: give it one of "
            f"{', '.join(SUFFIXES)}"
        ) from None


class SoundFile:
    """Mono sound on its way to a file; a context manager, of bounded memory.

    Left by ctrl-C, what was written stays, whole and to be played, under the name `partial`
    (talk.part.mp3). Left by an error, nothing stays. OutputError if it cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], rate_hz: int) -> None:
        self.path = Path(path)
        format = check_suffix(self.path)
        self.partial = self.path.with_suffix(f".part{self.path.suffix}")
        self.num_samples = 0  # written so far, at the rate given
        self._is_wav = format == "wav"
        self._encoder: Encoder = encoder_for(format, rate_hz)
        self._temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = self._temporary.open("wb")
        except OSError as error:
            raise self._failure(error) from error

    def write(self, samples: Floats) -> None:
        """The next samples [T] in [-1, 1]; values beyond are cut."""
        if not len(samples):
            return
        self.num_samples += len(samples)
        self._put(self._encoder.push(samples))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish(self.path)
        elif issubclass(kind, KeyboardInterrupt):
            self._finish(self.partial)
        else:
            self._discard()

    def _finish(self, path: Path) -> None:
        try:
            self._put(self._encoder.finish())
            if self._is_wav:
                tell_length(self._file)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(path)
        except OSError as error:
            self._discard()
            raise self._failure(error) from error

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failure(error) from error

    def _discard(self) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _failure(self, error: OSError) -> OutputError:
        if isinstance(error, OutputError):
            return error
        reason = error.strerror or error
        return OutputError(
            f"cannot write {self.path}: {reason}; free some space or name another place"
        )
