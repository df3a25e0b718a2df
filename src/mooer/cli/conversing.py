"""A spoken conversation in the terminal: sound in, keys and lines in, events out, sound out."""

from __future__ import annotations

import contextlib
import itertools
import logging
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mooer.agent.duplex import FRAME_S, RATE_HZ
from mooer.agent.events import (
    AnswerEnded,
    AnswerStarted,
    Event,
    Failed,
    Samples,
    TurnEnded,
    TurnReopened,
)
from mooer.agent.playout import Playout
from mooer.agent.recorder import Recorder
from mooer.audio.resample import Resampler
from mooer.cli.feed import Block, Feed, paced
from mooer.cli.keys import END, INTERRUPT

if TYPE_CHECKING:
    from mooer.cli.keys import Typed
    from mooer.cli.talk_view import TalkView

logger = logging.getLogger(__name__)

_POLL_S = 0.02
_ZEROS_S = 4.0  # of exact zeros: no microphone is so quiet, but one that may not be heard


class Talker(Protocol):
    """What of a session is used here."""

    def push(self, samples: Samples) -> list[Event]: ...  # noqa: D102
    def poll(self) -> list[Event]: ...  # noqa: D102
    def played(self, answer: int, num_samples: int) -> list[Event]: ...  # noqa: D102
    def say(self, text: str) -> list[Event]: ...  # noqa: D102
    def interrupt(self) -> list[Event]: ...  # noqa: D102


class Ear(Protocol):
    """Where answers are played: `Loudspeaker` or `Unheard`."""

    playout: Playout

    def heard(self, num_samples: int) -> Samples: ...  # noqa: D102


@dataclass(frozen=True)
class Ends:
    """When a conversation is over, beside ctrl-C."""

    tail_s: float | None = None  # of quiet behind the last that was said; None: never
    after: threading.Event | None = None  # set when the recording is over
    waits: bool = False  # a line is said when the one before has been answered


class Conversation:
    """Joins a session, an ear, a view and a recorder; used from one thread."""

    def __init__(
        self,
        session: Talker,
        ear: Ear,
        view: TalkView,
        recorder: Recorder | None = None,
        *,
        is_microphone: bool = False,
    ) -> None:
        self._session, self._ear, self._view, self._recorder = session, ear, view, recorder
        self._is_microphone = is_microphone
        self._is_open = False  # whether a turn is being answered
        self._num_zeros = 0
        self.quiet_s = 0.0  # since anything was said or played

    @property
    def is_busy(self) -> bool:
        """Whether something is being answered or played."""
        return self._is_open or self._ear.playout.is_playing

    def hear(self, samples: Samples) -> None:
        """The user's sound [T] at 16 kHz."""
        agent = self._ear.heard(len(samples))
        self.take(self._session.push(samples))
        self.report()
        if self._recorder is not None:
            self._recorder.push(samples, agent)
        self.quiet_s = 0.0 if self.is_busy else self.quiet_s + len(samples) / RATE_HZ
        self._watch(samples)

    def take(self, events: Iterable[Event]) -> None:
        """Play, show and keep what is told."""
        events = list(events)
        for event in events:
            self._ear.playout.take(event)
            self._view.show(event)
            self._count(event)
        if self._recorder is not None:
            self._recorder.note(events)

    def report(self) -> None:
        """Tell the session what was played."""
        for answer, num_samples in self._ear.playout.reports():
            self.take(self._session.played(answer, num_samples))

    def poll(self) -> None:
        """Take what has come without sound."""
        self.take(self._session.poll())
        self.report()

    def say(self, typed: str) -> None:
        """A line of the keyboard, or a key."""
        self.take(self._session.interrupt() if typed == INTERRUPT else self._session.say(typed))

    def _count(self, event: Event) -> None:
        if isinstance(event, TurnEnded):
            self._is_open = True
            self.quiet_s = 0.0
        elif isinstance(event, AnswerStarted):
            self._is_open = True
        elif isinstance(event, AnswerEnded | TurnReopened | Failed):
            self._is_open = False

    def _watch(self, samples: Samples) -> None:
        """Say so if the microphone gives nothing but zeros, as one without permission does."""
        before = self._num_zeros
        limit = round(_ZEROS_S * RATE_HZ)
        self._num_zeros = 0 if samples.any() else before + len(samples)
        if before < limit <= self._num_zeros and self._is_microphone:
            logger.warning(
                "the microphone gives silence without any noise: allow the terminal to use it in "
                "the privacy settings of the system, or switch it on"
            )


def hold(
    talk: Conversation,
    feed: Feed,
    rate_hz: int,
    stopped: threading.Event,
    *,
    typed: Typed | None = None,
    ends: Ends | None = None,
) -> None:
    """Converse until ctrl-C, or until it `ends`; what the feed gives is at `rate_hz`.

    AudioError if the microphone or the loudspeaker goes.
    """
    ends = ends or Ends()
    resampler = Resampler(rate_hz, RATE_HZ)
    waiting: list[str] = []
    no_more = typed is None
    while not stopped.is_set():
        block = feed.get(_POLL_S)
        if block is not None and len(block):
            talk.hear(resampler.push(np.asarray(block, np.float32)))
        elif feed.is_over:
            return
        else:
            talk.poll()
        while typed is not None and (found := typed.get()) is not None:
            if found == END:
                no_more = True
            else:
                waiting.append(found)
        if waiting and not (ends.waits and talk.is_busy):
            talk.say(waiting.pop(0))
        elif ends.after is not None and not ends.after.is_set():
            talk.quiet_s = 0.0  # a recording may pause for as long as it likes
        elif no_more and ends.tail_s is not None and talk.quiet_s >= ends.tail_s:
            return


def silence() -> Generator[Block, None, None]:
    """No sound, at the pace of life: time must pass where nobody speaks."""
    block = np.zeros(round(FRAME_S * RATE_HZ), np.float32)
    yield from paced(itertools.repeat(block), 1.0)


def then_silence(
    blocks: Generator[Block, None, None], over: threading.Event
) -> Generator[Block, None, None]:
    """A recording, and behind it silence without end."""
    with contextlib.closing(blocks):
        yield from blocks
    over.set()
    yield from silence()
