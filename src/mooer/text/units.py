"""Units of a CTC head: Chinese characters and pieces of English words, in a plain table.

    units.txt    one unit a line, class 1 first (class 0 is the blank), three columns with tabs
                 between: the unit; its natural log-probability, or "-" if no text held it; its
                 reading in pinyin (characters) or nothing

A piece that begins a word begins with "▁". A word is cut into the pieces of the highest
probability together (Kudo 2018, "Subword Regularization"), which one pass of Viterbi finds.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mooer.errors import ModelError
from mooer.text.scripts import is_cjk, to_simplified

BLANK = 0
START = "▁"  # of a word
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_LATIN = re.compile(r"[a-z']+")


@dataclass(frozen=True)
class Units:
    """Classes 1 … U; `log_probs` is None where a unit was in no text, `readings` may be empty."""

    names: tuple[str, ...]
    log_probs: tuple[float | None, ...]
    readings: tuple[str, ...]

    def __len__(self) -> int:
        """Of the units; the classes are one more."""
        return len(self.names)

    @cached_property
    def _classes(self) -> dict[str, int]:
        return {name: place + 1 for place, name in enumerate(self.names)}

    @cached_property
    def _longest(self) -> int:
        return max((len(name) for name in self.names if not is_cjk(name[0])), default=1)

    def spell(self, word: str) -> tuple[int, ...]:
        """Classes of a word or a character; () if any of it cannot be spelled.

        Case and punctuation do not count, Traditional is taken as Simplified, é as e. Digits have
        no unit: what is said differs from what is written.
        """
        found: list[int] = []
        for run in _WORD.findall(_plain(word)):
            for piece in _pieces(run):
                spelled = self._character(piece) if is_cjk(piece) else self._latin(piece)
                if not spelled:
                    return ()
                found += spelled
        return tuple(found)

    def _character(self, character: str) -> list[int]:
        for form in (character, to_simplified(character)):
            if form in self._classes:
                return [self._classes[form]]
        return []

    def _latin(self, word: str) -> list[int]:
        """The likeliest pieces; [] for what is not of the letters a to z and '."""
        if not _LATIN.fullmatch(word):
            return []
        text = START + word
        best: list[tuple[float, int]] = [(0.0, 0)] + [(-math.inf, 0)] * len(text)
        for end in range(1, len(text) + 1):
            for begin in range(max(0, end - self._longest), end):
                number = self._classes.get(text[begin:end])
                if number is None:
                    continue
                score = best[begin][0] + (self.log_probs[number - 1] or 0.0)
                if score > best[end][0]:
                    best[end] = (score, begin)
        if best[-1][0] == -math.inf:
            return []
        cuts = [len(text)]
        while cuts[-1]:
            cuts.append(best[cuts[-1]][1])
        cuts.reverse()
        return [self._classes[text[begin:end]] for begin, end in itertools.pairwise(cuts)]

    def text(self, classes: Iterable[int]) -> str:
        """What classes say; blanks and repeats must be gone already."""
        said = ""
        for number in classes:
            name = self.names[number - 1]
            if is_cjk(name[0]) and said and not is_cjk(said[-1]):
                said += " "
            said += name.replace(START, " ")
        return " ".join(said.split())


def words_of(text: str) -> list[str]:
    """What of a text is heard one after another: words, and each Chinese character by itself.

    >>> words_of("我用Python, don't you?")
    ['我', '用', 'python', "don't", 'you']
    """
    return [piece for run in _WORD.findall(_plain(text)) for piece in _pieces(run)]


def spoken_runs(text: str) -> list[str]:
    """What of a text is spelled run by run: each Chinese character, and words after a ▁.

    >>> spoken_runs("我用Python, don't")
    ['我', '用', '▁python', "▁don't"]
    """
    found: list[str] = []
    for word in _WORD.findall(text.lower()):
        for chinese, run in itertools.groupby(word, is_cjk):
            text = "".join(run)
            found += text if chinese else [START + text]
    return found


def read_units(path: str | os.PathLike[str]) -> Units:
    """A units.txt. ModelError names the line that is not as it should be."""
    path = Path(path)
    names: list[str] = []
    log_probs: list[float | None] = []
    readings: list[str] = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} cannot be read ({error}): fetch it again") from error
    for number, line in enumerate(lines, 1):
        try:
            name, score, reading = line.split("\t")
            log_probs.append(None if score == "-" else float(score))
        except ValueError:
            raise ModelError(
                f"{path} line {number} is not a unit, a number or - and a reading"
            ) from None
        if not name or name in names[-1:]:
            raise ModelError(f"{path} line {number} has no unit of its own")
        names.append(name)
        readings.append(reading)
    if len(set(names)) < len(names) or not names:
        raise ModelError(f"{path} lists {len(names)} units, of which {len(set(names))} differ")
    return Units(tuple(names), tuple(log_probs), tuple(readings))


def units_text(units: Units) -> str:
    """The content of a units.txt."""
    rows: Sequence[tuple[str, float | None, str]] = list(
        zip(units.names, units.log_probs, units.readings, strict=True)
    )
    return "".join(
        f"{name}\t{'-' if score is None else f'{score:.3f}'}\t{reading}\n"
        for name, score, reading in rows
    )


def _plain(text: str) -> str:
    """Lower case, straight apostrophes, letters without accents; Chinese as it is."""
    text = unicodedata.normalize("NFKC", text).lower().replace("’", "'")
    return "".join(
        c
        if is_cjk(c)
        else "".join(d for d in unicodedata.normalize("NFKD", c) if not unicodedata.combining(d))
        for c in text
    )


def _pieces(run: str) -> list[str]:
    """Each Chinese character, and each run of other letters."""
    return [piece for piece in re.split(r"([^\x00-\u2e7f])", run) if piece]
