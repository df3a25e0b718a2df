"""What a speaker is: text, a voice and a speed in; samples out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ConfigError, did_you_mean

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Voice:
    """A weighted mean of a speaker's own voices: their names and weights, of sum 1.

    >>> str(Voice.parse("kumo:3+alpha"))
    'kumo:0.75+alpha:0.25'
    """

    parts: tuple[tuple[str, float], ...]

    def __post_init__(self) -> None:
        if not self.parts or any(weight <= 0 for _, weight in self.parts):
            raise ConfigError(f"a voice is names with weights above 0, got {self.parts}")

    @classmethod
    def parse(cls, text: str) -> Voice:
        """Read "name", or "name:weight+name:weight"; ConfigError if it is neither."""
        parts: dict[str, float] = {}
        for piece in text.split("+"):
            name, _, weight = piece.strip().partition(":")
            try:
                parts[name] = parts.get(name, 0.0) + float(weight or 1)
            except ValueError:
                name = ""
            if not name:
                raise ConfigError(f"{text!r} is no voice: write name, or name:0.6+name:0.4")
        total = sum(parts.values()) or 1.0
        return cls(tuple((name, weight / total) for name, weight in parts.items()))

    def __str__(self) -> str:
        return "+".join(f"{name}:{round(weight, 3)}" for name, weight in self.parts)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a text, from one character to before another, and when it is heard."""

    start: int
    end: int
    start_s: float
    end_s: float


class Speaker(Protocol):
    """Speaks one text at a time; made once a process, and not shared between threads."""

    rate_hz: int
    voices: tuple[str, ...]  # names that a `Voice` may hold
    languages: tuple[str, ...]  # codes

    def speak(self, text: str, language: str, voice: Voice, *, speed: float = 1.0) -> Samples:
        """Samples [T] at `rate_hz` in [-1, 1].

        DecodeError if there is nothing to say in `text`, ConfigError for an unknown voice or
        language.
        """


@runtime_checkable
class TimedSpeaker(Speaker, Protocol):
    """A speaker that knows when each word is heard."""

    def speak_timed(
        self, text: str, language: str, voice: Voice, *, speed: float = 1.0
    ) -> tuple[Samples, tuple[Stretch, ...]]:
        """As `speak`, and the stretches of `text` in order; none if this once it does not know."""


@runtime_checkable
class NativeSpeaker(Speaker, Protocol):
    """A speaker whose voices have languages of their own, and an accent in others."""

    def native_voices(self, language: str) -> tuple[str, ...]:
        """The voices whose own language that is, the best first; none if it has none."""


def voices_for(speaker: Speaker, language: str) -> tuple[str, ...]:
    """The voices to speak a language by: those whose own it is, or all of them."""
    own = speaker.native_voices(language) if isinstance(speaker, NativeSpeaker) else ()
    return own or speaker.voices


def only_voice(voice: Voice, known: Sequence[str]) -> str:
    """The name of an unblended voice. ConfigError for a blend, or a name that is not known."""
    if len(voice.parts) > 1:
        raise ConfigError(f"this speaker cannot blend voices, got {voice}: name one")
    [(name, _)] = voice.parts
    if name not in known:
        raise ConfigError(f"unknown voice {name[:64]!r}: {did_you_mean(name[:64], known)}")
    return name


def check_speed(speed: float, least: float, most: float) -> None:
    """ConfigError for a speed that the speaker does not have."""
    if not least <= speed <= most:
        raise ConfigError(f"speed must be {least} to {most}, not {speed}")


def check_language(language: str, known: Sequence[str], name: str) -> None:
    """ConfigError for a language that the speaker `name` does not speak."""
    if language not in known:
        raise ConfigError(f"{name} speaks {', '.join(known)}, not {language!r}")


def blend(voices: Sequence[str], random: np.random.Generator, max_parts: int = 3) -> Voice:
    """A random mean of two or three voices (one, if there is but one)."""
    most = min(max_parts, len(voices))
    size = int(random.integers(min(2, most), most + 1))
    names = random.choice(np.array(voices, dtype=object), size=size, replace=False)
    weights = random.dirichlet(np.full(size, 3.0))
    # Rounded as they are written, so that the manifest tells exactly what was spoken.
    pairs = zip(names, weights, strict=True)
    return Voice.parse("+".join(f"{name}:{max(weight, 0.01):.3f}" for name, weight in pairs))
