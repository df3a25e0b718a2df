"""A text as the units of a CTC model: lines, written words, and what is said for each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mooer.decoding.ctc import CtcModel
from mooer.errors import ConfigError, listed
from mooer.infer.answering import language_of
from mooer.infer.spoken import SpokenWord, spell_word, spoken_words

logger = logging.getLogger(__name__)

MIN_SPELLED = 0.5  # share of the words of a text; with less it is of another language


@dataclass(frozen=True)
class SpelledWord:
    """A written word, with the space before it, and the units of each word that is said for it."""

    text: str
    parts: tuple[tuple[int, ...], ...]  # an empty one cannot be spelled

    @property
    def letters_per_unit(self) -> float:
        """About how many letters a unit of it has: how long one is beside those of other words."""
        num_units = sum(len(part) or 1 for part in self.parts)
        return max(1, sum(map(str.isalnum, self.text))) / num_units


@dataclass(frozen=True)
class SpelledLine:
    """A line of a text."""

    words: tuple[SpelledWord, ...]
    language: str

    @property
    def is_spelled(self) -> bool:
        """Whether enough of it can be spelled to be looked for."""
        known = sum(all(word.parts) for word in self.words)
        return known > 0 and known >= MIN_SPELLED * len(self.words)


def spell_line(text: str, model: CtcModel, language: str | None = None) -> SpelledLine:
    """One line; without words if nothing of it is said."""
    spoken = spoken_words(text, language)
    return SpelledLine(tuple(_spelled(spoken, model)), language or language_of(text))


def spell_lines(text: str, model: CtcModel, language: str | None = None) -> list[SpelledLine]:
    """The lines of a text of which something is said.

    ConfigError if there are none, or if most words cannot be spelled; a few are warned of.
    """
    lines = [spell_line(row, model, language) for row in text.splitlines()]
    lines = [line for line in lines if line.words]
    if not lines:
        raise ConfigError("the text is empty: write what is said in the recording")
    words = [word for line in lines for word in line.words]
    missing = [word.text.strip() for word in words if not all(word.parts)]
    if len(missing) > (1 - MIN_SPELLED) * len(words):
        raise ConfigError(
            f"the model cannot spell most words of the text ({listed(missing)}): give a text in a "
            "language that it knows"
        )
    if missing:
        logger.warning("words that the model cannot spell get rough times: %s", listed(missing))
    return lines


def _spelled(words: Iterable[SpokenWord], model: CtcModel) -> Iterator[SpelledWord]:
    for word in words:
        yield SpelledWord(word.text, tuple(spell_word(part, model) for part in word.spoken))
