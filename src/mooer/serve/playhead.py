"""How far an answer has been played, as its caller reports it, or by the clock if it does not."""

from __future__ import annotations

import time
from collections.abc import Callable


class Playhead:
    """One answer at the caller's side; counts samples of the answer."""

    def __init__(self, *, reports: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._reports = reports
        self._clock = clock
        self._sent = 0
        self._rate_hz = 0
        self._played = 0.0
        self._at_s = 0.0  # by the clock, when it was so far
        self._is_stopped = False

    @property
    def is_playing(self) -> bool:
        """Whether sound was sent that is not played."""
        return not self._is_stopped and self._played < self._sent

    def send(self, start: int, num: int, rate_hz: int) -> None:
        """Samples from `start` on are on their way; what was stopped goes on there."""
        if not self.is_playing:
            self._at_s = self._clock()
        if self._is_stopped:
            self._is_stopped = False
            self._played = float(start)
        self._sent, self._rate_hz = start + num, rate_hz

    def report(self, num: int) -> int:
        """The caller has played so many; what that can be at most."""
        self._played = float(max(self._played, min(num, self._sent)))
        return round(self._played)

    def stop(self) -> None:
        """Nothing more is played of what was sent."""
        self._is_stopped = True

    def advance(self) -> int | None:
        """How far it is by the clock; None if the caller tells that, or nothing is played."""
        if self._reports or not self.is_playing:
            return None
        now_s = self._clock()
        self._played += (now_s - self._at_s) * self._rate_hz
        self._at_s = now_s
        self._played = min(self._played, float(self._sent))
        return round(self._played)
