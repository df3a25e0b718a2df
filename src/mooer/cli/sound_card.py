"""The loudspeaker of a conversation: it counts what is played, and is silent at once if told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.agent.duplex import RATE_HZ
from mooer.agent.events import Samples
from mooer.agent.playout import Playout
from mooer.audio.resample import Resampler
from mooer.cli.feed import device_of, sound_card
from mooer.errors import AudioError, first_line

_BLOCK_S = 0.01  # the card is given so much at a time: a flush is heard that soon
_DRIFT_S = 0.2  # how far the loudspeaker may be ahead of the microphone in a recording


class Loudspeaker:
    """An output of the sound card, and the `playout` that it plays; a context manager.

    MissingExtra without the package sounddevice, AudioError without a loudspeaker.
    """

    def __init__(self, device: str | None = None, *, instead: str) -> None:
        self._sounddevice = sound_card(instead)
        self._device = device_of(device)
        try:
            found = self._sounddevice.query_devices(self._device, "output")
        except (self._sounddevice.PortAudioError, ValueError) as error:
            raise AudioError(
                f"no loudspeaker was found ({first_line(error)}): connect one, name one by "
                f"--output-device, or {instead}"
            ) from error
        self.name = str(found["name"])
        self._channels = max(1, min(2, int(found["max_output_channels"])))
        rate_hz = round(found["default_samplerate"])
        self.playout = Playout(rate_hz)
        self._heard: deque[Samples] = deque()  # at the rate of the card, not yet asked for
        self._resampler = Resampler(rate_hz, RATE_HZ)
        self._ready = np.zeros(0, np.float32)  # at 16 kHz
        self._stream: Any = None

    def __enter__(self) -> Loudspeaker:
        try:
            self._stream = self._sounddevice.OutputStream(
                samplerate=self.playout.rate_hz,
                blocksize=round(self.playout.rate_hz * _BLOCK_S),
                device=self._device,
                channels=self._channels,
                dtype="float32",
                latency="low",
                callback=self._play,
            )
            self._stream.start()
        except self._sounddevice.PortAudioError as error:
            raise AudioError(
                f"the loudspeaker {self.name} cannot be opened ({first_line(error)}): let go of it "
                "in other programs, or name another by --output-device"
            ) from error
        return self

    def __exit__(self, *_reason: object) -> None:
        self._stream.abort()  # at once; what is left is not wanted
        self._stream.close()

    def _play(self, outdata: NDArray[Any], frames: int, _time: Any, _status: Any) -> None:
        samples = self.playout.pull(frames)
        outdata[:] = samples[:, None]
        self._heard.append(samples)

    def heard(self, num_samples: int) -> Samples:
        """What was played beside the last samples of the microphone: [num_samples] at 16 kHz.

        The clocks of the two differ: what is missing is silence, and what is more than a fifth of a
        second ahead is left out.
        """
        if self._stream is not None and not self._stream.active:
            raise AudioError(
                f"the loudspeaker {self.name} is gone: connect it again, or name another by "
                "--output-device"
            )
        new = [self._resampler.push(self._heard.popleft()) for _ in range(len(self._heard))]
        ready = np.concatenate([self._ready, *new])[-(num_samples + round(_DRIFT_S * RATE_HZ)) :]
        self._ready = ready[num_samples:]
        return np.pad(ready[:num_samples], (0, max(0, num_samples - len(ready))))


class Unheard:
    """In the place of a loudspeaker: answers are played on the clock of the user's sound."""

    name = "nobody"

    def __init__(self) -> None:
        self.playout = Playout(RATE_HZ)

    def __enter__(self) -> Unheard:
        return self

    def __exit__(self, *_reason: object) -> None:
        return None

    def heard(self, num_samples: int) -> Samples:
        """The next samples [num_samples] at 16 kHz."""
        return self.playout.pull(num_samples)


def devices() -> Iterator[str]:
    """The sound card's inputs and outputs, a line each: number, name, what it is, rate."""
    card = sound_card("use --text and --file, which need none")
    for place, found in enumerate(card.query_devices()):
        kinds = [
            name
            for name, channels in (("microphone", "input"), ("loudspeaker", "output"))
            if found[f"max_{channels}_channels"]
        ]
        rate = f"{found['default_samplerate']:g} Hz"
        yield f"{place:3d}  {found['name']}  ({', '.join([*kinds, rate])})"
