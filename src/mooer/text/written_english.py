"""Spoken English to written: twenty five percent becomes 25%, nineteen ninety eight 1998.

Numbers below ten stay words, except in dates, times, percentages, decimals and money: one of them,
two or three people. A run of number words that is not one number stays as it was said: fifty fifty,
twenty four seven.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mooer.text.spoken_numbers import (
    DIGITS,
    NUMBERS,
    ONES,
    ORDINALS,
    SMALL,
    TEENS,
    TENS,
    Tokens,
    read_amount,
    read_any_year,
    read_ordinal,
    read_tens,
    read_year,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MONTHS = _words(
    "january february march april may june july august september october november december"
)
_UNSURE_MONTHS = _words("march may")  # words of their own
_SIGNS = {"dollar": "$", "dollars": "$", "euro": "€", "euros": "€"}
_NAMED = _words(
    "chapter page room gate platform flight version section figure volume apartment route highway "
    "channel interstate"
)
_BEFORE_DIGITS = _NAMED | _words("number code extension bus area zip")
_BEFORE_YEAR = _MONTHS | _words(
    "in since of by from until till to year during before after around circa late early mid "
    "summer winter spring fall autumn and between"
)
_BEFORE_TIME = _words("at by until till around before after from about")
_NUMBERED = _words("century centuries floor street avenue anniversary birthday edition")
_VAGUE = _words("something odd ish fold winks")  # thirty something
_LINKS = _words("or to and in of")
_PARTS = _words("half third thirds quarter quarters")
_COLD = _words("degree degrees percent celsius fahrenheit")
_COUNTING = "123456789"


@dataclass(frozen=True, slots=True)
class _Found:
    end: int  # the token behind it
    text: str


def to_written_english(text: str) -> str:
    """`text` with its numbers as they are written; what is no number stays as it is.

    >>> to_written_english("On july fourth nineteen seventy six, twenty two percent paid $5.")
    'On July 4, 1976, 22% paid $5.'
    >>> to_written_english("one of them waited a second at three thirty p.m.")
    'one of them waited a second at 3:30 p.m.'
    """
    tokens = Tokens(text)
    written: list[str] = []
    place = i = 0
    while i < len(tokens):
        found = next((f for rule in _RULES if (f := rule(tokens, i))), None)
        if found is None:
            i = _past_run(tokens, i)
            continue
        written += [text[place : tokens[i].start], found.text]
        place, i = tokens[found.end - 1].end, found.end
        if found.text.endswith(".") and text[place : place + 1] == ".":
            place += 1  # p m. at the end of a sentence
    return "".join([*written, text[place:]])


def _past_run(tokens: Tokens, i: int) -> int:
    """Behind the number words from here on, none of which may be written alone."""
    end = i + 1
    if tokens[i].text in NUMBERS or tokens[i].text in ORDINALS:
        while tokens.word(end) in NUMBERS or tokens.word(end) in ORDINALS:
            end += 1
    return end


# --- rules: what begins at this token, if anything --------------------------------------------


def _date(tokens: Tokens, i: int) -> _Found | None:
    """As july fourth (nineteen seventy six), march nineteen ninety eight."""
    month = tokens[i].text
    if month not in _MONTHS:
        return None
    name = month.capitalize()
    if day := _day(tokens, i):
        behind = tokens.past_comma(day[1])
        year = read_any_year(tokens, behind) if tokens.word(behind) in NUMBERS else None
        if year:
            return _Found(year[1], f"{name} {day[0]}, {year[0]}")
        return _Found(day[1], f"{name} {day[0]}")
    year = read_any_year(tokens, i + 1) if tokens.word(i + 1) in NUMBERS else None
    if year and (month not in _UNSURE_MONTHS or tokens.before(i) in _BEFORE_YEAR):
        return _Found(year[1], f"{name} {year[0]}")
    return None


def _day(tokens: Tokens, i: int) -> tuple[int, int] | None:
    """The day behind a month: an ordinal; or a cardinal from ten on, before a year, after `on`."""
    day = read_ordinal(tokens, i + 1)
    if day is None and tokens.word(i + 1) in SMALL and not read_year(tokens, i + 1):
        day = read_tens(tokens, i + 1)
        behind = tokens.past_comma(day[1]) if day else 0
        is_plain = day is not None and day[0] >= 10 and tokens[i].text not in _UNSURE_MONTHS
        if not (is_plain or read_any_year(tokens, behind) or tokens.before(i) == "on"):
            return None
    return day if day and day[0] <= 31 else None


def _year(tokens: Tokens, i: int) -> _Found | None:
    """One that needs no other sign (nineteen ninety eight), or follows a word as `in`."""
    found = read_year(tokens, i)
    if found is None:
        return None
    is_sure = TEENS.get(tokens[i].text, 0) >= 13 or found[0].endswith("s")
    return _Found(found[1], found[0]) if is_sure or tokens.before(i) in _BEFORE_YEAR else None


def _time(tokens: Tokens, i: int) -> _Found | None:
    """As three thirty p m, eight a.m., five o'clock; without those, only behind at, by, until."""
    hour = SMALL.get(tokens[i].text, 13)
    minute, end = _minute(tokens, i + 1)
    if hour > 12 or tokens.word(end) in NUMBERS:
        return None
    if tokens.word(end) == "o'clock" and not minute:
        return _Found(end + 1, f"{hour} o'clock")
    is_timed = tokens.before(i) in _BEFORE_TIME
    half, behind = _half(tokens, end, is_sure=bool(minute) or is_timed)
    if half or (minute and is_timed):
        return _Found(behind, f"{hour}{minute}{half}")
    return None


def _minute(tokens: Tokens, i: int) -> tuple[str, int]:
    """Such as `:30` and the place behind it; nothing and the place itself if none is said."""
    word, following = tokens.word(i), tokens.word(i + 1)
    if word in ("oh", "o") and following in ONES:
        return f":0{ONES[following]}", i + 2
    if word in TENS or word in TEENS:
        value, end = read_tens(tokens, i) or (60, i)
        if value < 60:
            return f":{value}", end
    return "", i


def _half(tokens: Tokens, i: int, *, is_sure: bool) -> tuple[str, int]:
    """` a.m.` or ` p.m.` and the place behind it, however it is spelled; `am` is also a verb."""
    for half in ("a", "p"):
        word, written = tokens.word(i), f" {half}.m."
        if word == half and tokens.word(i + 1) == "m":
            return written, i + 2
        spelled = tokens.spelled(i, 4)
        if word == half and spelled.startswith(f"{half}.m"):
            return written, i + (4 if spelled == f"{half}.m." else 3)
        if word == f"{half}m" and (is_sure or half == "p"):
            return written, i + 1
    return "", i


def _digits(tokens: Tokens, i: int) -> _Found | None:
    """A number of a telephone, a room, a flight; no counting."""
    digits, end = "", i
    while end == i or tokens.word(end):
        times = {"double": 2, "triple": 3}.get(tokens.first(end), 1)
        word = tokens.first(end) if times == 1 else tokens.word(end + 1)
        if word not in DIGITS or (end == i and word in ("oh", "o")):
            break
        digits, end = digits + str(DIGITS[word]) * times, end + (1 if times == 1 else 2)
    if tokens.word(end) in NUMBERS | {"point", *ORDINALS}:
        return None
    before = tokens.before(i)
    is_counting = digits in _COUNTING or digits in _COUNTING[::-1]
    is_long = len(digits) >= 4 and not is_counting
    is_named = len(digits) >= 2 and before in _BEFORE_DIGITS
    is_single = len(digits) == 1 and before in _NAMED
    return _Found(end, digits) if is_long or is_named or is_single or digits == "911" else None


def _ordinal(tokens: Tokens, i: int) -> _Found | None:
    """As the twenty first, nineteenth century; first, second and their like stay words."""
    word = tokens[i].text
    last = ORDINALS.get(tokens.word(i + 1), 99)
    if word in TENS and last < 10 and (last != 2 or tokens.before(i) == "the"):
        return _Found(i + 2, _with_ending(TENS[word] + last))
    if ORDINALS.get(word, 0) >= 10 and tokens.word(i + 1) in _NUMBERED:
        return _Found(i + 1, _with_ending(ORDINALS[word]))
    return None


def _with_ending(value: int) -> str:
    is_teen = 10 <= value % 100 < 20
    return f"{value}{'th' if is_teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(value % 10, 'th')}"


def _unit(tokens: Tokens, i: int) -> _Found | None:
    """Percentages (also five to ten percent), and money."""
    amount = read_amount(tokens, i)
    if amount is None:
        return None
    unit, written = tokens.word(amount.end), amount.written
    if unit in _SIGNS:
        return _money(tokens, amount.end, written, _SIGNS[unit])
    if unit in ("to", "or") and tokens.word(amount.end + 1) in NUMBERS:
        second = read_amount(tokens, amount.end + 1)
        if second is None:
            return None
        written, amount = f"{written} {unit} {second.written}", second
    for spelled in (("percent",), ("per", "cent")):
        end = amount.end + len(spelled)
        if tuple(tokens.word(j) for j in range(amount.end, end)) == spelled:
            return _Found(end, f"{written}%")
    return None


def _money(tokens: Tokens, end: int, written: str, sign: str) -> _Found:
    """Dollars, and the cents behind them."""
    after = tokens.past_comma(end + 1 + (tokens.word(end + 1) == "and"))
    cents = read_tens(tokens, after) if tokens.word(after) in SMALL else None
    if cents and tokens.word(cents[1]) in ("cent", "cents") and " " not in written:
        return _Found(cents[1] + 1, f"{sign}{written}.{cents[0]:02d}")
    return _Found(end + 1, f"{sign}{written}")


def _cold(tokens: Tokens, i: int) -> _Found | None:
    """Minus five degrees."""
    if tokens[i].text not in ("minus", "negative") or tokens.word(i + 1) not in NUMBERS:
        return None
    amount = read_amount(tokens, i + 1)
    is_cold = amount is not None and tokens.word(amount.end) in _COLD
    return _Found(amount.end, f"-{amount.written}") if amount and is_cold else None


def _number(tokens: Tokens, i: int) -> _Found | None:
    """Decimals, and whole numbers from ten on."""
    amount = read_amount(tokens, i)
    if amount is None:
        return None
    if amount.is_whole and (amount.value < 10 or _is_loose(tokens, i, amount.end)):
        return None
    return _Found(amount.end, amount.written)


def _is_loose(tokens: Tokens, start: int, end: int) -> bool:
    """Whether a number is better left in words: thirty something, nine to twelve, one in ten."""
    following = tokens.word(end)
    is_mixed = tokens.word(end + 1) in {*ONES, "a"} and tokens.word(end + 2) in _PARTS
    if following in _VAGUE or (following == "and" and is_mixed):
        return True
    if tokens.before(start) in _LINKS:
        place = start - (3 if tokens.before(start) == "of" else 2)  # nine out of ten
        if tokens.word(place) in ONES and tokens.word(place - 1) not in NUMBERS | {"point"}:
            return True
    is_small = tokens.word(end + 1) in ONES and tokens.word(end + 2) not in NUMBERS | {"point"}
    return following in ("or", "to") and is_small


_RULES: tuple[Callable[[Tokens, int], _Found | None], ...] = (
    *(_date, _time, _year, _digits, _ordinal, _unit, _cold, _number),
)
