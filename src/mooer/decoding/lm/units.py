"""The units of a language model of text: what text is cut into before it is counted or scored.

| kind | units | of "我用Python，don't we?" |
|---|---|---|
| auto | each Chinese or Japanese character, and words of other scripts | 我 用 python don't we |
| words | what stands between spaces and punctuation, whatever the script | 我用python don't we |
| characters | every character, "▁" between two words of letters | 我 用 p y t h o n ▁ d … |

As recognisers write it: lower case, Traditional as Simplified, full-width as ASCII, no punctuation
but apostrophes inside words. Every character is mapped by itself, so that text that comes in pieces
is cut as if it had come at once.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias, cast, get_args

from mooer.decoding.lm.ngram import BOS, EOS, UNKNOWN
from mooer.errors import ConfigError, did_you_mean
from mooer.text import is_cjk, to_simplified
from mooer.text.units import START

UnitKind: TypeAlias = Literal["auto", "words", "characters"]

_APOSTROPHES = "'’"
_SPECIAL = frozenset({BOS, EOS, UNKNOWN})
_MIN_SHARE = 0.05  # of units of several Chinese characters, from which on a model is of words


class _Table(dict[int, str]):
    """What each character becomes, found when it is first seen."""

    def __init__(self, cuts_cjk: bool) -> None:
        super().__init__()
        self._cuts_cjk = cuts_cjk

    def __missing__(self, code: int) -> str:
        plain = unicodedata.normalize("NFKC", chr(code)).lower()
        found = self[code] = "".join(map(self._letter, plain))
        return found

    def _letter(self, char: str) -> str:
        if is_cjk(char):
            simple = to_simplified(char)
            return f" {simple} " if self._cuts_cjk else simple
        if char in _APOSTROPHES:
            return "'"
        return char if unicodedata.category(char)[0] in "LMN" else " "


_CUT, _WHOLE = _Table(cuts_cjk=True), _Table(cuts_cjk=False)


def unit_kind(name: str) -> UnitKind:
    """A kind by its name; ConfigError names the nearest."""
    kinds = get_args(UnitKind)
    if name not in kinds:
        raise ConfigError(f"unknown units {name!r}: {did_you_mean(name, kinds)}")
    return cast(UnitKind, name)


def spread(text: str, kind: UnitKind) -> str:
    """A text with a space wherever one unit (in `characters`: one word) ends."""
    return text.translate(_WHOLE if kind == "words" else _CUT)


def units_of(text: str, kind: UnitKind = "auto") -> list[str]:
    """The units of a text.

    >>> units_of("我用Ｐython寫, don't you?")
    ['我', '用', 'python', '写', "don't", 'you']
    >>> units_of("we go 去", "characters")
    ['w', 'e', '▁', 'g', 'o', '去']
    """
    words = words_in(spread(text, kind))
    return list(letters(words)) if kind == "characters" else words


def words_in(text: str) -> list[str]:
    """The words of a text that `spread` made."""
    found = [word.strip("'") for word in text.split()]
    return [unicodedata.normalize("NFC", word) for word in found if word]


def letters(words: Iterable[str], *, after_letters: bool = False) -> Iterator[str]:
    """The characters of words; `after_letters`: the word before them is none of CJK."""
    for word in words:
        by_itself = is_cjk(word[0])
        if after_letters and not by_itself:
            yield START
        after_letters = not by_itself
        yield from word


def kind_of(units: Iterable[str]) -> UnitKind:
    """What the units of a model are, by their looks.

    >>> kind_of(["你", "好", "hello"]), kind_of(["你好", "世界", "a"]), kind_of("abcdefghi▁")
    ('auto', 'words', 'characters')
    """
    units = [unit for unit in units if unit not in _SPECIAL]
    chinese = sum(is_cjk(unit[0]) for unit in units if unit)
    phrases = sum(len(unit) > 1 and is_cjk(unit[0]) for unit in units)
    if phrases > _MIN_SHARE * chinese:
        return "words"
    words = any(len(unit) > 1 and not is_cjk(unit[0]) for unit in units)
    return "auto" if words or START not in units else "characters"
