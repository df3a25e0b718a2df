"""How English reads what is written in digits: amounts, years, ordinals, times, money, percentages.

The reading of a written word is a list of words in lower case; what is not read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_ONE_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TEN_NAMES = "zero ten twenty thirty forty fifty sixty seventy eighty ninety"
_ONES, _TENS = (tuple(names.split()) for names in (_ONE_NAMES, _TEN_NAMES))
_SCALES = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"},
    **{"nine": "ninth", "twelve": "twelfth"},
}
_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yuan"}
_SIGNS = {
    **{"%": "percent", "&": "and", "+": "plus", "@": "at", "=": "equals", "#": "number"},
    **{"°c": "degrees celsius", "℃": "degrees celsius", "°f": "degrees fahrenheit"},
    "°": "degrees",
}
_MOST_DIGITS = 9  # a longer number is that of a telephone or a document

_AMOUNT = r"\d{1,3}(?:,\d{3})+|\d+"
_PART = re.compile(
    rf"(?P<currency>[$€£¥])\s?(?P<money>{_AMOUNT})(?P<cents>\.\d+)?"
    rf"|(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?!\d)"
    rf"|(?P<ordinal>{_AMOUNT})(?:st|nd|rd|th)\b"
    rf"|(?P<decade>\d\d(?:\d\d)?)'?s\b"
    rf"|(?P<number>{_AMOUNT})(?P<decimals>\.\d+)?"
    r"|(?P<letters>(?:[^\W\d_]\.){2,}|[^\W\d_]+(?:'[^\W\d_]+)*)"
    r"|(?P<range>(?<=\d)[-–—~](?=\d))"
    r"|(?P<sign>°[cf]\b|[%&+@=#℃°])",
    re.IGNORECASE,
)


def read_word(written: str, after: str = "") -> list[str]:
    """The words that are said for one that is written; `after` is the next written one.

    >>> read_word("$3.5", "million"), read_word("1,050"), read_word("B2B")
    (['three', 'point', 'five'], ['one', 'thousand', 'fifty'], ['b', 'two', 'b'])
    >>> read_word("in-1984"), read_word("3-5%"), read_word("21st,")
    (['in', 'nineteen', 'eighty', 'four'], ['three', 'to', 'five', 'percent'], ['twenty', 'first'])
    """
    written = written.replace("’", "'").lower()
    has_scale = after.strip(".,;:!?").lower() in _SCALES[1:]
    return [word for match in _PART.finditer(written) for word in _read(match, has_scale)]


def read_integer(number: int) -> list[str]:
    """An amount below 10^15.

    >>> " ".join(read_integer(120_015))
    'one hundred twenty thousand fifteen'
    """
    if number < 20:
        return [_ONES[number]]
    words: list[str] = []
    for power in reversed(range(len(_SCALES))):
        group = number // 1000**power % 1000
        if not group:
            continue
        hundreds, rest = divmod(group, 100)
        if hundreds:
            words += [_ONES[hundreds], "hundred"]
        if rest >= 20:
            words.append(_TENS[rest // 10])
            rest %= 10
        if rest:
            words.append(_ONES[rest])
        if power:
            words.append(_SCALES[power])
    return words


def read_year(year: int) -> list[str]:
    """A year as it is said.

    >>> [" ".join(read_year(year)) for year in (1905, 1900, 2008, 2024)]
    ['nineteen oh five', 'nineteen hundred', 'two thousand eight', 'twenty twenty four']
    """
    century, rest = divmod(year, 100)
    if year % 1000 < 10:
        return read_integer(year)
    if not rest:
        return [*read_integer(century), "hundred"]
    return [*read_integer(century), *(["oh"] if rest < 10 else []), *read_integer(rest)]


def _read(match: re.Match[str], has_scale: bool) -> Iterator[str]:
    found = match.groupdict()
    if found["currency"]:
        yield from _money(found["currency"], found["money"], found["cents"] or "", has_scale)
    elif found["hour"]:
        yield from read_integer(int(found["hour"]))
        if found["minute"] != "00":
            yield from ["oh"] if found["minute"][0] == "0" else []
            yield from read_integer(int(found["minute"]))
    elif found["ordinal"]:
        *before, last = _amount(found["ordinal"])
        yield from before
        yield _ORDINALS.get(last) or (last[:-1] + "ieth" if last.endswith("y") else last + "th")
    elif found["decade"]:
        decade = int(found["decade"])
        *before, last = read_year(decade) if decade > 99 else read_integer(decade)
        yield from before
        yield last[:-1] + "ies" if last.endswith("y") else last + "s"
    elif found["number"]:
        yield from _number(found["number"], found["decimals"] or "")
    elif found["letters"]:
        letters = found["letters"]
        yield from letters.replace(".", "") if "." in letters else [letters]
    else:
        yield from ["to"] if found["range"] else _SIGNS[found["sign"]].split()


def _number(whole: str, decimals: str) -> list[str]:
    if decimals:
        return [*_amount(whole), "point", *(_ONES[int(digit)] for digit in decimals[1:])]
    if len(whole) == 4 and whole.isdigit() and 1100 <= int(whole) < 2100:
        return read_year(int(whole))
    return _amount(whole)


def _amount(digits: str) -> list[str]:
    bare = digits.replace(",", "")
    if (len(bare) > 1 and bare[0] == "0") or ("," not in digits and len(bare) > _MOST_DIGITS):
        return [_ONES[int(digit)] for digit in bare]
    return read_integer(int(bare)) if len(bare) <= 15 else [_ONES[int(digit)] for digit in bare]


def _money(sign: str, whole: str, cents: str, has_scale: bool) -> list[str]:
    """The name of the currency stands behind the number, or behind its million."""
    if has_scale or (cents and len(cents) != 3):
        words = _number(whole.replace(",", ""), cents) if cents else _amount(whole)
        return words if has_scale else [*words, _plural(sign, 2)]
    number = int(whole.replace(",", ""))
    words = [*_amount(whole), _plural(sign, number)]
    return [*words, *read_integer(int(cents[1:]))] if cents and int(cents[1:]) else words


def _plural(sign: str, number: int) -> str:
    name = _CURRENCIES[sign]
    return name if number == 1 or name == "yuan" else name + "s"


def currency_of(written: str) -> str | None:
    """The currency that is said after the million of an amount of money.

    >>> currency_of("$3.5")
    'dollars'
    """
    found = re.match(r"[^\w$€£¥]*([$€£¥])\s?\d", written)
    return _plural(found[1], 2) if found else None
