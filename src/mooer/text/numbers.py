"""Spoken English numbers to digits: "twenty one thousand dollars" to "$21000".

The behaviour is that of Whisper's English normaliser (Radford et al. 2022, appendix C), so that
error rates compare with published ones: ordinals keep their ending (21st), currencies stand
before the number, digits said one by one are joined (one oh one is 101), `1` is written `one`.
"""

from __future__ import annotations

import re
from fractions import Fraction

_ONE_NAMES = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TEN_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_SCALE_NAMES = (
    "thousand million billion trillion quadrillion quintillion sextillion septillion "
    "octillion nonillion decillion"
)
_ZEROS = {"o", "oh", "zero"}
_ONES = {word: number for number, word in enumerate(_ONE_NAMES.split(), start=1)}
_TENS = {word: 10 * number for number, word in enumerate(_TEN_NAMES.split(), start=2)}
_SCALES = {"hundred": 100} | {
    word: 1000**power for power, word in enumerate(_SCALE_NAMES.split(), start=1)
}
# Ordinals whose stem changes. "ninth" is missing because it is in Whisper's: there it stays a word.
_IRREGULAR = {
    "first": ("one", "st"),
    "second": ("two", "nd"),
    "third": ("three", "rd"),
    "fifth": ("five", "th"),
    "eighth": ("eight", "th"),
    "twelfth": ("twelve", "th"),
}
_SIGNS = {"minus": "-", "negative": "-", "plus": "+", "positive": "+"}
_CURRENCIES = {
    "pound": "£",
    "pounds": "£",
    "euro": "€",
    "euros": "€",
    "dollar": "$",
    "dollars": "$",
    "cent": "¢",
    "cents": "¢",
}
_SYMBOLS = frozenset("-+£€$¢")
_REPEATS = {"double": 2, "triple": 3}
_DIGITS = re.compile(r"\d+(\.\d+)?")


def _inflected() -> dict[str, tuple[str, str]]:
    """Plurals and ordinals: form -> (number word, ending that the digits keep)."""
    forms = {"zeroth": ("zero", "th"), **_IRREGULAR}
    regular_ordinals = {stem for stem, _ in _IRREGULAR.values()}
    for word in _ONES:
        forms["sixes" if word == "six" else word + "s"] = (word, "s")
        if word not in regular_ordinals:
            forms[word + "th"] = (word, "th")
    for word in _TENS:
        forms[word[:-1] + "ies"] = (word, "s")
        forms[word[:-1] + "ieth"] = (word, "th")
    for word in _SCALES:
        forms[word + "s"] = (word, "s")
        forms[word + "th"] = (word, "th")
    return forms


_FORMS = _inflected()
_WORDS = frozenset(
    {*_ZEROS, *_ONES, *_TENS, *_SCALES, *_FORMS, *_SIGNS, *_CURRENCIES, *_REPEATS}
    | {"per", "percent", "and", "point"}
)


class _Reader:
    """Reads words from left to right and holds the number under way.

    `value` is an int while it can still grow by arithmetic (twenty + one), and a string once
    digits are being written down one after the other (one oh one, three point five).
    """

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.out: list[str] = []
        self.value: int | str | None = None
        self.prefix = ""

    def read(self) -> list[str]:
        i = 0
        while i < len(self.words):
            previous = self.words[i - 1] if i else ""
            following = self.words[i + 1] if i + 1 < len(self.words) else ""
            i += self.take(self.words[i], previous, following)
        self.flush()
        return self.out

    def flush(self, ending: str = "") -> None:
        """Write the number under way, if there is one."""
        if self.value is not None:
            self.write(f"{self.value}{ending}")

    def write(self, word: str) -> None:
        self.out.append(self.prefix + word)
        self.value, self.prefix = None, ""

    def leave(self, word: str) -> int:
        """A word that is no part of a number."""
        self.flush()
        self.write(word)
        return 1

    def take(self, word: str, previous: str, following: str) -> int:
        """Read one word; return how many were used."""
        bare = word[1:] if word[0] in _SYMBOLS else word
        if _DIGITS.fullmatch(bare):
            self.take_digits(word, bare)
        elif word in _FORMS:
            stem, ending = _FORMS[word]
            self.add(stem, previous)
            self.flush(ending)
        elif word in _ZEROS or word in _ONES or word in _TENS or word in _SCALES:
            self.add(word, previous)
        elif word in _SIGNS:
            self.flush()
            if not _numeric(following):
                return self.leave(word)
            self.prefix = _SIGNS[word]
        elif word in _CURRENCIES and self.value is not None:
            self.prefix = _CURRENCIES[word]
            self.flush()
        elif word == "percent" and self.value is not None:
            self.flush("%")
        elif word == "per" and following == "cent" and self.value is not None:
            self.flush("%")
            return 2
        else:
            return self.take_link(word, previous, following)
        return 1

    def take_digits(self, word: str, bare: str) -> None:
        if isinstance(self.value, str) and self.value.endswith("."):
            self.value += word  # decimals, or the parts of an address
            return
        self.flush()
        if bare != word:
            self.prefix = word[0]
        number = Fraction(bare)
        self.value = number.numerator if number.denominator == 1 else bare

    def take_link(self, word: str, previous: str, following: str) -> int:
        """`and`, `point`, `double`: part of a number only between its words."""
        if not _numeric(following):
            return self.leave(word)
        if word == "and" and previous in _SCALES:
            return 1
        if word in _REPEATS and (following in _ONES or following in _ZEROS):
            digit = str(_ONES.get(following, 0))
            self.value = str(self.value or "") + digit * _REPEATS[word]
            return 2
        if word == "point":
            if (
                following in _ZEROS
                or following in _ONES
                or following in _TENS
                or _digits(following)
            ):
                self.value = f"{self.value or ''}."
            return 1
        return self.leave(word)

    def add(self, word: str, previous: str) -> None:
        """Join a number word to the number under way, by arithmetic or digit by digit."""
        if word in _SCALES:
            self.scale(_SCALES[word])
        elif word in _ZEROS:
            self.value = str(self.value or "") + "0"
        elif word in _TENS:
            self.join(_TENS[word], 100, spelled=isinstance(self.value, str))
        else:
            number = _ONES[word]
            if isinstance(self.value, str) and previous in _TENS and number < 10:
                self.value = self.value[:-1] + str(number)  # nineteen twenty + six
                return
            spelled = isinstance(self.value, str) or previous in _ONES
            self.join(number, 10 if number < 10 else 100, spelled=spelled)

    def join(self, number: int, room: int, *, spelled: bool) -> None:
        if self.value is None:
            self.value = number
        elif spelled or isinstance(self.value, str) or self.value % room:
            self.value = f"{self.value}{number}"
        else:
            self.value += number

    def scale(self, factor: int) -> None:
        if self.value is None:
            self.value = factor
        elif isinstance(self.value, int):
            high, low = divmod(self.value, 1000)
            self.value = high * 1000 + low * factor
        else:
            number = _fraction(self.value)
            if number is not None and (number * factor).denominator == 1:
                self.value = (number * factor).numerator
            else:
                self.flush()
                self.value = factor


def _digits(word: str) -> bool:
    return _DIGITS.fullmatch(word) is not None


def _numeric(word: str) -> bool:
    return word in _WORDS or _digits(word)


def _fraction(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


def spell_digits(text: str) -> str:
    """Write the numbers of lower-case, punctuation-free English in digits.

    >>> spell_digits("two and a half million dollars on the twenty first of may nineteen ninety")
    '$2500000 on the 21st of may 1990'
    """
    text = _halves(text)
    text = re.sub(r"([a-z])(?=[0-9])|([0-9])(?=[a-z])", r"\g<0> ", text)
    text = re.sub(r"([0-9])\s+(st|nd|rd|th|s)\b", r"\1\2", text)
    text = " ".join(_Reader(text.split()).read())
    text = re.sub(r"([€£$])([0-9]+) (?:and )?¢([0-9]{1,2})\b", _with_cents, text)
    # Any character may stand for the point, as in Whisper's: "$0 50" is read as 50 cents too.
    text = re.sub(r"[€£$]0.([0-9]{1,2})\b", lambda m: f"¢{int(m[1])}", text)
    return re.sub(r"\b1(s?)\b", r"one\1", text)


def _with_cents(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}.{int(match[3]):02d}"


def _halves(text: str) -> str:
    """`two and a half` to `two point five`, so that a scale after it still applies."""
    *before, last = re.split(r"\band\s+a\s+half\b", text)
    out: list[str] = []
    for piece in before:
        if words := piece.split():
            number = words[-1] in _ZEROS | _ONES.keys() | _TENS.keys() | _SCALES.keys()
            out += [piece, "point five" if number else "and a half"]
    return " ".join([*out, last])
