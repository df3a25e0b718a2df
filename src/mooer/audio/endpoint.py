"""Where utterances of a stream begin, pause and end, by the speech probability of each frame."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mooer.audio.vad import FRAME_SAMPLES, VadOptions

FRAME_S = FRAME_SAMPLES / 16_000


class Sound(Enum):
    """What a frame is to the utterance."""

    SILENCE = "no utterance"
    BEGIN = "the first frame of one"
    SPEECH = "within one"
    PAUSE = "silence in one for just so long that it may be over"
    END = "the last frame of one"


@dataclass(frozen=True)
class EndpointOptions:
    """How much silence is a pause, and how much an end."""

    pause_s: float = 0.3
    end_s: float = 0.6


class Endpointer:
    """Hysteresis over frames, as `audio.vad` has it for recordings, told at once."""

    def __init__(self, vad: VadOptions, options: EndpointOptions) -> None:
        self._vad = vad
        self._pause = max(1, round(options.pause_s / FRAME_S))
        self._end = max(self._pause + 1, round(options.end_s / FRAME_S))
        self._num_silent = 0
        self._num_speech = 0
        self.is_open = False  # whether an utterance has begun

    @property
    def silence_s(self) -> float:
        """How long it has been silent within the utterance."""
        return self._num_silent * FRAME_S

    @property
    def is_speech(self) -> bool:
        """Whether there is enough speech in the utterance to be no burst of noise."""
        return self._num_speech * FRAME_S >= self._vad.min_speech_s

    def push(self, prob: float) -> Sound:
        """Take the probability of the next frame."""
        if not self.is_open:
            if prob < self._vad.threshold:
                return Sound.SILENCE
            self.is_open, self._num_speech, self._num_silent = True, 1, 0
            return Sound.BEGIN
        if prob >= self._vad.release:
            self._num_speech += 1
            self._num_silent = 0
            return Sound.SPEECH
        self._num_silent += 1
        if self._num_silent == self._pause:
            return Sound.PAUSE
        if self._num_silent >= self._end:
            self.close()
            return Sound.END
        return Sound.SPEECH

    def close(self) -> None:
        """End the utterance, whatever was heard."""
        self.is_open = False
