"""What words, events and segments must have to become subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class TimedWord(Protocol):
    """What a word must have here."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""

    @property
    def end_s(self) -> float:
        """End in seconds."""

    @property
    def text(self) -> str:
        """What was said."""


class Named(Protocol):
    """A label: what a stretch was taken for."""

    @property
    def name(self) -> str:
        """As `happy`."""

    @property
    def probability(self) -> float:
        """From 0 to 1."""


class TimedSound(Protocol):
    """An event: a sound with its times."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""

    @property
    def end_s(self) -> float:
        """End in seconds."""

    @property
    def name(self) -> str:
        """As `laughter`."""

    @property
    def probability(self) -> float:
        """From 0 to 1."""


class TimedText(Protocol):
    """What a segment must have here."""

    @property
    def start_s(self) -> float:
        """Start in seconds."""

    @property
    def end_s(self) -> float:
        """End in seconds."""

    @property
    def text(self) -> str:
        """What was said."""

    @property
    def words(self) -> Sequence[TimedWord] | None:
        """Words with times, or None."""

    @property
    def translation(self) -> str | None:
        """Its translation, or None."""

    @property
    def language(self) -> str:
        """Its code."""

    @property
    def speaker(self) -> str | None:
        """Name of who speaks, or None."""

    @property
    def overlap(self) -> bool:
        """Whether another speaks at the same time."""

    @property
    def emotion(self) -> Named | None:
        """Emotion, or None."""

    @property
    def gender(self) -> Named | None:
        """Gender of the voice, or None."""

    @property
    def age(self) -> Named | None:
        """Group of age of the voice, or None."""

    @property
    def events(self) -> Sequence[TimedSound] | None:
        """Sounds in it, or None."""
