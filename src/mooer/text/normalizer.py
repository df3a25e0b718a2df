"""Normalisers by language: what two transcripts are reduced to before they are compared.

| language | name | what it does |
|---|---|---|
| en | english | Whisper's English normaliser: see `mooer.text.english` |
| zh, yue | chinese | NFKC, Traditional to Simplified, lower case, no punctuation, no space |
| others | basic | NFKC, lower case, bracketed remarks dropped, no punctuation; marks are kept |

In Chinese text Latin letters and digits stay as they are and count one token a character in the
CER and one token a word in the MER. Digits are not read out: 29 and 二十九 differ.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from mooer.text.english import VERSION as ENGLISH_VERSION
from mooer.text.english import normalize_english
from mooer.text.scripts import split_words, to_simplified

CHARACTER_LANGUAGES = frozenset({"zh", "yue", "ja", "ko", "th", "lo", "km", "my", "bo"})
_CHINESE = frozenset({"zh", "yue"})


@dataclass(frozen=True, slots=True)
class Normalizer:
    """A function from text to comparable text; name and version go into every report."""

    name: str
    version: str
    function: Callable[[str], str]

    def __call__(self, text: str) -> str:
        """Normalise `text`."""
        return self.function(text)

    def __str__(self) -> str:
        return f"{self.name}/{self.version}"


def _spoken(text: str) -> str:
    """NFKC and lower case, punctuation and symbols to spaces; 1,000 is 1000, don't is dont."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d),(?=\d{3})|(?<=\w)['’](?=\w)", "", text)
    return " ".join(
        "".join(" " if unicodedata.category(c)[0] in "SPC" else c for c in text).split()
    )


def normalize_basic(text: str) -> str:
    """Lower-case words without punctuation, symbols and bracketed remarks; marks are kept.

    >>> normalize_basic("«¿Qué?», l'été (rires) हिन्दी")
    'qué lété हिन्दी'
    """
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]+?\)|（[^）]+?）", "", text)
    return _spoken(text)


def normalize_mixed(text: str) -> str:
    """Simplified characters and lower-case words; spaces stay, so that words can be counted.

    >>> normalize_mixed("我用Ｐython寫 Hello World！")
    '我用python写 hello world'
    """
    return _spoken(to_simplified(unicodedata.normalize("NFKC", text)))


def normalize_chinese(text: str) -> str:
    """Simplified characters, Latin letters in lower case, no punctuation, no space.

    >>> normalize_chinese("「漢語」，ＡＢＣ 123。")
    '汉语abc123'
    """
    return normalize_mixed(text).replace(" ", "")


ENGLISH = Normalizer("english", ENGLISH_VERSION, normalize_english)
CHINESE = Normalizer("chinese", "1", normalize_chinese)
MIXED = Normalizer("mixed", "1", normalize_mixed)
BASIC = Normalizer("basic", "1", normalize_basic)


def normalizer_for(language: str | None) -> Normalizer:
    """The normaliser of a language code; `BASIC` where there is no better one.

    >>> str(normalizer_for("en")), str(normalizer_for("fr"))
    ('english/1', 'basic/1')
    """
    if language == "en":
        return ENGLISH
    return CHINESE if language in _CHINESE else BASIC


def word_tokens(text: str, language: str | None) -> list[str]:
    """Normalised words, the tokens of the WER."""
    return normalizer_for(language)(text).split()


def character_tokens(text: str, language: str | None) -> list[str]:
    """Normalised characters without spaces, the tokens of the CER; a mark stays with its letter.

    >>> character_tokens("Ça va", "fr")
    ['ç', 'a', 'v', 'a']
    """
    tokens: list[str] = []
    for char in normalizer_for(language)(text).replace(" ", ""):
        if tokens and unicodedata.category(char)[0] == "M":
            tokens[-1] += char
        else:
            tokens.append(char)
    return tokens


def mixed_tokens(text: str, language: str | None) -> list[str]:
    """The tokens of the mixed error rate: a Chinese character, or a word of another script.

    >>> mixed_tokens("我用Python寫code。", "zh")
    ['我', '用', 'python', '写', 'code']
    """
    normalize = MIXED if language in _CHINESE else normalizer_for(language)
    return split_words(normalize(text), language)
