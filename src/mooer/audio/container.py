"""Decoding of any sound file by the FFmpeg libraries inside PyAV, piece by piece.

What FFmpeg may do is listed: the demuxers below read one file from front to back, so playlists
(HLS, DASH, concat, SDP) are refused, nested opening is refused, and video is never decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NoReturn

import av
import av.audio.plane
import numpy as np
from numpy.typing import NDArray

from mooer.audio.pcm import Floats, Mixer
from mooer.audio.reader import Reader
from mooer.audio.resample import check_rate
from mooer.errors import AudioError

_FORMATS = (
    "wav w64 aiff caf au voc nistsphere flac mp3 aac ogg matroska webm mov mp4 m4a 3gp "
    "amr amrnb amrwb asf wv tta ape ac3 eac3 dts mpc mpc8 avi mpegts mpeg flv"
)
_CODECS = (
    "aac ac3 eac3 alac amrnb amrwb libopencore_amrnb libopencore_amrwb ape "
    "dca flac g722 g723_1 g726 g726le g729 gsm gsm_ms ilbc mp1float mp1 mp2float mp2 mp3float mp3 "
    "mpc7 mpc8 nellymoser opus libopus speex truespeech tta vorbis wavpack wmav1 wmav2 wmapro "
    "wmalossless wmavoice adpcm_ms adpcm_ima_wav adpcm_ima_qt adpcm_yamaha adpcm_swf adpcm_g722 "
    "pcm_alaw pcm_mulaw pcm_bluray pcm_dvd pcm_f16le pcm_f24le pcm_f32be pcm_f32le pcm_f64be "
    "pcm_f64le pcm_s8 pcm_s8_planar pcm_u8 pcm_s16be pcm_s16be_planar pcm_s16le pcm_s16le_planar "
    "pcm_s24be pcm_s24le pcm_s24le_planar pcm_s32be pcm_s32le pcm_s32le_planar pcm_s64be pcm_s64le "
    "pcm_u16be pcm_u16le pcm_u24be pcm_u24le pcm_u32be pcm_u32le"
)
_OPTIONS = {
    "format_whitelist": _FORMATS.replace(" ", ","),
    "codec_whitelist": _CODECS.replace(" ", ","),
    "protocol_whitelist": "none",
}
_DTYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_UNKNOWN_BYTES = 0x7FFF0000  # from here on programs that write to a pipe put what they like
_PIECE_VALUES = 1 << 17  # most samples of all channels that are decoded before they are mixed
_PIECE_S = 0.5
_BUFFER_BYTES = 1 << 16
_TIMED = ("mov", "matroska")  # their timestamps can be trusted
_MIN_GAP_S, _MAX_GAP_S = 0.1, 600.0
_MAX_NOTES = 20
_MAX_RESTARTS = 100


class Container:
    """One opened file: its first (or default) sound track, as mono pieces.

    `duration_s` is what the header claims, None if it does not say. `notes` collects what was
    found amiss.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.name = reader.name
        self.notes: list[str] = []
        self._file = self._open()
        try:
            self._stream = self._choose()
            self.num_channels = _plain_layout(self._stream.codec_context)
            self._refuse_usac(self._stream.codec_context.extradata)
            check_rate(self._stream.codec_context.sample_rate, self.name)
        except BaseException:
            self.close()
            raise
        self.rate_hz: int = self._stream.codec_context.sample_rate
        self.codec: str = self._stream.codec_context.name
        self.format: str = self._file.format.name.split(",")[0]
        self.duration_s = self._claimed_s()

    def close(self) -> None:
        """Free what FFmpeg holds; the reader is the caller's."""
        self._file.close()

    # ------------------------------------------------------------ opening

    def _open(self) -> Any:
        start, options = self._reader.start, _OPTIONS
        if start[:4] in (b"RIFF", b"RF64") and start[8:] == b"WAVE":
            # The header says everything; looking on into the sound takes most of the time.
            options = _OPTIONS | {"probesize": "4096"}
        try:
            file = av.open(
                self._reader,
                "r",
                container_options=options,
                metadata_errors="replace",
                buffer_size=_BUFFER_BYTES,
                io_open=_refuse,
            )
        except (av.FFmpegError, ValueError, UnicodeError, OverflowError) as error:
            self._reader.check()
            self._explain(error)
        try:
            self._reader.check()
        except BaseException:
            file.close()
            raise
        return file

    def _explain(self, error: Exception) -> NoReturn:
        kind = _looks_like(self._reader.head)
        if kind == "nothing":
            raise AudioError(
                f"{self.name} is empty, it holds no bytes: copy or record it again"
            ) from None
        raise AudioError(
            f"{self.name} cannot be read as sound: it looks like {kind}; give a wav, flac, mp3, "
            f"m4a, ogg, opus or webm file, or a video with sound"
        ) from error

    def _choose(self) -> Any:
        tracks = list(self._file.streams.audio)
        if not tracks:
            has = "only pictures" if self._file.streams.video else "no track at all"
            raise AudioError(f"{self.name} has no sound, {has} was found in it: give a recording")
        usable = [t for t in tracks if t.codec_context and t.codec_context.name in _CODECS.split()]
        if not usable:
            codec = tracks[0].codec_context.name if tracks[0].codec_context else "an unknown code"
            raise AudioError(
                f"the sound of {self.name} is stored as {codec}, which cannot be decoded here: "
                f"convert it to wav or flac"
            )
        chosen = next((t for t in usable if t.disposition & 1), usable[0])  # 1: "default"
        if len(tracks) > 1:
            place = tracks.index(chosen) + 1
            self.notes.append(f"of {len(tracks)} sound tracks number {place} was read")
        return chosen

    def _refuse_usac(self, extradata: bytes | None) -> None:
        """`AudioError` for xHE-AAC, whose decoder makes channel layouts unsafe to PyAV."""
        if self._stream.codec_context.name != "aac" or not extradata or len(extradata) < 2:
            return
        first = int.from_bytes(extradata[:2], "big")
        if first >> 11 == 31 and (first >> 5 & 0x3F) + 32 == 42:
            raise AudioError(f"{self.name} is coded in xHE-AAC: convert it to m4a (AAC-LC) or wav")

    def _claimed_s(self) -> float | None:
        stream, seconds = self._stream, None
        if stream.duration is not None and stream.time_base:
            seconds = float(stream.duration * stream.time_base)
        elif self._file.duration is not None:
            seconds = self._file.duration / av.time_base
        if self.format == "wav":
            # FFmpeg shortens the claim to the size of the file: a cut would go unnoticed.
            seconds = _riff_claim_s(self._reader.head, seconds)
        return seconds if seconds is not None and 0 < seconds < 1e9 else None

    @property
    def claim_is_exact(self) -> bool:
        """Whether `duration_s` was written down for this track, not guessed from the size."""
        if self.format == "mp3":
            head = self._reader.head
            return any(tag in head for tag in (b"Xing", b"Info", b"VBRI"))
        if self._stream.duration is None:
            return self.format == "matroska" and not self._file.streams.video
        return self.format in ("wav", "flac", "mov", "aiff", "caf", "w64", "au", "asf", "tta", "wv")

    # ------------------------------------------------------------ decoding

    def pieces(self, mixer: Mixer) -> Iterator[tuple[Floats, int]]:
        """Mono float32 [T] and its rate, at most half a second at a time, mixed by `mixer`.

        A change of rate or of channels in mid-stream ends a piece.
        """
        parts: list[list[NDArray[Any]]] = []
        num_values, most_values, current = 0, 0, None
        clock = _Clock(self)
        for frame in self._frames():
            rate_hz = frame.sample_rate
            layout = (frame.format.name, frame.layout.nb_channels, rate_hz)
            if layout != current or num_values > most_values:
                if parts and current:
                    yield mixer.mix(_join(parts, current[1])), current[2]
                if layout != current:
                    check_rate(rate_hz, self.name)
                    if current is not None:
                        self._note("rate or channels change in mid-stream")
                parts, num_values, current = [], 0, layout
                most_values = min(_PIECE_VALUES, int(_PIECE_S * rate_hz * layout[1]))
            if gap_samples := clock.gap(frame, rate_hz):
                if parts:
                    yield mixer.mix(_join(parts, layout[1])), rate_hz
                    parts, num_values = [], 0
                yield from _silence(gap_samples, rate_hz)
            planes = _planes(frame, layout[0], layout[1])
            parts.append(planes)
            num_values += frame.samples * layout[1]
        if parts and current:
            yield mixer.mix(_join(parts, current[1])), current[2]

    def _frames(self) -> Iterator[Any]:
        """Decoded frames; damaged packets are skipped, a damaged index ends the file."""
        packets = self._file.demux(self._stream)
        aac = self._stream.codec_context.name == "aac"
        num_damaged = num_restarts = 0
        while True:
            try:
                packet = next(packets, None)
            except IndexError:
                # PyAV stumbles over a track that begins in mid-file, and then knows it.
                num_restarts += 1
                packets = self._file.demux(self._stream)
                if num_restarts <= _MAX_RESTARTS:
                    continue
                packet = None
            except (av.FFmpegError, ValueError):
                self._reader.check()
                self._note("the file is damaged: what follows the damage could not be read")
                packet = None
            self._reader.check()
            self._reader.progress()
            if packet and aac and packet.has_sidedata("new_extradata"):
                self._refuse_usac(bytes(packet.get_sidedata("new_extradata")))
            try:
                yield from packet.decode() if packet else self._stream.codec_context.decode(None)
            except EOFError:
                pass  # already flushed
            except (av.FFmpegError, ValueError):
                num_damaged += 1
            if packet is None:
                break
        if num_damaged:
            self._note(f"{num_damaged} damaged packets were skipped")

    def _note(self, text: str) -> None:
        if text not in self.notes and len(self.notes) < _MAX_NOTES:
            self.notes.append(text)

    def note_gap(self, at_s: float, seconds: float) -> None:
        """Tell of silence put where a track has a hole."""
        self._note(f"{seconds:.1f} s without sound at {at_s:.1f} s became silence")

    @property
    def timing(self) -> tuple[float, float] | None:
        """Seconds per tick and where the file begins, if timestamps can be trusted."""
        if self.format not in _TIMED or not self._stream.time_base:
            return None
        return float(self._stream.time_base), (self._file.start_time or 0) / av.time_base


class _Clock:
    """Finds holes between timestamps, so that times in the text stay those of the video."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._timing = container.timing
        self._played_s = 0.0
        limit_s = container.duration_s
        self._end_s = float("inf") if limit_s is None else limit_s + 1.0

    def gap(self, frame: Any, rate_hz: int) -> int:
        """Samples of silence that belong before `frame`."""
        if self._timing is None:
            return 0
        missing_s = 0.0
        if frame.pts is not None:
            tick_s, start_s = self._timing
            missing_s = frame.pts * tick_s - start_s - self._played_s
        if not _MIN_GAP_S < missing_s < _MAX_GAP_S or self._played_s + missing_s > self._end_s:
            missing_s = 0.0
        else:
            self._container.note_gap(self._played_s, missing_s)
        self._played_s += missing_s + frame.samples / rate_hz
        return round(missing_s * rate_hz)


def _riff_claim_s(head: bytes, otherwise: float | None) -> float | None:
    """Length by the chunks of a PCM wav file; None if the recorder left it open."""
    at, bytes_per_s = 12, 0
    while head[:4] == b"RIFF" and at + 24 < len(head):
        name, size = struct.unpack_from("<4sI", head, at)
        if name == b"fmt " and head[at + 8] in (1, 3, 6, 7, 0xFE):  # no packed codecs
            bytes_per_s = int.from_bytes(head[at + 16 : at + 20], "little")
        if name == b"data" and bytes_per_s:
            return size / bytes_per_s if 0 < size < _UNKNOWN_BYTES else None
        at += 8 + size + size % 2
    return otherwise


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise AudioError("the file asks for another file, which is refused: convert it to wav or flac")


def _plain_layout(codec: Any) -> int:
    """Number of channels of a decoder not yet opened, whose layout is made a plain count.

    PyAV (to 18.1 at least) frees the map of a custom layout, as 8 channels in aiff have it, once
    with every frame: a crash, or worse. The one read of `codec.layout` here frees it too, so it
    must be replaced before anything else looks at it.
    """
    layout = codec.layout
    num_channels: int = layout.nb_channels
    if num_channels > 0:
        codec.layout = f"{num_channels} channels"
    return num_channels


def _planes(frame: Any, sample_format: str, num_channels: int) -> list[NDArray[Any]]:
    """Views of a frame's samples: [T] for each channel, or all interleaved in one [T * C]."""
    planar = sample_format.endswith("p")
    dtype = np.dtype(_DTYPES[sample_format.removesuffix("p")])
    count = frame.samples * (1 if planar else num_channels)
    return [
        np.frombuffer(_plane(frame, i), dtype, count) for i in range(num_channels if planar else 1)
    ]


def _plane(frame: Any, index: int) -> Any:
    # frame.planes would read past the end of FFmpeg's list when there are 8 and more.
    return av.audio.plane.AudioPlane(frame, index)


def _join(parts: list[list[NDArray[Any]]], num_channels: int) -> list[NDArray[Any]]:
    """The channels [T] of all `parts` together."""
    joined = [np.concatenate(planes) for planes in zip(*parts, strict=True)]
    if len(joined) == num_channels:
        return joined
    interleaved = joined[0].reshape(-1, num_channels)
    return [interleaved[:, c] for c in range(num_channels)]


def _silence(num_samples: int, rate_hz: int) -> Iterator[tuple[Floats, int]]:
    for start in range(0, num_samples, rate_hz):
        yield np.zeros(min(rate_hz, num_samples - start), np.float32), rate_hz


_MAGIC = {
    b"PK\x03\x04": "a zip archive or an office document",
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a playlist",
    b"[playlist]": "a playlist",
    b"FORM": "a damaged aiff file",
    b"RIFF": "a damaged wav or avi file",
    b"fLaC": "a damaged flac file",
    b"OggS": "a damaged ogg file",
    b"\x1aE\xdf\xa3": "a damaged webm or mkv file",
}


def _looks_like(head: bytes) -> str:
    """What the first bytes of an unreadable file are, in words."""
    if head[4:8] == b"ftyp":
        return "a damaged mp4 or m4a file"
    for magic, words in _MAGIC.items():
        if head.startswith(magic):
            return words
    if not any(head):
        return "nothing but zero bytes" if head else "nothing"
    # A cut in the middle of a letter is no proof against text.
    text = head[:1024].decode("utf-8", "ignore")
    if len(text.encode()) >= len(head[:1024]) - 3 and "\0" not in text:
        start = text.lstrip().lower()
        return "a web page" if start.startswith(("<!doc", "<html")) else "text"
    return f"unknown data (it begins {head[:8].hex(' ')})"
