"""The English normaliser: two spellings of the same speech become the same text.

The behaviour is that of the Whisper normaliser (Radford et al. 2022, appendix C), so that error
rates compare with published ones; one thing is added: a typographic apostrophe counts as `'`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from importlib.resources import files

from mooer.text.numbers import spell_digits

VERSION = "1"

_FILLERS = re.compile(r"\b(hmm|mm|mhm|mmm|uh|um)\b")
_WHOLE = {  # contractions and titles that stand as one word
    "won't": "will not",
    "can't": "can not",
    "let's": "let us",
    "ain't": "aint",
    "y'all": "you all",
    "wanna": "want to",
    "gotta": "got to",
    "gonna": "going to",
    "i'ma": "i am going to",
    "imma": "i am going to",
    "woulda": "would have",
    "coulda": "could have",
    "shoulda": "should have",
    "ma'am": "madam",
    "mr": "mister ",
    "mrs": "missus ",
    "st": "saint ",
    "dr": "doctor ",
    "prof": "professor ",
    "capt": "captain ",
    "gov": "governor ",
    "ald": "alderman ",
    "gen": "general ",
    "sen": "senator ",
    "rep": "representative ",
    "pres": "president ",
    "rev": "reverend ",
    "hon": "honorable ",
    "asst": "assistant ",
    "assoc": "associate ",
    "lt": "lieutenant ",
    "col": "colonel ",
    "jr": "junior ",
    "sr": "senior ",
    "esq": "esquire ",
}
_ENDINGS = {  # in this order: 'd and 's before a participle mean had and has
    "'d been": " had been",
    "'s been": " has been",
    "'d gone": " had gone",
    "'s gone": " has gone",
    "'d done": " had done",
    "'s got": " has got",
    "n't": " not",
    "'re": " are",
    "'s": " is",
    "'d": " would",
    "'ll": " will",
    "'t": " not",
    "'ve": " have",
    "'m": " am",
}
_LIGATURES = str.maketrans(
    {"œ": "oe", "ø": "o", "æ": "ae", "ß": "ss", "đ": "d", "ð": "d", "þ": "th", "ł": "l"}
)
_WHOLE_WORD = re.compile(r"\b(" + "|".join(sorted(_WHOLE, key=len, reverse=True)) + r")\b")


@lru_cache(maxsize=1)
def _american() -> dict[str, str]:
    """British -> American spelling, from `spelling.txt`."""
    pairs: dict[str, str] = {}
    old = new = ""
    for line in files("mooer.text").joinpath("spelling.txt").read_text("utf-8").splitlines():
        if line.startswith("@"):
            old, new = line[1:].split() or ("", "")
        elif not line.startswith("#"):
            for word in line.split():
                british, _, american = word.partition(">")
                head, _, tail = british.rpartition(old) if not american else ("", "", "")
                pairs[british] = american or head + new + tail
    return pairs


def normalize_english(text: str) -> str:
    """Lower-case words without punctuation, numbers in digits, American spelling.

    >>> normalize_english("Mr. Neil's colour, um, [laughs] wasn't worth $20 million!")
    'mister neil is color was not worth $20000000'
    """
    text = text.lower().replace("’", "'")
    text = re.sub(r"[<\[][^>\]]*[>\]]", "", text)
    text = re.sub(r"\(([^)]+?)\)", "", text)
    text = _FILLERS.sub("", text)
    text = re.sub(r"\s+'", "'", text)
    text = _WHOLE_WORD.sub(lambda match: _WHOLE[match[1]], text)
    for ending, words in _ENDINGS.items():
        text = re.sub(ending + r"\b", words, text)
    text = re.sub(r"(\d),(\d)", r"\1\2", text)
    text = re.sub(r"\.([^0-9]|$)", r" \1", text)
    text = spell_digits(_without_symbols(text))
    american = _american()
    text = " ".join(american.get(word, word) for word in text.split())
    # What is left of a currency or percent sign belongs to no number.
    text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
    text = re.sub(r"([^0-9])%", r"\1 ", text)
    return " ".join(text.split())


def _without_symbols(text: str) -> str:
    """Diacritics dropped, symbols and punctuation to spaces, except those of numbers."""
    letters: list[str] = []
    for char in unicodedata.normalize("NFKD", text).translate(_LIGATURES):
        category = unicodedata.category(char)
        if char in ".%$¢€£" or category[0] not in "MSP":
            letters.append(char)
        elif category != "Mn":
            letters.append(" ")
    return "".join(letters)
