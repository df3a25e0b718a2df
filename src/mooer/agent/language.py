"""The language that a text seems to be in, by its letters alone."""

from __future__ import annotations

import re

from mooer.text import is_cjk

_LETTER = re.compile(r"[^\W\d_]")


def has_letters(text: str) -> bool:
    """Whether a text says anything in a language: digits and marks do not."""
    return _LETTER.search(text) is not None


def script_of(text: str) -> str:
    """The language that a text seems to be in: "zh" where a fifth of its letters is Chinese.

    >>> script_of("用 mooer transcribe 写字幕"), script_of("What is 道?")
    ('zh', 'en')
    """
    letters = _LETTER.findall(text)
    return "zh" if 5 * sum(map(is_cjk, letters)) > len(letters) else "en"
