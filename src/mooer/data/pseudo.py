"""Pseudo-labels: what was measured of a machine's label, which labels to doubt, and the account.

MooER's recipe (Xu et al. 2024): recognise unlabelled speech, translate the text by an LLM, and
keep only what several cheap tests do not doubt. A test that lacks its measurement says nothing,
so that the cheap ones can be asked before the dear ones are measured.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mooer.errors import ConfigError
from mooer.tasks import check
from mooer.tasks.answers import units
from mooer.text import CHARACTER_LANGUAGES, is_cjk, mixed_tokens
from mooer.text.edit import distance

_HAN_LANGUAGES = frozenset({"zh", "yue", "ja"})
_LATIN_LANGUAGES = frozenset(
    ("en", "de", "fr", "es", "it", "pt", "nl", "sv", "no", "da", "fi", "pl", "cs", "tr", "vi")
)
_MIN_OWN_SCRIPT = 0.5  # of the text; the rest may be names and code-switching
# Characters or words a second, least and most. Fast newsreaders say 7 characters, 4.5 words.
_CHARACTER_RATES, _WORD_RATES = (0.8, 9.0), (0.4, 6.0)
NUM_EXAMPLES = 5


@dataclass(frozen=True)
class Candidate:
    """A stretch of a recording with its labels, and what was measured of them."""

    id: str
    start_s: float
    end_s: float
    text: str
    language: str
    language_probability: float | None = None  # None: it was told, not detected
    warnings: tuple[str, ...] = ()  # of the recogniser's guards
    quality: float | None = None  # DNSMOS overall, 1 to 5
    second_text: str | None = None  # what another recogniser, or another decoding, heard
    translation: str | None = None
    translation_language: str | None = None

    @property
    def duration_s(self) -> float:
        """Its length in seconds."""
        return self.end_s - self.start_s

    @property
    def disagreement(self) -> float | None:
        """Edit distance between both hearings, as a part of the longer one; None without two."""
        if self.second_text is None:
            return None
        one, two = (mixed_tokens(t, self.language) for t in (self.text, self.second_text))
        return distance(one, two) / max(len(one), len(two), 1)

    @property
    def rate(self) -> float:
        """Characters (Chinese and the like) or words a second."""
        return len(units(self.text)) / max(self.duration_s, 1e-6)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Candidate:
        """What `to_dict` gave."""
        return cls(**{**row, "warnings": tuple(row["warnings"])})


@dataclass(frozen=True)
class FilterOptions:
    """When a label is doubted; None turns a test off."""

    languages: tuple[str, ...] = ()  # keep only these; empty: any
    min_s: float = 0.5
    max_s: float = 30.0
    min_language_probability: float = 0.5
    max_disagreement: float | None = 0.2  # of 0 to 1
    min_quality: float | None = 2.0  # DNSMOS overall; Emilia (He et al. 2024) keeps 3 and above
    guards: bool = True  # doubt what the recogniser's own guards doubt

    def __post_init__(self) -> None:
        if not 0.0 <= self.min_s < self.max_s:
            raise ConfigError(f"lengths must be 0 <= min < max, not {self.min_s} and {self.max_s}")
        if self.max_disagreement is not None and not 0.0 <= self.max_disagreement <= 1.0:
            raise ConfigError(f"disagreement is a part, 0 to 1, not {self.max_disagreement}")
        if self.min_quality is not None and not 1.0 <= self.min_quality <= 5.0:
            raise ConfigError(f"quality is an opinion score, 1 to 5, not {self.min_quality}")


def doubts(candidate: Candidate, options: FilterOptions) -> tuple[str, ...]:
    """Names of the tests that a candidate fails, in the order of `TESTS`; empty: keep it."""
    if not units(candidate.text):
        return ("empty",)
    return tuple(name for name, test in TESTS.items() if test(candidate, options)) + (
        _translation_doubts(candidate)
    )


def _length(candidate: Candidate, options: FilterOptions) -> bool:
    return not options.min_s <= candidate.duration_s <= options.max_s


def _language(candidate: Candidate, options: FilterOptions) -> bool:
    unwanted = bool(options.languages) and candidate.language not in options.languages
    sure = candidate.language_probability
    unsure = sure is not None and sure < options.min_language_probability
    return unwanted or unsure or not in_script(candidate.text, candidate.language)


def _rate(candidate: Candidate, options: FilterOptions) -> bool:
    by_characters = candidate.language in CHARACTER_LANGUAGES
    least, most = _CHARACTER_RATES if by_characters else _WORD_RATES
    return not least <= candidate.rate <= most


def _guards(candidate: Candidate, options: FilterOptions) -> bool:
    return options.guards and bool(candidate.warnings)


def _quality(candidate: Candidate, options: FilterOptions) -> bool:
    found, least = candidate.quality, options.min_quality
    return found is not None and least is not None and found < least


def _agreement(candidate: Candidate, options: FilterOptions) -> bool:
    most = options.max_disagreement
    found = None if most is None else candidate.disagreement
    return found is not None and most is not None and found > most


Test = Callable[[Candidate, FilterOptions], bool]
TESTS: Mapping[str, Test] = {
    "length": _length,
    "language": _language,
    "rate": _rate,
    "guards": _guards,
    "quality": _quality,
    "agreement": _agreement,
}


def _translation_doubts(candidate: Candidate) -> tuple[str, ...]:
    target = candidate.translation_language
    if candidate.translation is None or target is None:
        return ()
    return check(candidate.translation, candidate.text, source=candidate.language, target=target)


def in_script(text: str, language: str) -> bool:
    """Whether at least half of a text is in the script that `language` is written in.

    >>> in_script("我用Python", "zh"), in_script("谢谢观看", "en"), in_script("नमस्ते", "hi")
    (True, False, True)
    """
    words = units(text)
    han = sum(is_cjk(word[0]) for word in words)
    if language in _HAN_LANGUAGES:
        return han >= _MIN_OWN_SCRIPT * len(words)
    letters = [char for char in text if char.isalpha()]
    foreign = sum(map(is_cjk, letters))
    if language in _LATIN_LANGUAGES:
        foreign = sum(not unicodedata.name(char, "").startswith("LATIN") for char in letters)
    return foreign <= (1 - _MIN_OWN_SCRIPT) * len(letters)


@dataclass
class Dropped:
    """What one test doubted."""

    num: int = 0
    seconds: float = 0.0
    num_alone: int = 0  # that no other test doubted
    examples: list[str] = field(default_factory=list)


@dataclass
class Account:
    """What was kept, and what was dropped and why; `add` every candidate once."""

    num: int = 0
    seconds: float = 0.0
    num_kept: int = 0
    seconds_kept: float = 0.0
    dropped: dict[str, Dropped] = field(default_factory=dict)

    def add(self, candidate: Candidate, reasons: Sequence[str]) -> None:
        """Enter a candidate with its doubts."""
        self.num += 1
        self.seconds += candidate.duration_s
        if not reasons:
            self.num_kept += 1
            self.seconds_kept += candidate.duration_s
        for reason in reasons:
            entry = self.dropped.setdefault(reason, Dropped())
            entry.num += 1
            entry.seconds += candidate.duration_s
            entry.num_alone += len(reasons) == 1
            if len(entry.examples) < NUM_EXAMPLES:
                entry.examples.append(example(candidate, reason))

    @property
    def kept_part(self) -> float:
        """Seconds kept of the seconds of all candidates."""
        return self.seconds_kept / self.seconds if self.seconds else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the tests that doubted most come first."""
        order = sorted(self.dropped.items(), key=lambda pair: -pair[1].num)
        dropped = {
            name: {**vars(entry), "seconds": round(entry.seconds, 2)} for name, entry in order
        }
        return {
            "candidates": {"num": self.num, "seconds": round(self.seconds, 2)},
            "kept": {"num": self.num_kept, "seconds": round(self.seconds_kept, 2)},
            "yield": round(self.kept_part, 4),
            "dropped": dropped,
        }


def example(candidate: Candidate, reason: str) -> str:
    """One line that shows why a test doubted a candidate."""
    shown: dict[str, str] = {
        "length": f"{candidate.duration_s:.2f} s",
        "language": f"{candidate.language} ({candidate.language_probability or 1:.2f})",
        "rate": f"{candidate.rate:.1f} a second",
        "guards": ", ".join(candidate.warnings),
        "quality": f"{candidate.quality}",
        "agreement": f"{candidate.disagreement or 0:.2f}, also heard: {candidate.second_text}",
    }
    if reason.startswith("translation"):
        return f"{candidate.id}: {candidate.text} -> {candidate.translation}"
    return f"{candidate.id}: {candidate.text} [{shown.get(reason, '')}]"
