"""How a conversation is held: when a turn ends, what interrupts an answer, what is answered."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Literal

from mooer.agent.back_channels import BACK_CHANNELS, INTERRUPTIONS
from mooer.agent.mind import Tool
from mooer.agent.policy import PolicyOptions
from mooer.errors import ConfigError

BargeIn = Literal["pause", "duck", "wait"]
Echo = Literal["off", "text", "cancel"]

_MAY_BE_ZERO = {
    "lead_s",
    "turn_threshold",
    "knowledge_wait_s",
    "soft_db",
    "num_sources",
    "brief_s",
    "brief_words",
}


@dataclass(frozen=True)
class AgentOptions:
    """All knobs of a session; times are seconds of the stream of the user's sound."""

    # What is said
    instructions: str = ""  # the system prompt
    language: str | None = None  # of the user; None hears it
    voice: str = ""  # as `speak.Voice.parse` reads it; "" is the speaker's own
    speed: float = 1.0
    speaks: bool = True  # False: answers are text alone
    max_tokens: int = 200
    tools: tuple[Tool, ...] = ()  # beside those that the session runs itself (`Parts.toolbox`)

    # When somebody speaks, and when a turn ends
    vad_threshold: float = 0.5
    vad_release: float = 0.35
    min_speech_s: float = 0.1  # shorter bursts are no speech
    lead_s: float = 0.5  # of sound kept before the first frame of speech
    hear_s: float = 0.09  # silence after which what was said is heard, in case it was all
    end_s: float = 0.2  # silence after which the turn model is asked
    turn_model: bool = True  # False: silence alone ends a turn
    turn_threshold: float = 0.5  # probability from which a turn is over
    doubt_s: float = 1.2  # silence that ends it below that
    silence_s: float = 0.7  # silence that ends a turn where no turn model is asked
    max_silence_s: float = 1.6  # and the one that ends it whatever the turn model thinks
    partial_s: float | None = 1.0  # of new speech before it is heard while it goes on; None: never
    piece_s: float = 12.0  # a longer turn is heard in pieces, cut where the user paused
    speculate: bool = True  # think before the turn is surely over
    manual: bool = False  # no turn detection: `Session.commit` ends the user's turn

    # What is answered
    create_response: bool = True  # False: an answer is made by `Session.respond` alone
    answers_tools: bool = True  # whether the last result of a tool is answered unasked
    think_s: float = (
        15.0  # without a sign of life from the mind or the speaker, until it is given up
    )
    hear_deadline_s: float = 15.0  # the same of what hears, and of the turn model
    tool_s: float = 10.0  # the same of a tool that the session runs
    max_tool_rounds: int = 4  # calls after calls, within one answer
    max_answer_s: float = 180.0  # of sound
    num_sources: int = 3  # passages of `Parts.knowledge` shown to the mind
    knowledge_wait_s: float = 0.3  # how long an answer waits for them
    proactive_s: float | None = None  # silence of both after which it speaks by itself (`policy`)
    policy: PolicyOptions = field(default_factory=PolicyOptions)  # what it does of its own accord

    # What interrupts an answer
    interrupt_response: bool = True  # False: answers are heard out, then the user's turn counts
    barge_in: BargeIn = "pause"  # stop the sound at once, soften it, or decide by the words first
    interrupt_s: float = 0.09  # speech of the user that stops the sound ("pause"), or softens it
    duck_db: float = 12.0  # by how much ("duck")
    duck_s: float = 0.9  # speech that stops it then, whatever it says
    soft_db: float = 10.0  # quieter than the user's turns by so much: decided by its words
    surely_s: float = 1.2  # speech so long is an interruption, whatever it says ("pause")
    brief_s: float = 0.8  # speech that is no longer, and has no more than so many words, …
    brief_words: int = 3  # … interrupts only by words of `interruptions`
    words_s: float = 0.4  # of new speech before its words are looked at again ("wait")
    false_interruption_s: float = 1.5  # silence after which it goes on, and is stopped by words
    back_channels: tuple[str, ...] = field(default=BACK_CHANNELS, repr=False)
    interruptions: tuple[str, ...] = field(default=INTERRUPTIONS, repr=False)
    echo: Echo = "off"  # the agent's own voice in the microphone

    # What is remembered
    assume_played: bool = False  # for a client that reports nothing: played as it comes, in time
    max_turns: int = 400  # in memory; the oldest are forgotten
    keep_sounds: int = 4  # turns of the user whose sound is kept, for minds that hear

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            least = 0 if spec.name in _MAY_BE_ZERO else None
            if not math.isfinite(value) or (value <= 0 if least is None else value < 0):
                above = "at least 0" if least == 0 else "above 0"
                raise ConfigError(f"{spec.name} must be a number {above}, not {value}")
        for name in ("vad_threshold", "vad_release", "turn_threshold"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} is a probability, not {getattr(self, name)}")
        if self.vad_release > self.vad_threshold:
            raise ConfigError(
                f"speech ends at a probability of {self.vad_release} (vad_release), which must not "
                f"be above the one at which it begins, {self.vad_threshold} (vad_threshold)"
            )
        if not self.hear_s <= self.end_s <= self.max_silence_s:
            raise ConfigError(
                "silences must grow: hear_s <= end_s <= max_silence_s, not "
                f"{self.hear_s:g}, {self.end_s:g} and {self.max_silence_s:g}"
            )
        if self.barge_in not in ("pause", "duck", "wait"):
            raise ConfigError(f"barge_in is pause, duck or wait, not {self.barge_in!r}")
        if self.echo not in ("off", "text", "cancel"):
            raise ConfigError(f"echo is off, text or cancel, not {self.echo!r}")
