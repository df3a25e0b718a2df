"""The models of a conversation, which many sessions may share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.agent.mind import Knowledge, Mind, Tool
from mooer.audio.vad import SpeechProbability
from mooer.speak.spoken import Voicing

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Heard:
    """What is said in a sound."""

    text: str  # "" where nobody speaks
    language: str = ""


class Hear(Protocol):
    """Writes down what is said; called in a job."""

    def hear(
        self, samples: Samples, *, language: str | None = None, is_final: bool = True
    ) -> Heard:
        """The words of samples [T] at 16 kHz, of up to half a minute.

        `language` is None where it is not known. What is not final is shown, and then heard again
        with more sound: it may be done in haste. A MooerError if it cannot be heard.
        """
        ...


class TurnModel(Protocol):
    """Tells by the voice whether somebody has finished; called in a job."""

    def complete(self, samples: Samples) -> float:
        """Probability that the turn in samples [T] at 16 kHz is over."""
        ...


class Toolbox(Protocol):
    """Functions that the session runs itself when the mind calls them (`agent.tools.Toolbox`)."""

    @property
    def tools(self) -> Sequence[Tool]:
        """What a mind is told of them."""
        ...

    def run(self, name: str, arguments: str) -> str:
        """The result for the mind of a function called with arguments in JSON; run in a job.

        What goes wrong is told in the result, or by a MooerError.
        """
        ...


@dataclass(frozen=True)
class Parts:
    """The models of a conversation."""

    hear: Hear
    mind: Mind
    voicing: Voicing
    vad: SpeechProbability
    turn: TurnModel | None = None  # None: silence alone ends a turn
    knowledge: Sequence[Knowledge] = ()
    toolbox: Toolbox | None = None
