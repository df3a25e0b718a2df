"""Marks from pauses, for text that was written without any: a rule, no model of the language.

A short pause gives a comma; a long one, and the end, a full stop. So a question is told only by 吗.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

from mooer.text.spoken_numbers import DIGITS, NUMBERS

COMMA_S = 0.25  # a pause as long as that is a comma
STOP_S = 0.6
_MARKS = {"zh": ("，", "。"), "yue": ("，", "。"), "ja": ("、", "。")}
_UNMARKED = frozenset({"th", "lo", "km", "my", "bo", "und", ""})  # written without such marks
_HAN_NUMBERS = frozenset("零〇一二两兩三四五六七八九十百千万萬亿億点點幺")
_INSIDE_WORDS = frozenset("'’-.&@/")


def has_marks(text: str) -> bool:
    """Whether there is punctuation in it; what stands inside a word is none.

    >>> has_marks("don't know"), has_marks("at 3.5 well-known"), has_marks("well, no")
    (False, False, True)
    """
    return any(
        unicodedata.category(char)[0] == "P"
        and not (char in _INSIDE_WORDS and text[i + 1 : i + 2].isalnum())
        for i, char in enumerate(text)
    )


def marks_by_pauses(words: Sequence[str], pauses_s: Sequence[float], language: str) -> list[str]:
    """The mark behind each word, or nothing; `pauses_s` are the silences between them, one less.

    No comma falls inside a number. A language that is written without such marks gets none.

    >>> marks_by_pauses(["yes", "I", "do", "we", "go"], [0.3, 0.0, 0.8, 0.1], "en")
    [',', '', '.', '', '.']
    """
    if language in _UNMARKED or not words:
        return [""] * len(words)
    comma, stop = _MARKS.get(language, (",", "."))
    marks: list[str] = []
    for (word, following), pause_s in zip(pairwise(words), pauses_s, strict=True):
        inside = _is_number(word) and _is_number(following)
        is_comma = pause_s >= COMMA_S and not inside
        marks.append(_stop(word, stop) if pause_s >= STOP_S else comma if is_comma else "")
    return [*marks, _stop(words[-1], stop)]


def capitalised(words: Sequence[str], marks: Sequence[str], language: str) -> list[str]:
    """Words with a capital where a sentence begins; as they are, if any has a capital already.

    >>> capitalised(["yes", "and", "i", "do"], [".", "", "", "."], "en")
    ['Yes', 'And', 'I', 'do']
    """
    if any(word != word.lower() for word in words):
        return list(words)
    begins = [True, *(mark in (".", "?") for mark in marks)][:-1]
    return [
        word[:1].upper() + word[1:]
        if starts or (language == "en" and word.split("'")[0] == "i")
        else word
        for word, starts in zip(words, begins, strict=True)
    ]


def _stop(word: str, stop: str) -> str:
    return "？" if stop == "。" and word.endswith(("吗", "嗎")) else stop


def _is_number(word: str) -> bool:
    spelled = word.lower()
    return (
        spelled in NUMBERS
        or spelled in DIGITS
        or spelled.isdigit()
        or (bool(word) and set(word) <= _HAN_NUMBERS)
    )
