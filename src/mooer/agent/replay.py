"""A recording through a session, faster than life, with a client that plays what comes back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from mooer.agent.events import AnswerSound, Event, Flush, Resumed
from mooer.agent.parts import Samples
from mooer.agent.session import Session
from mooer.audio.resample import Resampler
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.errors import ConfigError

_SETTLED_S = 2.5  # of quiet behind the recording: nothing more is to come


@dataclass(frozen=True, eq=False)
class Replayed:
    """What a replay gave."""

    events: tuple[Event, ...]
    recording: Samples  # [T, 2] at 16 kHz: the user, and the agent as it was played


@dataclass
class Player:
    """A client without a loudspeaker: it plays in time with the user's sound, and stops at a flush.

    `latency_s` passes between the arrival of a sound and its first sample, when nothing is playing.
    """

    latency_s: float = 0.0
    track: list[Samples] = field(default_factory=list)  # all that was played, silence with it
    rate_hz: int = SAMPLE_RATE_HZ
    _queue: list[tuple[int, int, Samples]] = field(default_factory=list)  # answer, start, samples
    _wait_s: float = 0.0
    _owed: float = 0.0  # samples, less than one

    def take(self, events: Iterable[Event]) -> None:
        """Sound to play, and what stops it."""
        for event in events:
            if isinstance(event, AnswerSound):
                if not self._queue:
                    self._wait_s = self.latency_s
                self._set_rate(event.rate_hz)
                self._queue.append((event.answer, event.start_sample, event.samples))
            elif isinstance(event, Flush):
                self._queue = [entry for entry in self._queue if entry[0] != event.answer]
            elif isinstance(event, Resumed):
                self._wait_s = 0.0

    def _set_rate(self, rate_hz: int) -> None:
        """All answers have the same rate; before the first there is silence of any rate."""
        if rate_hz != self.rate_hz:
            num = round(sum(map(len, self.track)) * rate_hz / self.rate_hz)
            self.track, self.rate_hz = [np.zeros(num, np.float32)], rate_hz

    @property
    def is_playing(self) -> bool:
        """Whether there is sound to play."""
        return bool(self._queue)

    def play(self, seconds: float) -> dict[int, int]:
        """Play on; of each answer that sounded, how many of its samples are played now."""
        self._owed += seconds * self.rate_hz
        num, reached = int(self._owed), {}
        self._owed -= num
        waited = min(num, round(self._wait_s * self.rate_hz)) if self._queue else 0
        self._wait_s = max(0.0, self._wait_s - waited / self.rate_hz)
        out, place = np.zeros(num, np.float32), waited
        while self._queue and place < num:
            answer, start, samples = self._queue.pop(0)
            size = min(num - place, len(samples))
            out[place : place + size] = samples[:size]
            place, reached[answer] = place + size, start + size
            if size < len(samples):
                self._queue.insert(0, (answer, start + size, samples[size:]))
        self.track.append(out)
        return reached


def replay(
    session: Session,
    samples: Samples,
    *,
    frame_s: float = 0.02,
    player: Player | None = None,
    max_tail_s: float = 60.0,
) -> Replayed:
    """Push a recording [T] at 16 kHz through a session by frames, and play what it answers.

    Behind the recording comes silence, until nothing more is said, made or played. With
    `VirtualJobs` it takes as long as the models do; the session stays open.
    """
    if frame_s <= 0:
        raise ConfigError(f"frames must be longer than 0 s, not {frame_s} s")
    player = player or Player()
    size = max(1, round(frame_s * SAMPLE_RATE_HZ))
    events: list[Event] = []
    user: list[Samples] = []

    def step(frame: Samples) -> None:
        user.append(frame)
        told = session.push(frame)
        player.take(told)
        events.extend(told)
        for answer, num in player.play(len(frame) / SAMPLE_RATE_HZ).items():
            told = session.played(answer, num)
            player.take(told)
            events.extend(told)

    for start in range(0, len(samples), size):
        step(samples[start : start + size])
    silence = np.zeros(size, np.float32)
    quiet_s = tail_s = 0.0
    while quiet_s < _SETTLED_S and tail_s < max_tail_s:
        step(silence)
        tail_s += frame_s
        quiet_s = quiet_s + frame_s if session.is_quiet and not player.is_playing else 0.0
    return Replayed(tuple(events), _two_channels(np.concatenate(user), player))


def _two_channels(user: Samples, player: Player) -> Samples:
    track = np.concatenate(player.track)
    resampler = Resampler(player.rate_hz, SAMPLE_RATE_HZ)
    agent = np.concatenate([resampler.push(track), resampler.flush()])
    agent = np.pad(agent, (0, max(0, len(user) - len(agent))))[: len(user)]
    return np.stack([user, agent], axis=1)
