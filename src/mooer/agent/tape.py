"""The last of the user's sound, frame by frame, as far back as somebody may still want it."""

from __future__ import annotations

from collections import deque

import numpy as np

from mooer.agent.parts import Samples
from mooer.audio.vad import FRAME_SAMPLES


class Tape:
    """Frames of 32 ms and their speech probability; positions are samples of the stream."""

    def __init__(self, start: int = 0) -> None:
        self._start = start
        self._frames: deque[Samples] = deque()
        self._probs: deque[float] = deque()

    @property
    def start(self) -> int:
        """The first sample that is kept."""
        return self._start

    @property
    def end(self) -> int:
        """The first sample that is still to come."""
        return self._start + len(self._frames) * FRAME_SAMPLES

    def add(self, frame: Samples, prob: float) -> None:
        """The next frame [512]."""
        self._frames.append(frame)
        self._probs.append(prob)

    def forget(self, before: int) -> None:
        """Drop the frames that lie wholly before a sample."""
        while self._frames and self._start + FRAME_SAMPLES <= before:
            self._frames.popleft()
            self._probs.popleft()
            self._start += FRAME_SAMPLES

    def cut(self, start: int, end: int) -> Samples:
        """Samples [end - start], or what of them is kept."""
        start, end = max(start, self._start), min(end, self.end)
        if start >= end:
            return np.zeros(0, np.float32)
        first = (start - self._start) // FRAME_SAMPLES
        last = -(-(end - self._start) // FRAME_SAMPLES)
        frames = [self._frames[i] for i in range(first, last)]
        offset = start - self._start - first * FRAME_SAMPLES
        return np.concatenate(frames)[offset : offset + end - start]

    def quietest(self, start: int, end: int) -> int:
        """Where between two samples speech is least probable: the middle of that frame."""
        first = max(0, (start - self._start) // FRAME_SAMPLES)
        last = max(first + 1, (end - self._start) // FRAME_SAMPLES)
        probs = [self._probs[i] for i in range(first, min(last, len(self._probs)))]
        best = first + int(np.argmin(probs))
        return self._start + best * FRAME_SAMPLES + FRAME_SAMPLES // 2
