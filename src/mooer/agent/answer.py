"""An answer on its way: what is written, spoken, told and heard of it, to the sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mooer.agent.events import Source
from mooer.agent.mind import ToolCall, Turn
from mooer.agent.parts import Samples
from mooer.speak.spoken import Spoken
from mooer.text import join_text

_NO_RESULT = "(no result came)"


@dataclass
class Clause:
    """A clause, and where its sound lies in the answer."""

    start: int
    num_samples: int
    spoken: Spoken

    @property
    def end(self) -> int:
        """The first sample after it."""
        return self.start + self.num_samples

    def heard(self, num_played: int) -> str:
        """Its text up to the last word that was played past its half."""
        text, rate_hz = self.spoken.text, self.spoken.rate_hz
        if num_played >= self.end:
            return text
        into_s = (num_played - self.start) / rate_hz
        if into_s <= 0:
            return ""
        if not self.spoken.words:  # as if every character took as long
            share = into_s * rate_hz / self.num_samples
            cut = text[: int(share * len(text))]
            return cut if not cut or cut[-1:].isspace() or " " not in text else _whole_words(cut)
        place = 0
        for word in self.spoken.words:
            if (word.start_s + word.end_s) / 2 > into_s:
                return text[:place].rstrip()
            at = text.find(word.text.strip(), place)
            place = at + len(word.text.strip()) if at >= 0 else place
        return text


def _whole_words(text: str) -> str:
    return text.rpartition(" ")[0]


@dataclass
class Round:
    """What the mind writes at once: an answer has one, and one more after each call of tools."""

    answer: Answer
    clauses: list[Clause] = field(default_factory=list)
    text: str = ""  # as it was written
    calls: list[ToolCall] = field(default_factory=list)
    results: dict[str, str] = field(default_factory=dict)  # of calls, by their ids
    is_broken: bool = False  # the mind or the speaker failed in it

    @property
    def heard(self) -> str:
        """What the user heard of it."""
        answer = self.answer
        if not answer.is_spoken:
            return self.text.strip()
        if answer.is_heard_out and not (self.is_broken or answer.is_broken_off):
            return self.text.strip()
        return join_text([part for c in self.clauses if (part := c.heard(answer.played).strip())])

    def turns(self) -> list[Turn]:
        """It as turns of memory: what was heard, and the results of its calls."""
        text = self.heard
        if not text and not self.calls:
            return []
        is_cut = self.answer.is_broken_off
        results = [
            Turn("tool", self.results.get(call.id, _NO_RESULT), call=call.id) for call in self.calls
        ]
        return [Turn("assistant", text, is_cut=is_cut, calls=tuple(self.calls)), *results]


@dataclass
class Answer:
    """An answer; samples are counted at `rate_hz`, from its beginning."""

    number: int
    turn: int | None
    rate_hz: int
    is_spoken: bool  # False: it is text alone
    is_held: bool = False  # made in case the turn is over; nothing of it is told
    is_made: bool = False  # no more text or sound comes
    is_broken_off: bool = False
    is_paused: bool = False  # the sound is stopped, for now
    has_ended: bool = False  # AnswerEnded was told
    rounds: list[Round] = field(default_factory=list)
    num_samples: int = 0
    told: int = 0  # samples
    played: int = 0  # samples, as reported
    player: float = 0.0  # samples, as a client that reports nothing would play them
    is_reported: bool = False
    remembered: str | None = None  # what Remembered told last
    settles_s: float | None = None  # broken off: when to remember it without a report
    sources: tuple[Source, ...] = ()
    moments: dict[str, float] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All that is written of it."""
        return "".join(round_.text for round_ in self.rounds)

    @property
    def heard(self) -> str:
        """What the user heard of it."""
        return join_text([text for r in self.rounds if (text := r.heard)])

    @property
    def is_heard_out(self) -> bool:
        """Whether all of it was played."""
        return self.is_made and self.played >= self.num_samples

    def add(self, spoken: Spoken) -> Clause:
        """The next clause."""
        clause = Clause(self.num_samples, len(spoken.samples), spoken)
        self.rounds[-1].clauses.append(clause)
        self.num_samples += clause.num_samples
        return clause

    def sound_from(self, start: int) -> Iterator[tuple[int, Samples, str]]:
        """(start, samples, text) of what is to be played from a sample on."""
        for round_ in self.rounds:
            for clause in round_.clauses:
                if clause.end > start and len(clause.spoken.samples):
                    into = max(0, start - clause.start)
                    text = "" if into else clause.spoken.text
                    yield clause.start + into, clause.spoken.samples[into:], text

    def spoken_around(self, before_s: float = 8.0, after_s: float = 2.0) -> str:
        """The text whose sound is about where the player is."""
        first = self.played - round(before_s * self.rate_hz)
        last = self.played + round(after_s * self.rate_hz)
        clauses = [c for r in self.rounds for c in r.clauses if c.end > first and c.start < last]
        return join_text([clause.spoken.text for clause in clauses])

    def forget_sound(self) -> None:
        """Let go of the samples; the times of the words stay."""
        nothing = np.zeros(0, np.float32)
        for round_ in self.rounds:
            for clause in round_.clauses:
                clause.spoken = replace(clause.spoken, samples=nothing)
