"""Conversations as scores: who speaks when, on fakes and a clock that they turn themselves.

The user's words are tones whose loudness tells their place in a table of words, so that what hears
can tell them from the sound alone: a word that is cut off in front or behind is heard by its share.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace

import numpy as np

from mooer.agent.duplex import replay
from mooer.agent.events import AnswerSound, AnswerText, Flush, Resumed
from mooer.agent.jobs import VirtualJobs
from mooer.agent.options import AgentOptions
from mooer.agent.parts import Heard, Parts
from mooer.agent.playout import Playout
from mooer.agent.session import Session
from mooer.errors import AgentError, DecodeError
from mooer.speak.spoken import Spoken, SpokenWord

RATE = 16_000
WORD_S = 0.25
AGENT_WORD_S = 0.3
AGENT_RATE = 8_000


class Clock:
    """Stands still unless work turns it."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def spend(self, seconds):
        self.now_s += seconds


class Words:
    """Words as loudness: word i is a constant of 0.1 + 0.002 i."""

    def __init__(self):
        self._words = [""]

    def sound(self, text, word_s=WORD_S, gain=1.0):
        pieces = []
        for word in text.split():
            if word not in self._words:
                self._words.append(word)
            level = 0.1 + 0.002 * self._words.index(word)
            pieces.append(np.full(round(word_s * RATE), level, np.float32))
        return np.concatenate(pieces)

    def heard(self, samples):
        """The words of which at least half was said."""
        found, place = [], 0
        edges = np.flatnonzero(np.diff(samples)) + 1
        for piece in np.split(samples, edges):
            level = float(piece[0]) if len(piece) else 0.0
            if level > 0.05 and len(piece) >= WORD_S * RATE / 2:
                found.append(self._words[round((level - 0.1) / 0.002)])
            place += len(piece)
        return " ".join(found)


class FakeVad:
    """Speech is what is loud."""

    def start(self):
        return None

    def step(self, frames, state):
        return (np.abs(frames).mean(axis=1) > 0.02).astype(np.float32), None


@dataclass
class FakeHear:
    words: Words
    clock: Clock
    takes_s: float = 0.1
    fails: int = 0
    calls: list = field(default_factory=list)

    def hear(self, samples, *, language=None, is_final=True):
        self.clock.spend(self.takes_s)
        self.calls.append((len(samples) / RATE, is_final))
        if self.fails:
            self.fails -= 1
            raise DecodeError("the ear is blocked: clean it")
        return Heard(self.words.heard(samples), language or "en")


@dataclass
class FakeTurn:
    """A turn is over unless its last word is in `unfinished`."""

    words: Words
    clock: Clock
    takes_s: float = 0.03
    unfinished: tuple = ("and", "to")

    def complete(self, samples):
        self.clock.spend(self.takes_s)
        text = self.words.heard(samples).split()
        return 0.05 if text and text[-1] in self.unfinished else 0.95


@dataclass
class FakeMind:
    """Answers by a table of what the user said last; each word takes time.

    An answer may hold errors to be raised and calls to be made.
    """

    clock: Clock
    answers: dict = field(default_factory=dict)
    word_s: float = 0.02
    first_s: float = 0.1
    hears: bool = False
    asked: list = field(default_factory=list)
    closed: int = 0

    def answer(self, turns, *, system, tools=(), max_tokens=200):
        self.asked.append((tuple(turns), system))
        self.clock.spend(self.first_s)
        answer = self.answers.get(turns[-1].text if turns else "", "I see what you mean.")
        try:
            for piece in [answer] if not isinstance(answer, list) else answer:
                if isinstance(piece, Exception):
                    raise piece
                if not isinstance(piece, str):
                    yield piece
                    continue
                for word in piece.split():
                    self.clock.spend(self.word_s)
                    yield word + " "
        finally:
            self.closed += 1


@dataclass
class ToneVoicing:
    """Speaks clauses, cut at "." and ",", each word a tone; a clause with "!" cannot be spoken."""

    clock: Clock
    rate_hz: int = AGENT_RATE
    takes: float = 0.2  # of the length of its sound

    def voice(self, pieces, *, voice=None, speed=1.0):
        clause = ""
        for piece in pieces:
            clause += piece
            if clause.rstrip().endswith((".", ",", "!", "?")):
                if "!" not in clause:
                    yield self._spoken(clause)
                clause = ""
        if clause.strip():
            yield self._spoken(clause)

    def _spoken(self, text):
        words = text.split()
        num = round(len(words) * AGENT_WORD_S * AGENT_RATE)
        self.clock.spend(self.takes * num / AGENT_RATE)
        times = tuple(
            SpokenWord(word, i * AGENT_WORD_S, (i + 1) * AGENT_WORD_S)
            for i, word in enumerate(words)
        )
        samples = 0.5 * np.sin(np.arange(num, dtype=np.float32))
        return Spoken(text.strip(), samples.astype(np.float32), AGENT_RATE, times)


class Stage:
    """Fakes, a session on them, and what the user says when."""

    def __init__(self, answers=None, *, options=None, jobs=None, clock=None, **parts):
        self.clock = clock or Clock()
        self.words = Words()
        self.hear = FakeHear(self.words, self.clock)
        self.mind = FakeMind(self.clock, dict(answers or {}))
        self.turn = FakeTurn(self.words, self.clock)
        self.voicing = ToneVoicing(self.clock)
        given = {"turn": self.turn, "hear": self.hear, "mind": self.mind, **parts}
        self.parts = Parts(vad=FakeVad(), voicing=self.voicing, **given)
        self.options = options or AgentOptions()
        self.jobs = jobs or VirtualJobs(self.clock)
        self.session = Session(self.parts, self.options, jobs=self.jobs)

    def score(self, *said, end_s=0.0):
        """Samples of (start in seconds, words) or (start, words, gain)."""
        length = max([end_s, *(at + (len(text.split()) + 1) * WORD_S for at, text, *_ in said)])
        samples = np.zeros(round(length * RATE), np.float32)
        for at, text, *_gain in said:
            sound = self.words.sound(text)
            start = round(at * RATE)
            samples[start : start + len(sound)] = sound
        return samples

    def play(self, *said, end_s=0.0, playout=None, frame_s=0.02):
        score = self.score(*said, end_s=end_s)
        replayed = replay(self.session, score, playout, frame_s=frame_s)
        check(replayed.events)
        return Told(replayed.events, replayed.recording)

    def with_options(self, **changes):
        self.session.change(replace(self.session.options, **changes))
        return self


class LatePlayout(Playout):
    """A sound card that is slow: what comes while it plays nothing is heard `latency_s` later."""

    def __init__(self, latency_s):
        super().__init__(RATE)
        self._latency = round(latency_s * RATE)
        self._wait = 0

    def take(self, event):
        if isinstance(event, AnswerSound) and not self.is_playing:
            self._wait = self._latency
        elif isinstance(event, Resumed):
            self._wait = 0
        super().take(event)

    def pull(self, num_samples):
        waited = min(self._wait, num_samples) if self.is_playing else 0
        self._wait -= waited
        late = np.zeros(waited, np.float32)
        return np.concatenate([late, super().pull(num_samples - waited)])


class Told:
    """Events by kind."""

    def __init__(self, events, recording=None):
        self.events = list(events)
        self.recording = recording

    def all(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def one(self, kind):
        (event,) = self.all(kind)
        return event

    def kinds(self, *kinds):
        return [type(e).__name__ for e in self.events if not kinds or isinstance(e, kinds)]

    def text(self, answer):
        return "".join(e.text for e in self.all(AnswerText) if e.answer == answer).strip()


def check(events):
    """What must hold of any conversation: time goes on, and sound has no gap but by a flush."""
    reached, flushed, over = {}, set(), set()
    for event in events:
        if isinstance(event, AnswerSound):
            assert event.answer not in flushed, "sound of an answer that stands still"
            assert event.start_sample == reached.get(event.answer, 0), "a gap in the sound"
            assert event.answer not in over, "sound of an answer that is broken off"
            reached[event.answer] = event.start_sample + len(event.samples)
        elif isinstance(event, AnswerText):
            assert event.answer not in over
        elif isinstance(event, Flush):
            assert event.answer not in flushed
            flushed.add(event.answer)
        elif isinstance(event, Resumed):
            flushed.remove(event.answer)
            reached[event.answer] = event.start_sample
        elif type(event).__name__ == "AnswerEnded" and not event.is_whole:
            over.add(event.answer)


class Toolbox:
    """Adds numbers."""

    def __init__(self, clock, takes_s=0.2):
        from mooer.agent.mind import Tool

        self.tools = (Tool("add", "adds numbers"), Tool("fail", "fails"))
        self.clock, self.takes_s = clock, takes_s

    def run(self, name, arguments):
        self.clock.spend(self.takes_s)
        if name == "fail":
            raise AgentError("the tool is broken: take another")
        return str(sum(json.loads(arguments)["numbers"]))
