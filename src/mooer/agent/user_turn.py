"""A turn of the user while it is said, and an attempt at ending it."""

from __future__ import annotations

from dataclasses import dataclass, field

from mooer.agent.context import Task
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.text import join_text


@dataclass
class UserTurn:
    """What is known of a turn so far; positions are samples of the stream."""

    number: int
    begin: int  # its first frame of speech
    sound_start: int  # its sound, with the lead-in
    start: int  # sound before it is written down for good
    speech_end: int  # after its last frame of speech
    is_overlap: bool = False  # it may be an interruption of an answer; not yet judged
    num_speech: int = 0  # frames
    power: float = 0.0  # sum over its frames of speech
    pieces: list[str | None] = field(default_factory=list)  # written down for good; None: soon
    language: str = ""
    tasks: list[Task] = field(default_factory=list)  # that write down its pieces
    moments: dict[str, float] = field(default_factory=dict)

    @property
    def speech_end_s(self) -> float:
        """When the last speech ended."""
        return self.speech_end / SAMPLE_RATE_HZ

    @property
    def is_waiting(self) -> bool:
        """Whether a piece of it is still being heard."""
        return None in self.pieces

    def close(self) -> None:
        """Nobody wants to know what was said in it."""
        for task in self.tasks:
            task.close()

    def text_with(self, rest: str) -> str:
        """All its text, `rest` last."""
        return join_text([text for text in (*self.pieces, rest) if text])


@dataclass
class Attempt:
    """The user is silent: was that all? Void once he goes on."""

    end: int  # sample up to which it was heard
    hearing: Task | None = None
    asking: Task | None = None
    text: str | None = None  # of the sound since `UserTurn.start`; None: not heard yet
    reading: Task | None = None
    by_voice: float | None = None  # probability that the turn is over; None: not told yet
    by_words: float | None = None  # the same; None: nobody tells
    is_asked: bool = False
    is_read: bool = False  # whether the words have been judged, as far as somebody can
    needs_silence: bool = False  # the turn model is not there, or failed
    is_forced: bool = False  # the turn is over, whoever goes on
    num_speech: int = 0  # frames in a row, after the silence

    def close(self) -> None:
        """Nobody wants to know any more."""
        for task in (self.hearing, self.asking, self.reading):
            if task:
                task.close()
