"""Speakers by name, ready to voice what is written sentence by sentence."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable

from mooer.engines.llm import usable_cores
from mooer.errors import ConfigError, DecodeError, did_you_mean
from mooer.speak import SPEAKERS, Speaker, Voice
from mooer.speak.spoken import Spoken, Voicing
from mooer.store import fetch
from mooer.text import is_cjk

logger = logging.getLogger(__name__)

DEFAULT_SPEAKER = "kokoro-82m"


def open_speaker(
    name: str = DEFAULT_SPEAKER, *, num_threads: int | None = None, offline: bool | None = None
) -> Speaker:
    """A speaker by its name; fetched if need be. ConfigError for an unknown one, StoreError."""
    kind = SPEAKERS.load(name)
    speaker: Speaker = kind(fetch(name, offline=offline), num_threads=num_threads or usable_cores())
    return speaker


def voice_of(speaker: Speaker, text: str | None, language: str) -> Voice:
    """The voice that is meant by a text such as "name" or "name:2+name"; the first, if by none.

    ConfigError for a voice or a language that the speaker has not.
    """
    if language not in speaker.languages:
        raise ConfigError(
            f"this speaker speaks {', '.join(speaker.languages)}, not {language!r}: take another "
            "by --speaker"
        )
    voice = Voice.parse(text or speaker.voices[0])
    for name, _ in voice.parts:
        if name not in speaker.voices:
            raise ConfigError(f"unknown voice {name!r}: {did_you_mean(name, speaker.voices)}")
    return voice


class SentenceVoicing:
    """A `Voicing` that takes each piece of text for a sentence."""

    def __init__(self, speaker: Speaker) -> None:
        self.rate_hz = speaker.rate_hz
        self._speaker = speaker

    def voice(
        self, pieces: Iterable[str], *, voice: Voice | None = None, speed: float = 1.0
    ) -> Generator[Spoken, None, None]:
        """A piece as soon as it is there; what cannot be said is left out, with a warning."""
        voice = voice or Voice.parse(self._speaker.voices[0])
        for piece in pieces:
            language = "zh" if any(map(is_cjk, piece)) else "en"
            try:
                samples = self._speaker.speak(piece, language, voice, speed=speed)
            except DecodeError as error:
                logger.warning("%s", error)
                continue
            yield Spoken(piece, samples, self.rate_hz)


def voicing_by(speaker: Speaker) -> Voicing:
    """The speaker as a `Voicing`."""
    return SentenceVoicing(speaker)
