"""How Mandarin reads what is written in digits: amounts, years, times, percentages, ranges."""

from __future__ import annotations

import re

from mooer.speak.measures import MEASURES, SYMBOL

_DIGITS = "零一二三四五六七八九"
_PLACES = ("", "十", "百", "千")
_GROUPS = ("", "万", "亿", "万亿")
# What is counted by 两: 两个, but 二十, 第二.
_COUNTED = "(?:[个位只条张本次件家种名块瓶杯辆座台间层双头天年周岁点分倍元米秒万亿]|小时|公里)"
_NUMBER = r"\d+(?:\.\d+)?"
_SIGNS = {"×": "乘", "*": "乘", "÷": "除以", "+": "加", "=": "等于", ">": "大于", "<": "小于"}
_SIGN = "[" + re.escape("".join(_SIGNS)) + "]"
_LEADS = {"~": "约", "≈": "约", "±": "正负"}
_POWERS = {"2": "平方", "3": "立方"}
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
    """8:05, or 12:30:45."""
    hour, minute, second = match[1], match[2], match[3]
    said = "两点" if int(hour) == 2 else f"{read_integer(hour)}点"
    if minute != "00" or second:
        said += (_DIGITS[0] if minute[0] == "0" else "") + f"{read_integer(minute)}分"
    return said + (f"{read_integer(second)}秒" if second else "")


def _times(match: re.Match[str]) -> str:
    return "到".join(_TIME.sub(_time, time) for time in re.split("[-~–—]", match[0]))


def _date(match: re.Match[str]) -> str:
    year, _, month, day = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return match[0]
    return f"{read_digits(year)}年{read_integer(month)}月{read_integer(day)}日"


def _temperature(match: re.Match[str]) -> str:
    return f"{'零下' if match[1] else ''}{_read(match[2])}摄氏度"


def _money(match: re.Match[str]) -> str:
    sign, amount, scale = match.groups(default="")
    return _read(amount) + _SCALES.get(scale.strip().lower(), scale) + _CURRENCIES[sign]


def _measure(match: re.Match[str]) -> str:
    amount = "两" if match[1] == "2" else _read(match[1])
    return amount + MEASURES[match[2]][0]


def _telephone(match: re.Match[str]) -> str:
    return "".join(read_digits(group) for group in re.findall(r"\d+", match[0]))


def _year(digits: str) -> str:
    # 2024年 is a year and read by digits; 30年 is a length of time.
    return read_digits(digits) if len(digits) == 4 and digits[0] in "12" else _read(digits)


_FREE = r"(?<![A-Za-z\d.])"  # not inside a word or a longer number
_TO = "[-~–—]"
_CLOCK = r"(?:[01]?\d|2[0-4]):[0-5]\d"
_TIME = re.compile(rf"{_FREE}([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?(?![\d:])")
_SCALES = {"thousand": "千", "million": "百万", "billion": "十亿", "trillion": "万亿"}
_SCALE = rf"(?:[万亿]|\s(?:{'|'.join(_SCALES)})\b)"
# What stands behind these is no amount, and is read by digits.
_NAMED = "电话|手机|热线|拨打|号码|密码|验证码|尾号|编号|工号|学号|邮编"
_RULES = (
    (re.compile(rf"{_FREE}(\d{{4}})([-/.])(\d\d?)\2(\d\d?)(?![\d.])"), _date),
    (
        re.compile(rf"{_FREE}(\d{{4}}){_TO}(\d{{4}})(?=年)"),
        lambda m: f"{_year(m[1])}到{_year(m[2])}",
    ),
    (re.compile(rf"{_FREE}(\d{{2,4}})(?=年)"), lambda m: _year(m[1])),
    (re.compile(rf"{_FREE}{_CLOCK}{_TO}{_CLOCK}(?![\d:])"), _times),
    (_TIME, _time),
    (re.compile(rf"{_FREE}(\d+):(\d+)(?![\d:])"), lambda m: f"{_read(m[1])}比{_read(m[2])}"),
    (re.compile(rf"{_FREE}([-−]?)({_NUMBER})\s*°C"), _temperature),
    (
        re.compile(rf"{_FREE}({_NUMBER})%?{_TO}({_NUMBER})%"),
        lambda m: f"百分之{_read(m[1])}到百分之{_read(m[2])}",
    ),
    (re.compile(rf"{_FREE}({_NUMBER})%"), lambda m: f"百分之{_read(m[1])}"),
    (
        re.compile(rf"{_FREE}({_NUMBER}){_TO}({_NUMBER})\s?({SYMBOL})"),
        lambda m: f"{_read(m[1])}到{_read(m[2])}{MEASURES[m[3]][0]}",
    ),
    (re.compile(rf"{_FREE}({_NUMBER})\s?({SYMBOL})"), _measure),
    (re.compile(rf"(?<=元)/({SYMBOL})"), lambda m: f"每{MEASURES[m[1]][0]}"),
    (re.compile("(?<=元)/(?=[个人天月年次])"), lambda m: "每"),
    (
        re.compile(
            r"(?<![\w.-])(?:0\d{2,3}-\d{7,8}|[48]00-\d{3}-\d{4}|1\d{2}-\d{4}-\d{4})(?![\d-])"
        ),
        _telephone,
    ),
    (
        re.compile(rf"((?:{_NAMED})(?:是|为|：|:)?\s?)(\d{{3,}})(?![\d.%万亿])"),
        lambda m: m[1] + read_digits(m[2]),
    ),
    (re.compile(rf"{_FREE}(\d{{3,4}})(?=[号]?室)"), lambda m: read_digits(m[1])),
    (re.compile(rf"{_FREE}(\d+)[/⁄](\d+)(?![/\d])"), lambda m: f"{_read(m[2])}分之{_read(m[1])}"),
    (re.compile(rf"([¥$€£])\s*({_NUMBER})({_SCALE})?", re.IGNORECASE), _money),
    (
        re.compile(rf"{_FREE}(?<!\d-)({_NUMBER}){_TO}({_NUMBER})(?![\d.]|-\d)(?=({_COUNTED})?)"),
        lambda m: f"{_read(m[1])}到{'两' if m[2] == '2' and m[3] else _read(m[2])}",
    ),
    (re.compile(rf"{_FREE}({_NUMBER})\^([23])"), lambda m: f"{_read(m[1])}的{_POWERS[m[2]]}"),
    (re.compile(rf"(?<=[\d\s])({_SIGN})(?=\s?\d)"), lambda m: _SIGNS[m[1]]),
    (re.compile(r"(?<![\w.])([~≈±])(?=\d)"), lambda m: _LEADS[m[1]]),
    (re.compile(rf"(?<![\w.])[-−]({_NUMBER})"), lambda m: f"负{_read(m[1])}"),
    (re.compile(rf"(?<![A-Za-z\d.第])2(?={_COUNTED})"), lambda m: "两"),
    (re.compile(rf"{_FREE}({_NUMBER})"), lambda m: _read(m[1])),
)
