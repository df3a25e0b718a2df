"""A speaker that many use: one piece of text after the other, in a fair order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from mooer.engines.llm import usable_cores
from mooer.errors import ConfigError, DecodeError, did_you_mean
from mooer.serve.batcher import Batcher
from mooer.serve.jobs import Job
from mooer.serve.settings import Settings
from mooer.speak import SPEAKERS, Speaker, Voice
from mooer.speak.base import Samples
from mooer.store import fetch
from mooer.text import is_cjk

# Voices that OpenAI's clients have built in: each is one of the speaker's own, by its place.
OPENAI_VOICES: tuple[str, ...] = (
    "alloy",
    "ash",
    "ballad",
    "coral",
    "echo",
    "fable",
    "nova",
    "onyx",
    "sage",
)
OPENAI_VOICES += ("shimmer", "verse", "marin", "cedar")
_SENTENCE_END = re.compile(r"(?<=[。！？!?；;…\n])|(?<=[.])(?=\s)")
_FIRST_CHARS, _MORE_CHARS = 12, 60  # a piece is at least so long: the first, for quick sound
_PAUSE_S = 0.25

Wanted = tuple[str, str, Voice, float]  # text, language, voice, speed


class SpeakerEngine:
    """A `Speaker` behind a queue."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker
        self.rate_hz = speaker.rate_hz
        self.voices = speaker.voices
        self.languages = speaker.languages
        self._batcher = Batcher[Wanted, Samples](self._say, max_batch=1, name="speaker")

    def voice(self, name: str) -> Voice:
        """A voice by its name, by OpenAI's, or blended. ConfigError for another."""
        if name in OPENAI_VOICES and name not in self.voices:
            return Voice.parse(self.voices[OPENAI_VOICES.index(name) % len(self.voices)])
        voice = Voice.parse(name)
        for part, _ in voice.parts:
            if part not in self.voices:
                known = [*self.voices, *OPENAI_VOICES]
                raise ConfigError(f"unknown voice {part[:64]!r}: {did_you_mean(part[:64], known)}")
        return voice

    def speak(self, job: Job, text: str, voice: Voice, speed: float) -> Iterator[Samples]:
        """Samples [T] at `rate_hz` by sentences. DecodeError if there is nothing to say."""
        has_spoken = False
        pause = np.zeros(int(_PAUSE_S * self.rate_hz), np.float32)
        for piece in sentences_of(text):
            language = "zh" if any(map(is_cjk, piece)) else "en"
            if not any(c.isalnum() for c in piece):
                continue
            try:
                samples = self.say(job, piece, language, voice, speed)
            except DecodeError:
                if not has_spoken and piece.strip() == text.strip():
                    raise
                continue  # signs between sentences
            yield np.concatenate([pause, samples]) if has_spoken else samples
            has_spoken = True
        if not has_spoken:
            raise DecodeError("there is nothing to say in the text: give it words")

    def say(self, job: Job, text: str, language: str, voice: Voice, speed: float) -> Samples:
        """Samples [T] at `rate_hz` of one piece, when it is its turn."""
        wanted = (text, language, voice, speed)
        [samples] = self._batcher.map(job, None, [wanted], [float(len(text))])
        return samples

    def close(self) -> None:
        """End its thread."""
        self._batcher.close()

    def _say(self, _: object, wanted: Sequence[Wanted]) -> list[Samples]:
        return [
            self._speaker.speak(text, language, voice, speed=speed)
            for text, language, voice, speed in wanted
        ]


def load_speaker(name: str, settings: Settings) -> SpeakerEngine:
    """A speaker of the catalog. StoreError or ModelError if it cannot be had."""
    kind = SPEAKERS.load(name)
    return SpeakerEngine(kind(fetch(name), num_threads=settings.threads or usable_cores()))


def sentences_of(text: str) -> list[str]:
    """A text in pieces to be spoken one after the other, cut at ends of sentences.

    >>> sentences_of("Good morning to you. " + "And so on, " * 8 + "it went. Then it ended.")[0]
    'Good morning to you.'
    """
    found: list[str] = []
    held = ""
    for part in _SENTENCE_END.split(text):
        held += part
        if len(held.strip()) >= (_MORE_CHARS if found else _FIRST_CHARS):
            found.append(held.strip())
            held = ""
    if held.strip():
        found.append(held.strip())
    return found
