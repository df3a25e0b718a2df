"""Any sound a person has, as blocks of mono float32 at 16 kHz in [-1, 1].

    with open_wave("talk.mp4") as wave:
        for block in wave.blocks(10.0):
            ...
        print(wave.warnings)

Everything is decoded, mixed down and resampled piece by piece: three hours take no more memory
than three seconds.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mooer.audio.container import Container
from mooer.audio.pcm import Floats, Mixer, split_channels
from mooer.audio.reader import AudioNotFoundError, Reader, open_reader
from mooer.audio.resample import Resampler, check_rate
from mooer.errors import AudioError, OutputError

__all__ = [
    "SAMPLE_RATE_HZ",
    "AudioNotFoundError",
    "Source",
    "Wave",
    "open_wave",
    "read_wave",
    "write_wave",
]

SAMPLE_RATE_HZ = 16_000
Source = str | os.PathLike[str] | bytes | BinaryIO | np.ndarray[Any, Any]

_log = logging.getLogger(__name__)


class Wave:
    """One opened sound; a context manager, read once by `blocks`.

    `duration_s` is what the header claims, or None; `rate_hz`, `num_channels`, `format` and
    `codec` say what the source is; `num_samples` counts what was read so far, at 16 kHz.
    """

    def __init__(self, name: str, pieces: _Container | _Array) -> None:
        self.name = name
        self._pieces = pieces
        self.duration_s = pieces.duration_s
        self.rate_hz = pieces.rate_hz
        self.num_channels = pieces.num_channels
        self.format = pieces.format
        self.codec = pieces.codec
        self.num_samples = 0
        self._mixer = Mixer()
        self._started = False
        self._late: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What was amiss, in sentences; complete once `blocks` has ended."""
        return [*self._pieces.notes, *self._mixer.notes(), *self._late]

    def blocks(self, block_s: float = 10.0) -> Iterator[Floats]:
        """Float32 [block_s * 16000] at a time, the last one shorter; memory does not grow.

        Raises `AudioError` if the sound turns out to hold no sample at all.
        """
        if self._started:
            raise AudioError(f"{self.name} was read already: open it again")
        self._started = True
        size = max(1, round(block_s * SAMPLE_RATE_HZ))
        ready: list[Floats] = []
        num_ready = 0
        for piece in self._resampled():
            ready.append(piece)
            num_ready += len(piece)
            if num_ready < size:
                continue
            joined = np.concatenate(ready) if len(ready) > 1 else ready[0]
            for start in range(0, num_ready - size + 1, size):
                self.num_samples += size
                yield joined[start : start + size]
            ready = [joined[num_ready - num_ready % size :]]
            num_ready %= size
        if num_ready:
            self.num_samples += num_ready
            yield np.concatenate(ready)
        self._judge()

    def _resampled(self) -> Iterator[Floats]:
        resampler, rate_hz = None, 0
        for samples, piece_rate_hz in self._pieces.pieces(self._mixer):
            if resampler is None or piece_rate_hz != rate_hz:
                if resampler is not None:
                    yield resampler.flush()
                resampler, rate_hz = Resampler(piece_rate_hz, SAMPLE_RATE_HZ), piece_rate_hz
            yield resampler.push(samples)
        if resampler is not None:
            yield resampler.flush()

    def _judge(self) -> None:
        """Compare what was read with what the header claims."""
        read_s = self.num_samples / SAMPLE_RATE_HZ
        if self.num_samples == 0:
            claim = f"its header claims {self.duration_s:.1f} s, but " if self.duration_s else ""
            raise AudioError(f"{self.name} holds no sound: {claim}not one sample could be read")
        if self.duration_s is None or not self._pieces.claim_is_exact:
            return
        tolerance_s = 0.2 + 0.01 * self.duration_s
        if read_s < self.duration_s - tolerance_s:
            self._late.append(
                f"ends early: {read_s:.1f} s of {self.duration_s:.1f} s could be read"
            )
        elif read_s > self.duration_s + tolerance_s:
            self._late.append(
                f"is longer than its header claims: {read_s:.1f} s, not {self.duration_s:.1f} s"
            )

    def close(self) -> None:
        """Close what `open_wave` opened; a file that the caller opened stays open."""
        self._pieces.close()

    def __enter__(self) -> Wave:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Container(Container):
    """A container together with the reader under it."""

    def __init__(self, reader: Reader) -> None:
        self._owned_reader = reader
        super().__init__(reader)

    def close(self) -> None:
        super().close()
        self._owned_reader.close()


class _Array:
    """Samples in memory, with the face of a container."""

    format = codec = "array"
    claim_is_exact = False

    def __init__(self, samples: NDArray[Any], rate_hz: int | None) -> None:
        self._channels = split_channels(samples, rate_hz)
        self.rate_hz = int(rate_hz or 0)
        check_rate(self.rate_hz, "the array")
        self.num_channels = len(self._channels)
        self.duration_s: float | None = len(samples) / self.rate_hz
        self.notes: list[str] = []

    def pieces(self, mixer: Mixer) -> Iterator[tuple[Floats, int]]:
        for start in range(0, len(self._channels[0]), self.rate_hz):
            piece = [channel[start : start + self.rate_hz] for channel in self._channels]
            yield mixer.mix(piece), self.rate_hz

    def close(self) -> None:
        self._channels = []


def open_wave(source: Source, *, rate_hz: int | None = None) -> Wave:
    """Open a path ("-": standard input), the bytes of a file, an open file, or an array.

    Files may be anything with sound in it: wav, flac, mp3, m4a, ogg, opus, webm, amr, mp4, mkv …
    An array is [T] or [T, C], integer or float, and needs `rate_hz`. Raises `AudioError` (for a
    path that is not there `AudioNotFoundError`, which is also a `FileNotFoundError`).
    """
    if isinstance(source, np.ndarray):
        return Wave("the array", _Array(source, rate_hz))
    if rate_hz is not None:
        raise AudioError("rate_hz is for arrays: a file says its sample rate itself")
    reader = open_reader(source)
    try:
        return Wave(reader.name, _Container(reader))
    except BaseException:
        reader.close()
        raise


def read_wave(
    source: Source, *, rate_hz: int | None = None, max_s: float | None = None
) -> NDArray[np.float32]:
    """All samples of `source`, or its first `max_s` seconds: float32 [T], mono, 16 kHz.

    What is amiss but readable is logged. Raises as `open_wave` and `Wave.blocks` do.

    >>> read_wave(np.zeros((8_000, 2), np.int16), rate_hz=8_000).shape
    (16000,)
    """
    limit = None if max_s is None else round(max_s * SAMPLE_RATE_HZ)
    blocks, num_samples = [], 0
    with open_wave(source, rate_hz=rate_hz) as wave:
        for block in wave.blocks(10.0 if max_s is None else min(10.0, max(max_s, 0.1))):
            blocks.append(block)
            num_samples += len(block)
            if limit is not None and num_samples >= limit:
                break
        for warning in wave.warnings:
            _log.warning("%s: %s", wave.name, warning)
    return np.concatenate(blocks)[:limit]


def write_wave(
    path: str | os.PathLike[str], samples: NDArray[np.float32], rate_hz: int = SAMPLE_RATE_HZ
) -> None:
    """Write [T] or [T, C] in [-1, 1] as 16-bit wav or flac, by the suffix of `path`.

    Values beyond 1 are cut, NaN becomes 0. Raises `OutputError` if it cannot be written.
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".wav", ".flac"):
        raise OutputError(f"{path} cannot be written: give it the suffix .wav or .flac")
    channels = split_channels(np.asarray(samples, np.float32), rate_hz)
    frames = np.nan_to_num(np.stack(channels, axis=1), nan=0.0, posinf=1.0, neginf=-1.0)
    integers = np.round(np.clip(frames, -1.0, 1.0) * 32767).astype("<i2")
    try:
        (_write_wav if suffix == ".wav" else _write_flac)(target, integers, rate_hz)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from None


def _write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int) -> None:
    import wave

    with path.open("wb") as file, wave.open(file, "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.tobytes())


def _write_flac(path: Path, samples: NDArray[np.int16], rate_hz: int) -> None:
    import av

    layouts = ("mono", "stereo", "3.0", "quad", "5.0", "5.1", "6.1", "7.1")
    num_channels = samples.shape[1]
    if num_channels > len(layouts):
        raise OutputError(f"{path} cannot be written: flac holds 8 channels, not {num_channels}")
    with path.open("wb") as file, av.open(file, "w", format="flac") as out:
        layout = layouts[num_channels - 1]
        stream: Any = out.add_stream("flac", rate=rate_hz)
        stream.layout, stream.format = layout, "s16"
        for start in range(0, len(samples), 4096):
            packed = samples[start : start + 4096].reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=layout)
            frame.sample_rate = rate_hz
            frame.pts = start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
