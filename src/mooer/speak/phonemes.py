"""Mixed Chinese and English text to phonemes: each run of one script by its own reader."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from mooer.speak.english_reading import read_english
from mooer.speak.espeak import phonemes_of_english
from mooer.speak.mandarin import phonemes_of_han
from mooer.speak.numerals import read_numerals
from mooer.text import to_simplified

LANGUAGES = ("zh", "en")

_HAN = re.compile("([\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)")
# What becomes a pause. A full stop or comma inside a number or a name (3.5, U.S.) is none, nor
# is one after a title; espeak reads those itself.
_TITLES = "".join(rf"(?<!\b{title})" for title in ("Mr", "Mrs", "Ms", "Dr", "St"))
PAUSE = re.compile(rf"(\.{{2,}}|[;!?…—()\"“”]|:(?!\d)|{_TITLES}\.(?![\w.])|,(?!\d))")
_WRITTEN = {
    **{"。": ". ", "、": ", ", "《": "“", "》": "”", "「": "“", "」": "”", "『": "“", "』": "”"},
    **{"【": "“", "】": "”", "«": "“", "»": "”", "’": "'", "‘": "'", "–": "-"},
    **{"²": "^2", "³": "^3"},  # which would else become digits
}
_SPEAKABLE = re.compile(r"[^\W_]|[$€£%&@#+=]")
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")
_CLAUSE = re.compile(r"(?<=[,;:—])\s+")


def phonemes(text: str, language: str) -> str:
    """Phonemes of `text` with its pauses as punctuation; empty if there is nothing to say.

    `language` says how numbers are read: zh or en. Han characters are read as Mandarin and
    everything else as English in both.

    >>> phonemes("我用Python写代码。", "zh")
    'wo↓ jʊ↘ŋ pˈIθən ɕje↓ tai↘ ma↓.'
    """
    text = with_plain_marks(text)
    text = read_numerals(to_simplified(text)) if language == "zh" else read_english(text)
    spoken = []
    for i, run in enumerate(_HAN.split(text)):
        spoken.append(phonemes_of_han(run) if i % 2 else "".join(_pieces(run)))
    joined = " ".join(filter(None, spoken))
    joined = re.sub(r"\s+([.,;:!?…)”])", r"\1", re.sub(r"([(“])\s+", r"\1", joined))
    joined = re.sub(r"([.,;:!?…])(?=[^\s.,;:!?…)”\"])", r"\1 ", joined)
    return " ".join(joined.split())


def with_plain_marks(text: str) -> str:
    """`text` with the marks that English has, and letters and digits in their plain form.

    >>> with_plain_marks("「ＡＢＣ」、１２３。")
    '“ABC”, 123. '
    """
    text = "".join(_WRITTEN.get(c, c) for c in text).replace("…", " … ")
    return unicodedata.normalize("NFKC", text.replace("…", "\0")).replace("\0", "…")


def _pieces(run: str) -> Iterator[str]:
    """Phonemes and pauses of text without Han characters."""
    for i, piece in enumerate(PAUSE.split(run)):
        if i % 2:
            yield "…" if piece.startswith("..") else piece
        elif _SPEAKABLE.search(piece):
            yield f" {phonemes_of_english(piece)} "
        elif piece.isspace():
            yield " "


def pieces(spoken: str, max_length: int) -> list[str]:
    """Phonemes in pieces of at most `max_length`: at ends of sentences, clauses, words, anywhere.

    >>> pieces("aaa. bbb, ccc ddd.", 8)
    ['aaa.', 'bbb,', 'ccc ddd.']
    """
    found: list[str] = []
    for part in _parts(spoken, max_length, (_SENTENCE, _CLAUSE, re.compile(r"\s+"))):
        if found and len(found[-1]) + 1 + len(part) <= max_length:
            found[-1] += f" {part}"
        else:
            found.append(part)
    return found


def _parts(spoken: str, max_length: int, ends: tuple[re.Pattern[str], ...]) -> Iterator[str]:
    if len(spoken) <= max_length:
        yield spoken
    elif not ends:
        for start in range(0, len(spoken), max_length):
            yield spoken[start : start + max_length]
    else:
        for part in filter(None, ends[0].split(spoken)):
            yield from _parts(part, max_length, ends[1:])
