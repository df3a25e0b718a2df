"""A text as it is written and as it is said: which sounds belong to which written word.

    spoken_words("2024年有3.5%。")      # '2024' is said 二 零 二 四

Punctuation and digits stay in what is written; numbers are read out in Chinese where the line has
Chinese characters, and else in English.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mooer.decoding.ctc import CtcModel
from mooer.speak.english_numbers import currency_of, read_word
from mooer.speak.numerals import read_numerals
from mooer.text import is_cjk, split_words, to_simplified

_NUMERAL = re.compile(
    r"(?<![A-Za-z\d.,])(?:[¥$€£]\s?)?(?:(?<![A-Za-z])[-−])?\d+(?:[.,]\d+)*"
    r"(?:[-~–—:/⁄]\d+(?:[.,]\d+)*)*(?:\s?(?:%|°C|℃))?(?![A-Za-z\d])"
)
_OPENING = frozenset("([{“‘「『（《〈【〔«¿¡\"'")
_SCALES = frozenset({"thousand", "million", "billion", "trillion"})


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A written word, with the space before it if there is one, and what is said for it."""

    text: str
    spoken: tuple[str, ...]  # words in lower case, Chinese character by character


def spoken_words(text: str, language: str | None = None) -> list[SpokenWord]:
    """The words of a line; joined, their texts are the line with single spaces.

    What is not said (a dash between spaces) goes with the word before it. A line of which nothing
    is said has no words.

    >>> [(w.text, " ".join(w.spoken)) for w in spoken_words("我有2.5个 iPad。")]
    [('我', '我'), ('有', '有'), ('2.5', '二 点 五'), ('个', '个'), (' iPad。', 'ipad')]
    >>> [(w.text, " ".join(w.spoken)) for w in spoken_words("It cost $2 million — why?")][2:]
    [(' $2', 'two'), (' million —', 'million dollars'), (' why?', 'why')]
    """
    line = " ".join(text.split())
    chinese = any(map(is_cjk, line)) and language != "ko"
    read = _chinese(line, language) if chinese else _spaced(line, language)
    words: list[SpokenWord] = []
    held = ""  # a mark that waits for its word
    for written, spoken in read:
        if spoken:
            words.append(SpokenWord(held + written, tuple(spoken)))
            held = ""
        elif words and not (written.strip() and set(written.strip()) <= _OPENING):
            words[-1] = SpokenWord(words[-1].text + held + written, words[-1].spoken)
            held = ""
        else:
            held += written
    if held and words:
        words[-1] = SpokenWord(words[-1].text + held, words[-1].spoken)
    return words


def spell_word(word: str, model: CtcModel) -> tuple[int, ...]:
    """Units of a spoken word, if need be without the marks on its letters; none if it has none."""
    found = model.spell(word)
    if not found:
        bare = "".join(
            c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c)
        )
        found = model.spell(bare) if bare and bare != word else ()
    return found


def _spaced(line: str, language: str | None) -> Iterator[tuple[str, list[str]]]:
    """Words between spaces; the currency of $2 million is said after its million."""
    words = line.split()
    currency: str | None = None
    for i, word in enumerate(words):
        after = words[i + 1] if i + 1 < len(words) else ""
        spoken = read_word(word, after)
        if currency:
            spoken.append(currency)
        scaled = after.strip(".,;:!?").lower() in _SCALES
        currency = currency_of(word) if scaled else None
        yield (f" {word}" if i else word), spoken


def _chinese(line: str, language: str | None) -> Iterator[tuple[str, list[str]]]:
    """Characters, numbers, and words of other scripts."""
    simple = to_simplified(line)
    if len(simple) != len(line):
        simple = "".join(to_simplified(c)[:1] or c for c in line)
    place = 0
    for match in _NUMERAL.finditer(line):
        yield from _between(line, simple, place, match.start(), language)
        before, after = line[: match.start()][-1:], line[match.end() :][:1]
        reading = read_numerals(before + match[0] + after)
        reading = reading[len(before) : len(reading) - len(after)]
        yield _cut(line, match.start(), match.end()), [c for c in reading if is_cjk(c)]
        place = match.end()
    yield from _between(line, simple, place, len(line), language)


def _between(
    line: str, simple: str, start: int, end: int, language: str | None
) -> Iterator[tuple[str, list[str]]]:
    """What stands between two numbers."""
    place = start
    for word in split_words(line[start:end], language):
        place = line.index(word, place)
        begin, place = place, place + len(word)
        spoken: list[str] = []
        for run in re.split(
            r"([\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])", simple[begin:place]
        ):
            spoken += [run] if run and is_cjk(run[0]) else read_word(run)
        yield _cut(line, begin, place), spoken


def _cut(line: str, start: int, end: int) -> str:
    """What is written there, with a space before it if there is one."""
    return line[start - 1 : end] if start and line[start - 1] == " " else line[start:end]
