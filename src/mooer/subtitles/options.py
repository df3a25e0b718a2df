"""What a cue may look like, and how much of a line or of a second a text fills."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass

from mooer.errors import ConfigError, did_you_mean
from mooer.subtitles.protocols import TimedText
from mooer.text import is_wide

TAGS = ("none", "words", "emoji")


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """How cues look; the defaults follow the common broadcast guides."""

    max_latin_chars: int = 42  # columns in a line
    max_cjk_chars: int = 16  # wide characters in a line; a mixed line counts both in proportion
    max_lines: int = 2  # of one language
    latin_chars_per_s: float = 17.0  # reading speed
    cjk_chars_per_s: float = 9.0
    min_duration_s: float = 1.0  # where the next cue leaves room
    max_duration_s: float = 7.0  # always
    min_gap_s: float = 0.08  # between cues: two frames at 25 a second
    bilingual: bool = False  # the original over its translation
    translation: bool = False  # the translation only
    tags: str = "none"  # of emotions, events and languages: none | words | emoji
    speakers: bool = True  # names of speakers, where they are known

    def __post_init__(self) -> None:
        """Refuse what no cue could obey."""
        if self.bilingual and self.translation:
            raise ConfigError("bilingual and translation subtitles exclude each other: choose one")
        if self.tags not in TAGS:
            raise ConfigError(f"unknown tags {self.tags!r}: {did_you_mean(self.tags, TAGS)}")
        for name in ("max_latin_chars", "max_cjk_chars", "max_lines"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("latin_chars_per_s", "cjk_chars_per_s", "max_duration_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)}")
        if not 0 <= self.min_duration_s <= self.max_duration_s or self.max_duration_s < 0.2:
            raise ConfigError(
                "min_duration_s must lie between 0 and max_duration_s (at least 0.2), got "
                f"{self.min_duration_s} and {self.max_duration_s}"
            )
        if not 0 <= self.min_gap_s <= 1:
            raise ConfigError(f"min_gap_s must lie between 0 and 1, got {self.min_gap_s}")


def line_load(line: str, options: SubtitleOptions) -> float:
    """Share of a line that `line` fills; at most 1 in every cue."""
    narrow, wide = count_chars(line)
    full = options.max_latin_chars * options.max_cjk_chars
    return (narrow * options.max_cjk_chars + wide * options.max_latin_chars) / full


def count_chars(text: str) -> tuple[int, int]:
    """Narrow and wide characters of `text`; combining marks count for nothing."""
    wide = sum(map(is_wide, text))
    silent = sum(unicodedata.category(c) in ("Mn", "Me", "Cf") and not is_wide(c) for c in text)
    return len(text) - wide - silent, wide


def reading_s(text: str, options: SubtitleOptions) -> float:
    """Seconds that a reader needs for `text`."""
    narrow, wide = count_chars(text)
    return narrow / options.latin_chars_per_s + wide / options.cjk_chars_per_s


def clean(text: str) -> str:
    """One line without control characters or halves of surrogate pairs, which no file can hold."""
    spaced = " ".join(text.split())
    return "".join(
        "\ufffd" if category == "Cs" else char
        for char in spaced
        if (category := unicodedata.category(char)) != "Cc"
    )


def segment_span(segment: TimedText) -> tuple[float, float]:
    """Start and end in seconds, mended where they are negative, reversed or not finite."""
    start_s = max(0.0, segment.start_s) if math.isfinite(segment.start_s) else 0.0
    end_s = segment.end_s if math.isfinite(segment.end_s) else start_s
    return start_s, max(start_s, end_s)
