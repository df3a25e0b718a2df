"""Sound as it comes over a socket: the bytes of frames to mono float32 at 16 kHz.

A frame is 16-bit samples (`pcm16`), the bytes of a telephone (`pcmu`, `pcma`), one Opus packet
(`opus`), or a piece of an Ogg Opus file cut anywhere (`ogg`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.pcm import Floats, Mixer
from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import AudioError, ConfigError, did_you_mean

ENCODINGS = ("pcm16", "pcmu", "pcma", "opus", "ogg")
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 96_000
_OPUS_HZ = 48_000
_MAX_PACKET_BYTES = 61_440  # 120 ms at the highest rate that Opus has: more is none
_MAX_DAMAGED = 50  # packets one after the other, until it is no sound at all
_PAGE = b"OggS"
_MAX_PAGE_BYTES = 27 + 255 + 255 * 255


class Decoder(Protocol):
    """Bytes of frames to samples; used from one thread."""

    is_cut_anywhere: bool  # whether a frame may be divided

    def push(self, data: bytes) -> Floats:
        """The samples that are ready: float32 [T] at 16 kHz. AudioError for what is no sound."""
        ...


def make_decoder(encoding: str, rate_hz: int, channels: int) -> Decoder:
    """A decoder for one stream. ConfigError for what is not known here."""
    if encoding not in ENCODINGS:
        raise ConfigError(f"unknown encoding {encoding!r}: {did_you_mean(encoding, ENCODINGS)}")
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ConfigError(f"rate_hz must be {MIN_RATE_HZ} to {MAX_RATE_HZ}, not {rate_hz}")
    if channels not in (1, 2):
        raise ConfigError(f"channels must be 1 or 2, not {channels}")
    if encoding == "ogg":
        return OggOpus()
    if encoding == "opus":
        return OpusPackets(channels)
    return Samples(encoding, rate_hz, channels)


class Samples:
    """Samples of 16 bits, little-endian, or of 8 as telephones have them."""

    is_cut_anywhere = True

    def __init__(self, encoding: str, rate_hz: int, channels: int) -> None:
        self._table = G711[encoding]() if encoding in G711 else None
        self._channels = channels
        self._size = channels * (2 if self._table is None else 1)
        self._rest = b""
        self._mixer = Mixer()
        self._resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)

    def push(self, data: bytes) -> Floats:
        """The samples that are ready; half a sample waits for its other half."""
        data = self._rest + data
        whole = len(data) - len(data) % self._size
        self._rest = data[whole:]
        found = np.frombuffer(data[:whole], "<i2" if self._table is None else np.uint8)
        if self._table is not None:
            found = self._table[found]
        return self._resampler.push(self._mixer.mix(_channels(found, self._channels)))


class OpusPackets:
    """One Opus packet a frame, of 2.5 to 120 ms, at 48 kHz whatever it was made from."""

    is_cut_anywhere = False

    def __init__(self, channels: int = 1) -> None:
        import av

        self._codec: Any = av.CodecContext.create("libopus", "r")
        self._codec.sample_rate = _OPUS_HZ
        self._codec.layout = "mono" if channels == 1 else "stereo"
        self._mixer = Mixer()
        self._resampler = Resampler(_OPUS_HZ, SAMPLE_RATE_HZ)
        self._num_damaged = 0

    def push(self, data: bytes) -> Floats:
        """The samples of a packet; a damaged one has none."""
        import av

        if not data:
            return np.zeros(0, np.float32)
        if len(data) > _MAX_PACKET_BYTES:
            raise AudioError(
                f"a frame of {len(data)} bytes is no Opus packet: send each packet as a frame, or "
                "a file as the encoding ogg"
            )
        try:
            frames = self._codec.decode(av.Packet(data))
        except (av.FFmpegError, ValueError):
            self._num_damaged += 1
            if self._num_damaged >= _MAX_DAMAGED:
                raise AudioError(
                    f"{_MAX_DAMAGED} frames one after the other are no Opus packets: send each "
                    "packet as a frame, or choose the encoding that it is"
                ) from None
            return np.zeros(0, np.float32)
        self._num_damaged = 0
        pieces = [self._mixer.mix(list(np.atleast_2d(_planar(frame)))) for frame in frames]
        if not pieces:
            return np.zeros(0, np.float32)
        return self._resampler.push(np.concatenate(pieces))


class OggOpus:
    """An Ogg file with one Opus stream, as encoders and some browsers write it."""

    is_cut_anywhere = True

    def __init__(self) -> None:
        self._held = b""
        self._part = b""  # of a packet that goes on in the next page
        self._packets: OpusPackets | None = None

    def push(self, data: bytes) -> Floats:
        """The samples of the packets that are whole."""
        self._held += data
        pieces = [self._decoded(packet) for packet in self._whole()]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)

    def _whole(self) -> Iterator[bytes]:
        while len(self._held) >= 27:
            if not self._held.startswith(_PAGE):
                self._find_page()
                continue
            lacing = self._held[27 : 27 + self._held[26]]
            end = 27 + len(lacing) + sum(lacing)
            if len(lacing) < self._held[26] or len(self._held) < end:
                return
            body, self._held = self._held[27 + len(lacing) : end], self._held[end:]
            yield from self._packets_of(lacing, body)

    def _find_page(self) -> None:
        """Go on at the next page: what lies before it is damage, and much of it no Ogg at all."""
        at = self._held.find(_PAGE, 1)
        if at < 0 and len(self._held) > _MAX_PAGE_BYTES:
            raise AudioError("this is no Ogg file: choose the encoding that it is")
        self._held = self._held[at:] if at >= 0 else self._held[-26:]
        if self._packets is None and at < 0:
            raise AudioError("this is no Ogg file: choose the encoding that it is")

    def _packets_of(self, lacing: bytes, body: bytes) -> Iterator[bytes]:
        at = 0
        for size in lacing:
            self._part += body[at : at + size]
            at += size
            if len(self._part) > _MAX_PACKET_BYTES:
                raise AudioError("the Ogg file holds what is no Opus packet: make it anew")
            if size < 255:
                packet, self._part = self._part, b""
                yield packet

    def _decoded(self, packet: bytes) -> Floats:
        nothing = np.zeros(0, np.float32)
        if packet.startswith(b"OpusHead"):
            if len(packet) < 19 or packet[9] not in (1, 2):
                raise AudioError("the Ogg file claims other than 1 or 2 channels: make it anew")
            self._packets = OpusPackets(packet[9])
            return nothing
        if packet.startswith(b"OpusTags"):
            return nothing
        if self._packets is None:
            raise AudioError("the Ogg file holds no Opus: code it in Opus, or send samples")
        return self._packets.push(packet)


def _channels(samples: NDArray[Any], channels: int) -> list[NDArray[Any]]:
    return [samples[c::channels] for c in range(channels)]


def _planar(frame: Any) -> NDArray[Any]:
    """[C, T] of a frame of FFmpeg's, interleaved or not."""
    found: NDArray[Any] = frame.to_ndarray()
    if frame.format.is_planar or frame.layout.nb_channels == 1:
        return found
    rows: NDArray[Any] = found.reshape(-1, int(frame.layout.nb_channels)).T
    return rows


def _mu_law() -> NDArray[np.int16]:
    """The 256 values of G.711 µ-law."""
    byte = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    size = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(byte & 128, -size, size).astype(np.int16)


def _a_law() -> NDArray[np.int16]:
    """The 256 values of G.711 A-law."""
    byte = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (byte >> 4 & 7).astype(np.int32), (byte & 15).astype(np.int32)
    low = (mantissa << 4) + 8
    size = np.where(exponent > 0, (low + 256) << np.maximum(exponent - 1, 0), low)
    return np.where(byte & 128, size, -size).astype(np.int16)


# What each byte of a telephone stands for, by the name of its encoding.
G711: dict[str, Callable[[], NDArray[np.int16]]] = {"pcmu": _mu_law, "pcma": _a_law}
