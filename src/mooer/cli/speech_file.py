"""A file of spoken sound that grows clause by clause and can be played wherever it ends."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from mooer.audio.encoders import MEDIA_TYPES, encoder_for, tell_length
from mooer.errors import ConfigError, OutputError, did_you_mean

_FORMAT_OF = {"ogg": "opus", "raw": "pcm"} | {name: name for name in MEDIA_TYPES}


def format_of(path: str, format: str | None) -> str:
    """The format that was asked for, or that the suffix names. ConfigError for another."""
    name = (format or Path(path).suffix.lstrip(".")).lower()
    if path == "-" and not format:
        name = "wav"
    if name not in _FORMAT_OF:
        raise ConfigError(
            f"cannot tell the format of {path!r}: give it a suffix or add --format: "
            + did_you_mean(name, _FORMAT_OF)
        )
    return _FORMAT_OF[name]


class SpeechFile:
    """A context manager; the file is begun with the first samples, not before.

    What was there is kept if nothing comes. "-" is standard output. OutputError if it cannot be
    written.
    """

    def __init__(self, path: str, format: str, rate_hz: int) -> None:
        self.path = path
        self._is_wav = format == "wav"
        self._encoder = encoder_for(format, rate_hz)
        self._file: BinaryIO | None = None

    def write(self, samples: NDArray[np.float32]) -> None:
        """Samples [T] after those before them."""
        self._put(self._encoder.push(samples))

    def __enter__(self) -> SpeechFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Also after an error, or ctrl-C: what was said until then can be played."""
        if self._file is None:
            return
        self._put(self._encoder.finish())
        if self._file is not sys.stdout.buffer:
            self._file.close()

    def _put(self, data: bytes) -> None:
        try:
            if self._file is None:
                is_out = self.path == "-"
                file = sys.stdout.buffer if is_out else Path(self.path).open("wb")  # noqa: SIM115
                self._file = file
            self._file.write(data)
            if self._is_wav and self.path != "-":
                tell_length(self._file)
            self._file.flush()
        except OSError as error:
            raise OutputError(
                f"cannot write {self.path}: {error.strerror or error}; free some space or name "
                "another place by -o"
            ) from error
