"""English numbers as they are said, read from words: cardinals, decimals, years, ordinals.

Each reader is given tokens and a place, and gives what begins there with the place behind it, or
None. It takes a whole run of number words or nothing: of fifty fifty it reads no 50.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONE_NAMES = "one two three four five six seven eight nine"
_TEEN_NAMES = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TEN_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
ONES = {word: value for value, word in enumerate(_ONE_NAMES.split(), 1)}
TEENS = {word: value for value, word in enumerate(_TEEN_NAMES.split(), 10)}
TENS = {word: 10 * value for value, word in enumerate(_TEN_NAMES.split(), 2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
SMALL = {**ONES, **TEENS, **TENS}
NUMBERS = frozenset({*SMALL, *SCALES, "hundred", "zero"})
DIGITS = {**ONES, "zero": 0, "oh": 0, "o": 0}
_IRREGULAR = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9}
ORDINALS = {
    **{word + "th": value for word, value in {**ONES, **TEENS}.items()},
    **{word[:-1] + "ieth": value for word, value in TENS.items()},
    **{**_IRREGULAR, "twelfth": 12},
}
_DECADES = {word[:-1] + "ies": value for word, value in TENS.items()}
_WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?|\d+(?:\.\d+)?|[^\sA-Za-z\d]")


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number in digits, or a mark; its place in the text."""

    text: str  # in lower case
    start: int
    end: int
    is_joined: bool  # a space, a hyphen or a colon stands between it and the one before


@dataclass(frozen=True, slots=True)
class Amount:
    """A cardinal with its decimals, if there are any."""

    written: str
    value: int  # without the decimals
    is_whole: bool
    end: int


class Tokens:
    """The tokens of a text.

    >>> Tokens("Twenty-one, at 3 p.m.").spelled(0, 9)
    'twentyone,at3p.m.'
    """

    def __init__(self, text: str) -> None:
        self._tokens: list[Token] = []
        for match in _WORD.finditer(text):
            if match[0] in "-:" and text[match.start() - 1 : match.start()].isalpha():
                continue  # twenty-one; 3:30, as some write it
            between = text[self._tokens[-1].end : match.start()] if self._tokens else "."
            is_joined = between in (" ", "-", ":")
            self._tokens.append(Token(match[0].lower(), match.start(), match.end(), is_joined))

    def __len__(self) -> int:
        return len(self._tokens)

    def __getitem__(self, i: int) -> Token:
        return self._tokens[i]

    def spelled(self, i: int, num: int) -> str:
        """The texts of up to `num` tokens from `i` on, without what parts them."""
        return "".join(token.text for token in self._tokens[i : i + num])

    def word(self, i: int) -> str:
        """The word at `i` if it is joined to the one before it; else nothing."""
        is_there = 0 <= i < len(self) and (self._tokens[i].is_joined or i == 0)
        return self._tokens[i].text if is_there else ""

    def first(self, i: int) -> str:
        """The word at `i`, joined or not; nothing behind the end."""
        return self._tokens[i].text if i < len(self) else ""

    def before(self, i: int) -> str:
        """The word in front of `i`, if it is joined to it."""
        return self._tokens[i - 1].text if 0 < i < len(self) and self._tokens[i].is_joined else ""

    def past_comma(self, i: int) -> int:
        """The place itself, or that behind a comma which stands there."""
        return i + (self.first(i) == ",")


def read_tens(tokens: Tokens, i: int) -> tuple[int, int] | None:
    """Value below a hundred (twenty one, nine) and the place behind it."""
    word = tokens.first(i)
    if word in TENS:
        one = ONES.get(tokens.word(i + 1))
        return (TENS[word] + one, i + 2) if one else (TENS[word], i + 1)
    return (SMALL[word], i + 1) if word in SMALL else None


def read_cardinal(tokens: Tokens, i: int) -> tuple[int, int] | None:
    """Value of a whole number and the place behind it; None if more number words follow.

    >>> read_cardinal(Tokens("six thousand, four hundred and thirty nine"), 0)
    (6439, 8)
    >>> read_cardinal(Tokens("fifty fifty"), 0)
    """
    found = _read_hundreds(tokens, i)
    total, scale = 0, 10**15
    while found:
        value, end = found
        factor = SCALES.get(tokens.word(end), 0)
        if not 0 < factor < scale:
            return None if tokens.word(end) in NUMBERS else (total + value, end)
        total, scale, end = total + value * factor, factor, end + 1
        after = tokens.past_comma(_past_and(tokens, end, i))
        found = _read_hundreds(tokens, after) if tokens.word(after) in SMALL else None
        if found is None or (tokens[after - 1].text == "," and found[0] < 100):
            return None if tokens.word(end) in NUMBERS else (total, end)
    return None


def _read_hundreds(tokens: Tokens, i: int) -> tuple[int, int] | None:
    found = read_tens(tokens, i)
    if found is None or tokens.word(found[1]) != "hundred":
        return found
    value, end = found[0] * 100, found[1] + 1
    after = _past_and(tokens, end, i)
    rest = read_tens(tokens, after) if tokens.word(after) in SMALL else None
    if rest and not (after > end and tokens.word(rest[1]) in ("hundred", "thousand")):
        return value + rest[0], rest[1]
    return value, end


def _past_and(tokens: Tokens, i: int, start: int) -> int:
    """The place itself, or that behind `and`, unless it parts two numbers: between … and …"""
    return i + (tokens.word(i) == "and" and tokens.before(start) != "between")


def read_amount(tokens: Tokens, i: int) -> Amount | None:
    """A cardinal, with decimals if they are said.

    >>> read_amount(Tokens("six point five million"), 0).written
    '6.5 million'
    """
    found = read_cardinal(tokens, i)
    if found is None and tokens.first(i) == "zero" and tokens.word(i + 1) == "point":
        found = 0, i + 1
    if found is None:
        return None
    value, end = found
    if tokens.word(end) != "point":
        return Amount(grouped(value), value, True, end)
    decimals = ""
    while tokens.word(end + 1 + len(decimals)) in DIGITS:
        decimals += str(DIGITS[tokens.word(end + 1 + len(decimals))])
    if not decimals or (tokens.before(i) == "at" and value == 1):  # at one point two of them
        return None
    end += 1 + len(decimals)
    scale = tokens.word(end)
    if scale in SCALES:
        return Amount(f"{value}.{decimals} {scale}", value, False, end + 1)
    return None if scale in NUMBERS else Amount(f"{value}.{decimals}", value, False, end)


def grouped(value: int) -> str:
    """Thousands parted by commas from five digits on; whole millions in words.

    >>> [grouped(n) for n in (2005, 21000, 3000000, 3200000)]
    ['2005', '21,000', '3 million', '3,200,000']
    """
    for name, factor in reversed(SCALES.items()):
        if factor >= 10**6 and value >= factor and value % factor == 0:
            return f"{value // factor} {name}"
    return f"{value:,}" if value >= 10_000 else str(value)


def read_year(tokens: Tokens, i: int) -> tuple[str, int] | None:
    """A year or decade that is said as two numbers, and the place behind it.

    >>> [read_year(Tokens(t), 0)[0] for t in ("nineteen oh five", "nineteen nineties")]
    ['1905', '1990s']
    """
    century = {**TEENS, "twenty": 20}.get(tokens.first(i))
    following = tokens.word(i + 1)
    if century is None:
        return None
    if following in _DECADES:
        return f"{century}{_DECADES[following]}s", i + 2
    if following in ("oh", "o") and tokens.word(i + 2) in ONES:
        rest, end = ONES[tokens.word(i + 2)], i + 3
    elif following in TENS or following in TEENS:
        rest, end = read_tens(tokens, i + 1) or (0, 0)
    else:
        return None
    return None if tokens.word(end) in NUMBERS else (str(100 * century + rest), end)


def read_any_year(tokens: Tokens, i: int) -> tuple[str, int] | None:
    """The same, or two thousand and five."""
    if found := read_year(tokens, i):
        return found
    cardinal = read_cardinal(tokens, i)
    return (str(cardinal[0]), cardinal[1]) if cardinal and 1000 <= cardinal[0] < 2100 else None


def read_ordinal(tokens: Tokens, i: int) -> tuple[int, int] | None:
    """Value of an ordinal below a hundred, and the place behind it."""
    word = tokens.word(i)
    if word in ORDINALS:
        return ORDINALS[word], i + 1
    last = ORDINALS.get(tokens.word(i + 1), 99)
    return (TENS[word] + last, i + 2) if word in TENS and last < 10 else None
