"""What happens in a spoken conversation, as it is told to whoever holds the other end.

Times are seconds of the stream of the user's sound, so a recording that is replayed faster than
life gives the same events. An answer is known by its number; of each it is known to the sample what
was played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class UserStarted:
    """Somebody begins to speak."""

    time_s: float  # of the first sound of it


@dataclass(frozen=True, slots=True)
class UserText:
    """What the user has said so far in this turn; it replaces what was told before."""

    time_s: float
    text: str
    language: str = ""
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class UserStopped:
    """The user is silent; whether the turn is over is another matter."""

    time_s: float  # of the last sound of speech


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The user's turn is over: `text` is what is answered."""

    time_s: float
    turn: int
    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class TurnReopened:
    """The user goes on with a turn that seemed over: its answer is void, none of it was played."""

    time_s: float
    turn: int


@dataclass(frozen=True, slots=True)
class BackChannel:
    """The user says "mm-hm" while the answer is spoken: it goes on."""

    time_s: float
    text: str


@dataclass(frozen=True, slots=True)
class AnswerStarted:
    """An answer to turn `turn`, or one that nobody asked for (`turn` is None: a proactive turn)."""

    time_s: float
    answer: int
    turn: int | None


@dataclass(frozen=True, slots=True)
class AnswerText:
    """A further piece of what the answer says."""

    time_s: float
    answer: int
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class AnswerSound:
    """A further piece of its sound, to be played after what came before it."""

    time_s: float
    answer: int
    samples: Samples  # [T] in [-1, 1]
    rate_hz: int
    start_sample: int  # of the answer
    text: str  # what is said in it; "" where it only goes on


@dataclass(frozen=True, slots=True)
class AnswerEnded:
    """No more text or sound comes of the answer (what was sent may still be playing)."""

    time_s: float
    answer: int
    text: str
    is_whole: bool  # False: it was broken off


@dataclass(frozen=True, slots=True)
class Flush:
    """Stop playing at once, and forget what is not played: the user interrupts.

    Whoever plays it tells how far it got by `Session.played`.
    """

    time_s: float
    answer: int


@dataclass(frozen=True, slots=True)
class Volume:
    """Play an answer at this level from now on: softer while it is not known who interrupts."""

    time_s: float
    answer: int
    gain_db: float  # beside what it was made at


@dataclass(frozen=True, slots=True)
class Resumed:
    """The interruption was none: the answer goes on from the sample where it stopped."""

    time_s: float
    answer: int
    start_sample: int


@dataclass(frozen=True, slots=True)
class Remembered:
    """What of an answer was heard, and stays in memory."""

    time_s: float
    answer: int
    text: str
    played_samples: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class ToolCalled:
    """The mind calls a function; `Session.tool_result` brings the result, unless it is ours."""

    time_s: float
    answer: int
    call: str  # its id
    name: str
    arguments: str  # JSON
    is_ours: bool  # whether the session runs it itself


@dataclass(frozen=True, slots=True)
class Source:
    """Where something in an answer is from."""

    name: str  # a path below the folder, or the address of a page
    text: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Sourced:
    """What was found for an answer, and shown to the mind."""

    time_s: float
    answer: int
    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where the time of an answer went: the moments by name, in seconds of the stream.

    speech_end, vad, turn, asr_final, retrieval, first_token, first_clause, first_audio, played.
    What did not happen is absent.
    """

    time_s: float
    answer: int
    moments: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A stage failed; the conversation goes on."""

    time_s: float
    stage: str  # hear, turn, words, think, speak, search, tool
    message: str  # one sentence


Event = (
    UserStarted
    | UserText
    | UserStopped
    | TurnEnded
    | TurnReopened
    | BackChannel
    | AnswerStarted
    | AnswerText
    | AnswerSound
    | AnswerEnded
    | Flush
    | Volume
    | Resumed
    | Remembered
    | ToolCalled
    | Sourced
    | Waterfall
    | Failed
)
