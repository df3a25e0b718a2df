"""Sound out of the sound card, while more of it is made."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.resample import Resampler
from mooer.errors import AudioError, MissingExtra, first_line

Samples = NDArray[np.float32]
_POLL_S = 0.05
_MOST_WAITING_S = 60.0  # of sound that is made and not yet played
_INSTEAD = "write a file by -o speech.wav"


@dataclass(frozen=True)
class Output:
    """An output of the sound card."""

    sounddevice: Any
    device: int | str | None
    rate_hz: int


def find_output(device: str | None = None) -> Output:
    """The output that a number or a part of its name says, or the usual one.

    MissingExtra without the package sounddevice, AudioError without a sound card.
    """
    try:
        import sounddevice
    except ImportError as error:
        raise MissingExtra("sounddevice", "listen", _INSTEAD) from error
    except OSError as error:
        raise AudioError(
            "the PortAudio library, by which sound is played, is not installed "
            f"({first_line(error)}): install it (apt install libportaudio2), or {_INSTEAD}"
        ) from error
    chosen = int(device) if device and device.isdigit() else device
    try:
        found = sounddevice.query_devices(chosen, "output")
    except (sounddevice.PortAudioError, ValueError) as error:
        raise AudioError(
            f"no loudspeaker was found ({first_line(error)}): connect one, or {_INSTEAD}"
        ) from error
    return Output(sounddevice, chosen, round(found["default_samplerate"]))


class Loudspeaker:
    """A context manager: `play` gives it samples and does not wait; leaving it well does.

    AudioError if the output cannot be opened.
    """

    def __init__(self, output: Output, rate_hz: int) -> None:
        self._lock = threading.Lock()
        self._held: list[Samples] = []
        self._rate_hz = output.rate_hz
        self._resampler = Resampler(rate_hz, output.rate_hz)
        try:
            self._stream: Any = output.sounddevice.OutputStream(
                samplerate=output.rate_hz,
                device=output.device,
                channels=1,
                dtype="float32",
                callback=self._fill,
            )
        except output.sounddevice.PortAudioError as error:
            raise AudioError(
                f"the loudspeaker cannot be opened ({first_line(error)}): let go of it in other "
                f"programs, name another by --device, or {_INSTEAD}"
            ) from error

    def play(self, samples: Samples) -> None:
        """Play samples [T] after those before them; wait if too much is waiting already."""
        ready = self._resampler.push(samples)
        while sum(map(len, self._held)) > _MOST_WAITING_S * self._rate_hz:
            time.sleep(_POLL_S)
        with self._lock:
            self._held.append(ready)

    def __enter__(self) -> Loudspeaker:
        self._stream.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with self._lock:
                    self._held.append(self._resampler.flush())
                while any(map(len, self._held)):
                    time.sleep(_POLL_S)
                self._stream.stop()  # after what the card still holds
            else:
                self._stream.abort()
        finally:
            self._stream.close()
            del self._resampler  # the stream holds this object, and outlives it

    def _fill(self, out: Any, num_samples: int, _time: Any, _status: Any) -> None:
        with self._lock:
            place = 0
            while place < num_samples and self._held:
                first = self._held[0]
                count = min(num_samples - place, len(first))
                out[place : place + count, 0] = first[:count]
                place += count
                self._held[0] = first[count:]
                if not len(self._held[0]):
                    self._held.pop(0)
            out[place:] = 0.0
