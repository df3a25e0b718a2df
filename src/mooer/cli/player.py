"""Sound as it is made, to the loudspeaker of the sound card."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mooer.errors import AudioError, MissingExtra, first_line

if TYPE_CHECKING:
    from typing_extensions import Self

Samples = NDArray[np.float32]


class Loudspeaker:
    """The sound card's.

    MissingExtra without the package sounddevice, AudioError without a sound card.
    """

    def __init__(self) -> None:
        try:
            import sounddevice
        except ImportError as error:
            raise MissingExtra("sounddevice", "listen") from error
        except OSError as error:
            raise AudioError(
                "the PortAudio library, which plays sound, is not installed "
                f"({first_line(error)}): install it (apt install libportaudio2), or give -o FILE"
            ) from error
        self.errors = (sounddevice.PortAudioError, ValueError)
        self._sounddevice = sounddevice
        try:
            sounddevice.query_devices(None, "output")
        except self.errors as error:
            raise AudioError(
                f"no loudspeaker was found ({first_line(error)}): connect one, or give -o FILE"
            ) from error

    def open(self, rate_hz: int, callback: Callable[..., None]) -> Any:
        """A stream that asks `callback` for samples, in a thread of PortAudio's."""
        try:
            stream = self._sounddevice.OutputStream(
                samplerate=rate_hz, channels=1, dtype="float32", callback=callback
            )
            stream.start()
        except self.errors as error:
            raise AudioError(
                f"the loudspeaker cannot be used ({first_line(error)}): let go of it in other "
                "programs, or give -o FILE"
            ) from error
        return stream


class Player:
    """Plays samples one after the other, silence where there are none; a context manager."""

    def __init__(self, rate_hz: int, loudspeaker: Loudspeaker | None = None) -> None:
        self._rate_hz = rate_hz
        self._loudspeaker = loudspeaker or Loudspeaker()
        self._waiting: deque[Samples] = deque()
        self._lock = threading.Lock()
        self._is_silent = threading.Event()
        self._is_silent.set()

    def play(self, samples: Samples) -> None:
        """Put samples [T] behind the others."""
        if len(samples):
            with self._lock:
                self._waiting.append(samples)
                self._is_silent.clear()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Until all was played; whether it was."""
        return self._is_silent.wait(timeout_s)

    def __enter__(self) -> Self:
        self._stream = self._loudspeaker.open(self._rate_hz, self._fill)
        return self

    def __exit__(self, *_reason: object) -> None:
        self._stream.close()

    def _fill(self, outdata: NDArray[np.float32], frames: int, _time: Any, _status: Any) -> None:
        """In PortAudio's thread: the next samples."""
        outdata[:] = 0.0
        filled = 0
        with self._lock:
            while self._waiting and filled < frames:
                samples = self._waiting[0]
                num = min(len(samples), frames - filled)
                outdata[filled : filled + num, 0] = samples[:num]
                filled += num
                if num == len(samples):
                    self._waiting.popleft()
                else:
                    self._waiting[0] = samples[num:]
            if not self._waiting and not filled:
                self._is_silent.set()
