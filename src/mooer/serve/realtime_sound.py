"""The sound of realtime sessions: formats as OpenAI's events name them, samples as their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mooer.audio.pcm import Floats
from mooer.audio.resample import Resampler
from mooer.errors import did_you_mean
from mooer.serve.errors import wrong
from mooer.serve.fields import number_at, object_at
from mooer.serve.sound import G711

_ENCODINGS = {"audio/pcm": "pcm16", "audio/pcmu": "pcmu", "audio/pcma": "pcma"}
_FLAT = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_PIECE_S = 0.5  # of sound in one event


@dataclass(frozen=True)
class SoundFormat:
    """How samples are written: 16 bits, or 8 as telephones have them; one channel."""

    name: str = "audio/pcm"
    rate_hz: int = 24_000

    @property
    def encoding(self) -> str:
        """As `sound.make_decoder` knows it."""
        return _ENCODINGS[self.name]

    @property
    def bytes_per_s(self) -> int:
        """Of its sound."""
        return self.rate_hz * (2 if self.encoding == "pcm16" else 1)

    def describe(self) -> dict[str, Any]:
        """The object of OpenAI's events."""
        found: dict[str, Any] = {"type": self.name}
        return found | {"rate": self.rate_hz} if self.encoding == "pcm16" else found


def read_format(given: Any, place: str, usual: SoundFormat) -> SoundFormat:
    """A format by its object, or by its name in the older shape. ApiError 400 for another."""
    if isinstance(given, str):
        given = {"type": _FLAT.get(given, given)}
    found: Mapping[str, Any] = object_at(given, place)
    name = found.get("type", usual.name)
    if name not in _ENCODINGS:
        known = did_you_mean(str(name)[:50], _ENCODINGS)
        raise wrong(f"{place}.type", f"unknown format {str(name)[:50]!r}: {known}")
    default = 24_000 if name == "audio/pcm" else 8_000
    rate_hz = number_at(found.get("rate", default), f"{place}.rate", 8_000, 96_000)
    return SoundFormat(name, round(rate_hz))


class SoundEncoder:
    """Samples of one stream as bytes of a format."""

    def __init__(self, format: SoundFormat, rate_hz: int) -> None:
        self._format = format
        self._resampler = Resampler(rate_hz, format.rate_hz)
        self._size = round(_PIECE_S * format.bytes_per_s) // 2 * 2

    def push(self, samples: Floats) -> Iterator[bytes]:
        """Float32 [T]: what is ready, in pieces that fit an event."""
        yield from self._pieces(self._resampler.push(samples))

    def flush(self) -> Iterator[bytes]:
        """The rest, after the last `push`."""
        yield from self._pieces(self._resampler.flush())

    def _pieces(self, samples: Floats) -> Iterator[bytes]:
        values = np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")
        table = G711.get(self._format.encoding)
        data = values.tobytes() if table is None else _nearest(values, table()).tobytes()
        for start in range(0, len(data), self._size):
            yield data[start : start + self._size]


def _nearest(values: Any, table: Any) -> Any:
    """For each value the byte that stands for the nearest of the 256 in `table`."""
    order = np.argsort(table, kind="stable")
    known = table[order].astype(np.float64)
    return order[np.searchsorted((known[1:] + known[:-1]) / 2, values)].astype(np.uint8)
