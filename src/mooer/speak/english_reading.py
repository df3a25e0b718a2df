"""What English writes in digits and signs, as words: dates, times, amounts, units, short forms.

What `mooer.speak.english_numbers` knows of single words is put into a whole text here; the rest of
the text stays as it is.
"""

from __future__ import annotations

import re

from mooer.speak.english_numbers import read_integer, read_word, read_year
from mooer.speak.measures import MEASURES, SYMBOL

_MONTHS: tuple[str, ...] = ("January", "February", "March", "April", "May", "June")
_MONTHS += ("July", "August", "September", "October", "November", "December")
_MONTH_OF = {month[:3].lower(): month for month in _MONTHS} | {"sept": "September"}
_SHORT = {
    **{"e.g.": "for example", "i.e.": "that is", "vs.": "versus", "vs": "versus"},
    **{"approx.": "approximately", "etc.": "et cetera.", "w/": "with", "a.k.a.": "also known as"},
}
_CURRENCIES = {"$": "dollars", "€": "euros", "£": "pounds", "¥": "yuan"}
_SCALE = r"(?:\s?(?:thousand|million|billion|trillion))"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_FREE = r"(?<![\w.,/-])"  # not inside a longer word or number
_END = r"(?![\w/]|[.,]\d)"
_CLOCK = r"(?:[01]?\d|2[0-4]):[0-5]\d"
_HALVES = {2: "half", 4: "quarter"}


def read_english(text: str) -> str:
    """`text` with what is written in digits and signs spelled out.

    >>> read_english("On 2024-08-15 at 9:05 it was -3.5°C, i.e. cold; 3-5 km for $2.50.")
    'On August fifteenth, twenty twenty four at nine oh five it was minus three point five degrees \
celsius, that is cold; three to five kilometers for two dollars fifty.'
    """
    for pattern, reading in _RULES:
        text = pattern.sub(reading, text)
    return text


def _words(written: str) -> str:
    return " ".join(read_word(written))


def _number(written: str) -> str:
    """An amount, which is no year."""
    whole, _, decimals = written.partition(".")
    if len(whole) == 4 and whole.isdecimal() and whole[0] != "0" and not decimals:
        return " ".join(read_integer(int(whole)))
    return _words(written)


def _date(year: str, month: str, day: str) -> str:
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return f"{year}-{month}-{day}"
    name = _MONTHS[int(month) - 1]
    return f"{name} {_ordinal(day)}, {' '.join(read_year(int(year)))}"


def _ordinal(day: str) -> str:
    return _words(f"{int(day)}th")


def _in_month(match: re.Match[str]) -> str:
    month = _MONTH_OF[match[1][:3].lower()]
    year = f", {' '.join(read_year(int(match[3])))}" if match[3] else ""
    return f"{month} {_ordinal(match[2])}{year}"


def _time(match: re.Match[str]) -> str:
    said = []
    for clock in filter(None, (match[1], match[2])):
        hour, _, minute = clock.partition(":")
        whole = minute == "00" and not match[3]
        said.append(" ".join(read_integer(int(hour))) + " o'clock" if whole else _words(clock))
    return " to ".join(said) + (f" {match[3][0].upper()} M" if match[3] else "")


def _telephone(match: re.Match[str]) -> str:
    groups = re.findall(r"\d+", match[0])
    return ("plus " if match[0][0] == "+" else "") + ", ".join(
        " ".join(_words(digit) for digit in group) for group in groups
    )


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if not 0 < above < below <= 20:
        return f"{_number(match[1])} over {_number(match[2])}"
    name = _HALVES.get(below) or _ordinal(match[2])
    return f"{' '.join(read_integer(above))} {name}{'s' if above > 1 else ''}"


def _money(match: re.Match[str]) -> str:
    sign, amount, scale = match[1], match[2], match[3]
    if scale:
        return f"{_number(amount)} {scale.strip()} {_CURRENCIES[sign]}"
    return _words(f"{sign}{amount}")


def _measure(match: re.Match[str]) -> str:
    minus, low, high, symbol = match.groups()
    _, one, several = MEASURES[symbol]
    name = one if low == "1" and not high else several
    amount = f"{_number(low)} to {_number(high)}" if high else _number(low)
    return f"{'minus ' if minus else ''}{amount} {name}"


def _range(match: re.Match[str]) -> str:
    low, high, percent = match.groups()
    return f"{_words(low)} to {_words(high)}{' percent' if percent else ''}"


def _dotted(match: re.Match[str]) -> str:
    parts = match[0].split(".")
    return " dot ".join(" ".join(_words(digit) for digit in part) for part in parts)


_RULES = (
    (
        re.compile(r"(?<![\w.])(?:e\.g\.|i\.e\.|vs\.?|approx\.|etc\.|w/|a\.k\.a\.)(?!\w)", re.I),
        lambda m: _SHORT[m[0].lower()].rstrip("." if m.end() < len(m.string) else ""),
    ),
    (re.compile(r"\b(?:No|no)\.\s?(?=\d)|(?<!\w)#(?=\d)"), lambda m: "number "),
    (
        re.compile(rf"{_FREE}(\d{{4}})([-/.])(\d\d?)\2(\d\d?){_END}"),
        lambda m: _date(m[1], m[3], m[4]),
    ),
    (re.compile(rf"{_FREE}(\d\d?)/(\d\d?)/(\d{{4}}){_END}"), lambda m: _date(m[3], m[1], m[2])),
    (
        re.compile(
            r"\b(Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec|"
            + "|".join(_MONTHS)
            + r")\b\.? (\d\d?)(?:st|nd|rd|th)?(?:,? (\d{4}))?(?![\d:%]|[.,]\d)"
        ),
        _in_month,
    ),
    (
        re.compile(
            rf"{_FREE}({_CLOCK})(?:\s?[-–—]\s?({_CLOCK}))?(?:\s?([AaPp])\.?[Mm]\b(?:\.(?=\s[a-z]))?)?"
            r"(?![\d:])"
        ),
        _time,
    ),
    (
        re.compile(rf"{_FREE}(\d\d?)\s?([AaPp])\.?[Mm]\b(?:\.(?=\s[a-z]))?"),
        lambda m: f"{_words(m[1])} {m[2].upper()} M",
    ),
    (re.compile(rf"{_FREE}\d*0'?s\b"), lambda m: _words(m[0])),  # the 1990s
    (re.compile(r"(?<![\w.])(?:\+\d{1,3}[ -])?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?!\w)"), _telephone),
    (re.compile(r"(?<![\w.-])(?:\+\d{1,3} )?\d{3}-\d{4}(?![\w-])"), _telephone),
    (re.compile(r"(?<![\w.])\d+(?:\.\d+){2,}(?!\w)"), _dotted),
    (re.compile(rf"([$€£¥])\s?({_NUMBER})({_SCALE}\b)?", re.I), _money),
    (
        re.compile(
            rf"{_FREE.replace('-', '')}([-−])?({_NUMBER})(?:\s?[-–—~]\s?({_NUMBER}))?\s?({SYMBOL})"
        ),
        _measure,
    ),
    (re.compile(rf"{_FREE}(\d\d?)/(\d\d?){_END}"), _fraction),
    (re.compile(rf"{_FREE}({_NUMBER})%?\s?[-–—~]\s?({_NUMBER})(%)?(?!-\d){_END}"), _range),
    (re.compile(rf"{_FREE}[-−](?=\d)"), lambda m: "minus "),
    (re.compile(rf"{_FREE}[~≈](?=\s?\d)"), lambda m: "about "),
    (re.compile(r"(?<=\d)\s?[x×]\s?(?=\d)"), lambda m: " times "),
    (re.compile(r"(?<=\d)\s?÷\s?(?=\d)"), lambda m: " divided by "),
    (re.compile(r"(?<=\d)\^2(?!\d)"), lambda m: " squared"),
    (re.compile(r"(?<=\d)\^3(?!\d)"), lambda m: " cubed"),
    (
        re.compile(rf"{_FREE}(?:{_NUMBER})(?:st|nd|rd|th|'?s|%)?{_END}", re.I),
        lambda m: _words(m[0]),
    ),
)
