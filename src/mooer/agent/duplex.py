"""Both sides of a conversation on one clock: a user, a session, and an ear that reports.

The clock is the sound of the user. What a session tells when a frame of it has been pushed is heard
from the next frame on, as by a client without a network between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mooer.agent.events import Event, Samples
from mooer.agent.playout import Playout
from mooer.errors import ConfigError

RATE_HZ = 16_000
FRAME_S = 0.02
_PATIENCE_S = 10.0
_SETTLED_S = 2.5  # of quiet behind a recording: nothing more is to come
_MAX_TAIL_S = 60.0


class Pushed(Protocol):
    """What of a session a client with a microphone and a loudspeaker needs."""

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks, and nothing is being answered or played."""
        ...

    def push(self, samples: Samples) -> list[Event]:
        """The user's sound [T] at 16 kHz; what there is to tell."""
        ...

    def played(self, answer: int, num_samples: int) -> list[Event]:
        """So many samples of an answer were played so far."""
        ...


class UserSide(Protocol):
    """Who speaks into the microphone."""

    def speak(self, num_samples: int, playout: Playout) -> Samples | None:
        """The next samples [at most `num_samples`] at 16 kHz, having heard `playout` so far.

        None if the user has gone.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What was said and heard at the same time, and what was told at its end."""

    time_s: float  # of its end
    user: Samples  # [T] at 16 kHz
    agent: Samples  # [T], what was heard of the answers
    events: list[Event]


def converse(
    session: Pushed, user: UserSide, playout: Playout | None = None, *, frame_s: float = FRAME_S
) -> Iterator[Frame]:
    """Frames until the user has gone; `playout`, at 16 kHz, tells afterwards what was heard when.

    Nothing is held but what is queued to be played.
    """
    playout = playout or Playout(RATE_HZ)
    num_frame = max(1, round(frame_s * RATE_HZ))
    num_said = 0
    while (said := user.speak(num_frame, playout)) is not None:
        num_said += len(said)
        agent = playout.pull(len(said))
        events = list(session.push(said))
        _take(playout, events)
        for answer, num_samples in playout.reports():
            told = session.played(answer, num_samples)
            _take(playout, told)
            events += told
        yield Frame(num_said / RATE_HZ, said, agent, events)


def _take(playout: Playout, events: Iterable[Event]) -> None:
    for event in events:
        playout.take(event)


@dataclass(frozen=True, eq=False)
class Replayed:
    """What a replay gave."""

    events: tuple[Event, ...]
    recording: Samples  # [T, 2] at 16 kHz: the user, and the agent as it was played


def replay(
    session: Pushed, samples: Samples, playout: Playout | None = None, *, frame_s: float = FRAME_S
) -> Replayed:
    """Push a recording [T] at 16 kHz through a session by frames, and play what it answers.

    Behind the recording comes silence, until nothing more is said, made or played. With
    `VirtualJobs` it takes as long as the models do; the session stays open. ConfigError for frames
    of no length.
    """
    if frame_s <= 0:
        raise ConfigError(f"frames must be longer than 0 s, not {frame_s} s")
    user = Recorded([samples], tail_s=_SETTLED_S, is_quiet=lambda: session.is_quiet)
    frames = list(converse(session, user, playout, frame_s=frame_s))
    sides = [np.concatenate([f.user for f in frames]), np.concatenate([f.agent for f in frames])]
    return Replayed(tuple(event for f in frames for event in f.events), np.stack(sides, axis=1))


class Recorded:
    """A recording as the user; behind it silence, until `tail_s` long nothing was answered.

    While a session `is_quiet` says that it is not, the silence goes on, for up to a minute.
    """

    def __init__(
        self,
        blocks: Iterable[Samples],
        *,
        tail_s: float = _PATIENCE_S,
        is_quiet: Callable[[], bool] | None = None,
    ) -> None:
        self._blocks = iter(blocks)
        self._is_quiet = is_quiet or (lambda: True)
        self._rest = np.zeros(0, np.float32)
        self._tail = round(tail_s * RATE_HZ)
        self._num_quiet = 0  # samples since the session had nothing to do
        self._num_silent = 0  # and since nothing was played

    def speak(self, num_samples: int, playout: Playout) -> Samples | None:
        """The next samples of the recording, then silence."""
        while len(self._rest) < num_samples and (block := next(self._blocks, None)) is not None:
            self._rest = np.concatenate([self._rest, np.asarray(block, np.float32)])
        if len(self._rest):
            said, self._rest = self._rest[:num_samples], self._rest[num_samples:]
            return said
        if playout.is_playing:
            self._num_quiet = self._num_silent = 0
        elif not self._is_quiet() and self._num_silent < _MAX_TAIL_S * RATE_HZ:
            self._num_quiet = 0
        elif self._num_quiet >= self._tail:
            return None
        self._num_quiet += num_samples
        self._num_silent += num_samples
        return np.zeros(num_samples, np.float32)
