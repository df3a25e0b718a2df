"""Spoken samples as a file that is sent while it is made: wav, pcm, flac, mp3, opus, aac."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.resample import Resampler
from mooer.errors import ConfigError, did_you_mean

Samples = NDArray[np.float32]

MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
# Container and encoder of FFmpeg, its sample format, bits a second.
_CODECS = {
    "mp3": ("mp3", "libmp3lame", "fltp", 64_000),
    "opus": ("ogg", "libopus", "flt", 32_000),
    "aac": ("adts", "aac", "fltp", 64_000),
    "flac": ("flac", "flac", "s16", None),
}
_OPTIONS = {"flush_packets": "1"}
_OPTIONS_OF = {"mp3": {"write_xing": "0"}, "ogg": {"page_duration": "100000"}}
_USUAL_HZ = 24_000
_RATES_HZ = {"opus": (8_000, 12_000, 16_000, 24_000, 48_000), "pcm": (24_000,)}
_UNKNOWN = 0xFFFFFFFF  # a length that nobody knows yet
_WAV_HEAD = 44  # bytes


class Encoder(Protocol):
    """Takes samples [T] in [-1, 1], gives bytes; `finish` gives the last of them."""

    def push(self, samples: Samples) -> bytes:
        """What is ready of the file."""
        ...

    def finish(self) -> bytes:
        """The rest."""
        ...


def tell_length(file: BinaryIO) -> None:
    """Write into the head of a wav file how long it is by now; one too long for it stays open."""
    size = file.tell()
    for place, value in ((4, size - 8), (_WAV_HEAD - 4, size - _WAV_HEAD)):
        file.seek(place)
        file.write(struct.pack("<I", min(value, _UNKNOWN)))
    file.seek(size)


def encoder_for(format: str, rate_hz: int) -> Encoder:
    """An encoder of mono sound at `rate_hz`. ConfigError for another format.

    Where a format has no such rate it is made 24 kHz: opus knows five, and pcm, which cannot tell
    its own, is taken for that by all clients.
    """
    if format in _RATES_HZ and rate_hz not in _RATES_HZ[format]:
        return _Resampled(encoder_for(format, _USUAL_HZ), Resampler(rate_hz, _USUAL_HZ))
    if format in ("wav", "pcm"):
        return _Plain(rate_hz, has_header=format == "wav")
    if format in _CODECS:
        return _Coded(format, rate_hz)
    raise ConfigError(f"unknown format {format!r}: {did_you_mean(format, MEDIA_TYPES)}")


def to_pcm(samples: Samples) -> bytes:
    """Samples in [-1, 1] as 16-bit little-endian."""
    clean = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.round(np.clip(clean, -1.0, 1.0) * 32767).astype("<i2").tobytes()


class _Resampled:
    """At a rate that the format has."""

    def __init__(self, encoder: Encoder, resampler: Resampler) -> None:
        self._encoder, self._resampler = encoder, resampler

    def push(self, samples: Samples) -> bytes:
        return self._push(self._resampler.push(samples))

    def finish(self) -> bytes:
        return self._push(self._resampler.flush()) + self._encoder.finish()

    def _push(self, samples: Samples) -> bytes:
        return self._encoder.push(samples) if len(samples) else b""


class _Plain:
    """16-bit samples, with the header of a wav file whose length is open."""

    def __init__(self, rate_hz: int, *, has_header: bool) -> None:
        self._header = _wav_header(rate_hz) if has_header else b""

    def push(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + to_pcm(samples)

    def finish(self) -> bytes:
        header, self._header = self._header, b""
        return header


def _wav_header(rate_hz: int) -> bytes:
    fields = struct.pack("<HHIIHH", 1, 1, rate_hz, 2 * rate_hz, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", _UNKNOWN)
        + b"WAVEfmt "
        + struct.pack("<I", len(fields))
        + fields
        + b"data"
        + struct.pack("<I", _UNKNOWN)
    )


class _Sink:
    """What FFmpeg writes, until it is fetched; it cannot be sought."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _Coded:
    """FFmpeg's encoders through PyAV."""

    def __init__(self, format: str, rate_hz: int) -> None:
        import av

        container, codec, self._sample_format, bits_per_s = _CODECS[format]
        self._sink = _Sink()
        self._rate_hz = rate_hz
        self._num_samples = 0
        options = _OPTIONS | _OPTIONS_OF.get(container, {})
        self._out: Any = av.open(self._sink, "w", format=container, options=options)
        stream: Any = self._out.add_stream(codec, rate=rate_hz)
        stream.layout, stream.format = "mono", self._sample_format
        if bits_per_s is not None:
            stream.bit_rate = bits_per_s
        self._stream = stream

    def push(self, samples: Samples) -> bytes:
        import av

        if self._sample_format == "s16":
            data: Any = np.frombuffer(to_pcm(samples), "<i2")[None]
        else:
            clean = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
            data = np.ascontiguousarray(np.clip(clean, -1.0, 1.0)[None], np.float32)
        frame = av.AudioFrame.from_ndarray(data, self._sample_format, "mono")
        frame.sample_rate, frame.pts = self._rate_hz, self._num_samples
        self._num_samples += len(samples)
        self._out.mux(self._stream.encode(frame))
        return self._sink.taken()

    def finish(self) -> bytes:
        self._out.mux(self._stream.encode(None))
        self._out.close()
        return self._sink.taken()
