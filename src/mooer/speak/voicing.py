"""A text that is still being written, spoken by any `Speaker`: clauses with times of their words.

    voicing = voicing_of(load_speaker("kokoro-82m"))
    for spoken in voicing.voice(mind.answer(...)):
        play(spoken.samples)

Between two clauses stands a pause as long as the mark at the end of the first asks for; it is the
beginning of the second one's sound. Times of words come from the speaker: Kokoro and Piper know how
long each phoneme lasts, espeak-ng when each word begins. Of other speakers' clauses they are
estimates: the sound without the silence at its ends is shared out by syllables.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mooer.errors import DecodeError
from mooer.speak.base import Samples, Speaker, Stretch, TimedSpeaker, Voice, voices_for
from mooer.speak.clauses import ClauseOptions, clauses
from mooer.speak.speakable import Speakable, speakable
from mooer.speak.spoken import Spoken, SpokenWord
from mooer.speak.stretches import estimated, word_spans
from mooer.text import is_cjk

logger = logging.getLogger(__name__)

# Seconds of silence behind a clause, by its last mark; the first that is found counts.
_PAUSES = (("\n", 0.45), ("…", 0.35), ("。.!！?？", 0.3), ("；;：:—", 0.22), ("，,、", 0.15))
_CLOSING = "\"”’'」』》）)]】*_` \t"


@dataclass(frozen=True)
class VoicingOptions:
    """How a text is spoken."""

    voice: Voice | None = None  # None: the speaker's first in the language of the first clause
    language: str | None = None  # None: by what is written, clause by clause
    clauses: ClauseOptions = field(default_factory=ClauseOptions)


class SpeakerVoicing:
    """A `Voicing` over a speaker; used by one thread at a time, as its speaker is."""

    def __init__(self, speaker: Speaker, options: VoicingOptions | None = None) -> None:
        self.speaker = speaker
        self.options = options or VoicingOptions()
        self.rate_hz = speaker.rate_hz

    def default_voice(self, language: str) -> Voice:
        """The one that speaks a text that begins in a language, where none is asked for."""
        return self.options.voice or Voice.parse(voices_for(self.speaker, language)[0])

    def voice(
        self, pieces: Iterable[str], *, voice: Voice | None = None, speed: float = 1.0
    ) -> Generator[Spoken, None, None]:
        """Clauses as soon as each is whole; closing the generator stops it.

        A clause of which the speaker makes nothing (DecodeError), or whose language it does not
        speak, is left out with a warning; a wrong voice or speed is a ConfigError, a speaker that
        is gone a ModelError.
        """
        language = ""
        before = ""  # the clause that was said last
        for clause in clauses(pieces, self.options.clauses):
            language = self.language_of(clause, language)
            voice = voice or self.default_voice(language)
            try:
                spoken = self.say(clause, language, voice, speed=speed)
            except DecodeError as error:
                logger.warning("left out of what is spoken: %s", error)
                continue
            if spoken is not None:
                yield delayed(spoken, pause_after(before) / speed if before else 0.0)
                before = clause

    def say(self, clause: str, language: str, voice: Voice, *, speed: float = 1.0) -> Spoken | None:
        """One clause; None if there is nothing to say in it. DecodeError if it cannot be said."""
        what = speakable(clause)
        if not any(char.isalnum() for char in what.text):
            return None
        if language not in self.speaker.languages:
            known = ", ".join(self.speaker.languages[:8])
            raise DecodeError(f"this speaker has no {language}, only {known}: {clause[:40]!r}")
        stretches: Sequence[Stretch] = ()
        if isinstance(self.speaker, TimedSpeaker):
            samples, stretches = self.speaker.speak_timed(what.text, language, voice, speed=speed)
        else:
            samples = self.speaker.speak(what.text, language, voice, speed=speed)
        stretches = stretches or estimated(what.text, samples, self.rate_hz, language)
        words = written_words(clause, what, stretches, language)
        return Spoken(clause, samples, self.rate_hz, words)

    def language_of(self, clause: str, before: str = "") -> str:
        """Of a clause: what most of it is written in; where that says nothing, as `before`."""
        if self.options.language:
            return self.options.language
        found = written_language(clause)
        if not found:
            return before or ("en" if "en" in self.speaker.languages else self.speaker.languages[0])
        # Words of another language are a part of what a speaker of one language reads.
        if found not in self.speaker.languages and found == "zh" and _has_latin(clause):
            return "en"
        return found


def voicing_of(
    speaker: Speaker,
    voice: Voice | None = None,
    language: str | None = None,
    clauses: ClauseOptions | None = None,
) -> SpeakerVoicing:
    """A voicing of a speaker; by `voice` where none is asked for."""
    return SpeakerVoicing(speaker, VoicingOptions(voice, language, clauses or ClauseOptions()))


def written_language(text: str) -> str:
    """Zh or en, by what there is more of: Chinese characters or words in Latin letters.

    >>> written_language("我用Python"), written_language("I live in 北京."), written_language("5")
    ('zh', 'en', '')
    """
    han = sum(map(is_cjk, text))
    words = len("".join(c if c.isalpha() and not is_cjk(c) else " " for c in text).split())
    if not han and not words:
        return ""
    return "zh" if han >= words else "en"


def _has_latin(text: str) -> bool:
    return any(char.isascii() and char.isalpha() for char in text)


def pause_after(clause: str) -> float:
    r"""Seconds of silence between this clause and the next.

    >>> [pause_after(clause) for clause in ("好，", "He said “no!” ", "well", "a\n\n")]
    [0.15, 0.3, 0.0, 0.45]
    """
    if "\n" in clause[len(clause.rstrip()) :]:
        return _PAUSES[0][1]
    last = clause.rstrip(_CLOSING)[-1:]
    return next((pause_s for marks, pause_s in _PAUSES if last and last in marks), 0.0)


def delayed(spoken: Spoken, pause_s: float) -> Spoken:
    """The same clause, after a silence."""
    num_samples = round(pause_s * spoken.rate_hz)
    if not num_samples:
        return spoken
    shift_s = num_samples / spoken.rate_hz
    silence: Samples = np.zeros(num_samples, np.float32)
    words = tuple(
        SpokenWord(word.text, word.start_s + shift_s, word.end_s + shift_s) for word in spoken.words
    )
    return Spoken(spoken.text, np.concatenate([silence, spoken.samples]), spoken.rate_hz, words)


def written_words(
    clause: str, what: Speakable, stretches: Sequence[Stretch], language: str | None = None
) -> tuple[SpokenWord, ...]:
    """The words of a clause as it is written; what is not said goes with the word before it.

    Of what stands before the first word, it goes with that.
    """
    spans = word_spans(what.text, language)
    if not spans or not stretches:
        return ()
    times = [_time_of(start, end, stretches) for start, end in spans]
    # A word begins behind the last character of the one before, so that spaces are its own.
    edges = [0, *(what.places[end - 1] + 1 for _, end in spans[:-1]), len(clause)]
    words = []
    last_s = 0.0
    for number, (begins_s, ends_s) in enumerate(times):
        start_s = max(begins_s, last_s)
        last_s = max(start_s, ends_s)
        words.append(SpokenWord(clause[edges[number] : edges[number + 1]], start_s, last_s))
    return tuple(words)


def _time_of(start: int, end: int, stretches: Sequence[Stretch]) -> tuple[float, float]:
    """When a part of the text is heard, by the stretches that it has a part in."""
    inside = [one for one in stretches if one.start < end and start < one.end]
    if not inside:
        before = [one.end_s for one in stretches if one.end <= start]
        return (before[-1], before[-1]) if before else (0.0, 0.0)

    def at(one: Stretch, place: int) -> float:
        share = (place - one.start) / max(1, one.end - one.start)
        return one.start_s + min(1.0, max(0.0, share)) * (one.end_s - one.start_s)

    return at(inside[0], start), at(inside[-1], end)
