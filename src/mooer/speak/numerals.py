"""How Mandarin reads what is written in digits: amounts, years, times, percentages, ranges."""

from __future__ import annotations

import re

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
_MEASURES = "个位只条张本次件家种名块瓶杯辆座台间层双头天年周岁点分倍"  # 两个, but 二十, 第二
_NUMBER = r"\d+(?:\.\d+)?"
_CURRENCIES = {"¥": "元", "$": "美元", "€": "欧元", "£": "英镑"}


def read_numerals(text: str) -> str:
    """`text` with its digits in Chinese characters as they are read aloud.

    Digits that belong to a word of Latin letters (GPT4, B2B) are left to that word.

    >>> read_numerals("2024年有1,050个，占3.5%，8:05到，第2名，2个")
    '二零二四年有一千零五十个，占百分之三点五，八点零五分到，第二名，两个'
    >>> read_numerals("气温-5°C，比分3:2，3-5天，电话13800138000，GPT4，1/3")
    '气温零下五摄氏度，比分三比二，三到五天，电话一三八零零一三八零零零，GPT4，三分之一'
    """
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    for pattern, reading in _RULES:
        text = pattern.sub(reading, text)
    return text


def read_integer(digits: str) -> str:
    """An amount: groups of four places; a run of zeros inside is read once.

    >>> [read_integer(n) for n in ("10", "12", "105", "2000", "10010", "100000000")]
    ['十', '十二', '一百零五', '二千', '一万零一十', '一亿']
    """
    digits = digits.lstrip("0")
    if not digits:
        return _DIGITS[0]
    if len(digits) > 4 * len(_GROUPS):
        return read_digits(digits)
    groups = [digits[max(0, end - 4) : end] for end in range(len(digits), 0, -4)]
    spoken = ""
    for place in reversed(range(len(groups))):
        group = groups[place]
        if int(group) == 0:
            continue
        # A gap before this group is a zero: its own leading zero, or a whole group of them.
        gap = group[0] == "0" or (place + 1 < len(groups) and int(groups[place + 1]) == 0)
        spoken += (_DIGITS[0] if spoken and gap else "") + _group(group) + _GROUPS[place]
    return spoken.removeprefix("一") if spoken.startswith("一十") else spoken


def read_digits(digits: str) -> str:
    """One digit after the other, as in years and telephone numbers."""
    return "".join(_DIGITS[int(digit)] for digit in digits)


def _group(digits: str) -> str:
    spoken, zero = "", False
    for i, digit in enumerate(digits):
        if digit == "0":
            zero = True
            continue
        spoken += (_DIGITS[0] if zero and spoken else "") + _DIGITS[int(digit)]
        spoken += _PLACES[len(digits) - 1 - i]
        zero = False
    return spoken


def _read(number: str) -> str:
    whole, _, decimals = number.partition(".")
    if not decimals and (len(whole) >= 9 or (len(whole) > 1 and whole[0] == "0")):
        return read_digits(whole)  # a number of a telephone or a document
    return read_integer(whole) + (f"点{read_digits(decimals)}" if decimals else "")


def _time(match: re.Match[str]) -> str:
    hour, minute = match[1], match[2]
    if minute == "00":
        return f"{_read(hour.lstrip('0') or '0')}点"
    lead = _DIGITS[0] if minute[0] == "0" else ""
    return f"{_read(hour.lstrip('0') or '0')}点{lead}{read_integer(minute)}分"


def _temperature(match: re.Match[str]) -> str:
    return f"{'零下' if match[1] else ''}{_read(match[2])}摄氏度"


_FREE = r"(?<![A-Za-z\d.])"  # not inside a word or a longer number
_RULES = (
    (re.compile(rf"{_FREE}(\d{{2,4}})(?=年)"), lambda m: _year(m[1])),
    (re.compile(rf"{_FREE}([01]?\d|2[0-4]):([0-5]\d)(?![\d:])"), _time),
    (re.compile(rf"{_FREE}(\d+):(\d+)(?![\d:])"), lambda m: f"{_read(m[1])}比{_read(m[2])}"),
    (re.compile(rf"{_FREE}([-−]?)({_NUMBER})\s*°C"), _temperature),
    (re.compile(rf"{_FREE}({_NUMBER})%"), lambda m: f"百分之{_read(m[1])}"),
    (re.compile(rf"{_FREE}(\d+)[/⁄](\d+)(?![/\d])"), lambda m: f"{_read(m[2])}分之{_read(m[1])}"),
    (re.compile(rf"([¥$€£])\s*({_NUMBER})"), lambda m: _read(m[2]) + _CURRENCIES[m[1]]),
    (
        re.compile(rf"{_FREE}({_NUMBER})[-~–—]({_NUMBER})"),
        lambda m: f"{_read(m[1])}到{_read(m[2])}",
    ),
    (re.compile(rf"(?<![\w.])[-−]({_NUMBER})"), lambda m: f"负{_read(m[1])}"),
    (re.compile(rf"(?<![A-Za-z\d.第])2(?=[{_MEASURES}])"), lambda m: "两"),
    (re.compile(rf"{_FREE}({_NUMBER})"), lambda m: _read(m[1])),
)


def _year(digits: str) -> str:
    # 2024年 is a year and read by digits; 30年 is a length of time.
    return read_digits(digits) if len(digits) == 4 and digits[0] in "12" else _read(digits)
