"""Samples of any rate, number type and number of channels on their way into a session."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.pcm import Mixer, split_channels
from mooer.audio.resample import Resampler, check_rate
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import AudioError
from mooer.infer.stream import Session, StreamEvent


class Converter:
    """A session with a resampler before it.

    converter = Converter(session, rate_hz=48_000)
    events = converter.push(block)                 # int16 [T, 2], for example
    """

    def __init__(self, session: Session, rate_hz: int) -> None:
        check_rate(rate_hz, "the stream")
        self.session = session
        self._rate_hz = rate_hz
        self._mixer = Mixer()
        self._resampler = Resampler(rate_hz, SAMPLE_RATE_HZ)

    def push(self, samples: NDArray[Any]) -> list[StreamEvent]:
        """Take [T] or [T, C], integers over their whole range or floats in [-1, 1].

        AudioError for other shapes and types, for none, and for what is no number.
        """
        if not isinstance(samples, np.ndarray) or not samples.size:
            raise AudioError("push takes samples [T] or [T, C], got none")
        channels = split_channels(samples, self._rate_hz)
        if samples.dtype.kind == "f" and not np.isfinite(samples).all():
            raise AudioError("push takes samples that are numbers: set NaN and infinity to 0 first")
        return self._pushed(self._resampler.push(self._mixer.mix(channels)))

    def poll(self) -> list[StreamEvent]:
        """What the session makes of a time without samples."""
        return self.session.poll()

    def flush(self) -> list[StreamEvent]:
        """The rest of the resampler, and the end of the stream."""
        events = self._pushed(self._resampler.flush())
        self._resampler = Resampler(self._rate_hz, SAMPLE_RATE_HZ)
        return events + self.session.flush()

    def _pushed(self, samples: NDArray[np.float32]) -> list[StreamEvent]:
        return self.session.push(samples) if len(samples) else []
