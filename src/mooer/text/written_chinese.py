"""Spoken Chinese to written: 二零二四年三月五号 becomes 2024年3月5号, 百分之五十 becomes 50%.

Numbers below ten stay characters, except in dates, times, percentages, decimals and money: 三个人,
一方面. What could mean two things stays as it was said, as do approximations (三五天, 十几个) and
idioms (三三两两, 十全十美). Simplified and Traditional characters are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

# Characters of numbers and of their surroundings as the rules below know them, one for one.
_SHADOW = str.maketrans(
    "〇兩萬億點號塊歲個鐘時週禮開來餘後幾數單劃統", "零两万亿点号块岁个钟时周礼开来余后几数单划统"
)
_BACK = str.maketrans("万亿", "萬億")
_HIDDEN = "\ufffc"  # stands where no rule may look

_DIGITS = "零一二三四五六七八九"
_VALUES = {char: value for value, char in enumerate(_DIGITS)} | {"两": 2, "幺": 1}
_D = f"[{_DIGITS}]"
_ONE = "[一二两三四五六七八九]"
_N = "[零一二两三四五六七八九十百千万亿]"
_END = rf"(?!{_N})"
_BEGIN = rf"(?<!{_N})"
_ALONE = rf"(?<![{_N[1:-1]}点])"
_INTEGER = rf"{_BEGIN}{_N}+{_END}"
_NUMBER = rf"{_BEGIN}{_N}+(?:点{_D}+)?{_END}"
_MONTH = "(十[一二]?|[一二三四五六七八九])"
_DAY = "(三十一?|二十[一二三四五六七八九]?|十[一二三四五六七八九]?|[一二三四五六七八九])"
_HOUR = f"(二十[一二三四]?|十[一二三四五六七八九]?|{_ONE}|零)"
_MINUTE = "([二三四五]?十[一二三四五六七八九]?)"
_PART_OF_DAY = (
    "(?:上午|下午|早上|早晨|清晨|凌晨|中午|晚上|傍晚|夜里|半夜|深夜|午夜|今早|今晚|明早|明晚|昨晚)"
)

# After ten alone; and after a number that was cut short, as 两万五.
_MEASURE = re.compile(
    "个|人|岁|元|块|天|年|月|日|号|点|分钟|小时|秒|米|公里|公斤|斤|吨|度|倍|名|位|张|本|次|件|家|种"
    "|条|只|台|辆|所|层|楼|万|亿|美元|欧元|[多来余]|[到至](?=[一二三四五六七八九]?[十百千万])"
)
_AFTER_SHORT = re.compile(r"$|\W|[块元斤米人岁左右的了吧]|公里|公斤")

_IDIOMS = re.compile(
    "一[五一]一十|三七二十一|二百五(?!十)|五十步笑百步|三百六十行|三十六[计行]|七十二[变行]"
    "|二十四[史孝]|二十五史|十二生肖|十二时辰|十八般|十八罗汉|十三陵|十三经|一百单八将|一千零一夜"
    "|三十而立|四十不惑|五十知|六十花甲|七十古来稀|十万八千里|十万火急|十万个为什么|百儿八十|千儿八百"
    "|十年树木|十年寒窗|十年如一日|十年磨一剑|十年生死|十天半个?月|十月怀胎|十月革命|十面埋伏|十个指头"
    "|双十[一二]?|十一(?=长假|黄金周|假期|期间|放假)|三六九等|一二九|九一八|九九重阳|三一冲突"
    "|(?:一点){2}|一点一滴|一点半点|[两三五]点一线|八九不离十|十有八九|零零碎碎"
    "|(?:十[一二三四五六七八九]|二十)(?:届|大(?![类夫家概米多小城行国洋型]))"
    "|(?:星期|礼拜|周)(?:一三五|二四六|[一二三四五六])|初[一二三四五六七八九十]|老[二三四五六七八九]|大年三十"
    f"|(?:正月|腊月|冬月|闰{_ONE}月|(?<!年)(?<!年十)(?<!{_N}){_MONTH}月){_DAY}(?![日号])"
    "|(?<=十)千(?=[米克瓦卡赫帕焦])|[统唯专单同逐归划不]一|(?<!分)之一|(?<![一二两三四五六七八九十百千])万一"
    f"|{_D}{{3}}(?:运动|事变|惨案)"
)
_LISTS = ("一三五", "二四六", "三六九")  # told one by one: Monday, Wednesday and Friday

Edit = tuple[int, int, str]  # a stretch of the text, and what stands there instead


def to_written_chinese(text: str) -> str:
    """`text` with its numbers as they are written; what is no number stays as it is.

    >>> to_written_chinese("二零二四年三月五号下午三点半，百分之十二点五的人花了三十二块五毛")
    '2024年3月5号下午3点半，12.5%的人花了32块5毛'
    >>> to_written_chinese("三三两两的人一心一意，十分感谢")
    '三三两两的人一心一意，十分感谢'
    """
    shadow = text.translate(_SHADOW)
    hidden = _IDIOMS.sub(lambda match: _HIDDEN * len(match[0]), shadow)
    is_taken = bytearray(len(text))
    edits: list[Edit] = []
    for pattern, rule in _RULES:
        for match in pattern.finditer(hidden):
            if not any(is_taken[match.start() : match.end()]) and (found := list(rule(match))):
                is_taken[match.start() : match.end()] = b"\1" * (match.end() - match.start())
                edits += found
    for start, end, new in sorted(edits, reverse=True):
        if any(char in "萬億" for char in text[start:end]):
            new = new.translate(_BACK)  # noqa: PLW2901 (in the script of the text)
        text = text[:start] + new + text[end:]
    return text


def read_cardinal(run: str) -> int | None:
    """The value of a cardinal as it is said; None for anything else.

    >>> [read_cardinal(n) for n in ("二十三", "两千零八", "一百二十三万四千五百六十七", "两万五")]
    [23, 2008, 1234567, 25000]
    >>> [read_cardinal(n) for n in ("五六百", "十七八", "万一", "二零")]
    [None, None, None, None]
    """
    if run in _VALUES:
        return _VALUES[run] or None
    for unit, factor in (("亿", 10**8), ("万", 10**4)):
        head, found, tail = run.rpartition(unit)
        if found:
            whole = read_cardinal(head)
            if tail in _VALUES and tail != "零":  # 两万五
                rest: int | None = _VALUES[tail] * factor // 10
            else:
                rest = read_cardinal(tail.removeprefix("零")) if tail else 0
            if not whole or rest is None or rest >= factor:
                return None
            return whole * factor + rest
    match = _GROUP.fullmatch(run)
    if not match or not run:
        return None
    thousands, hundreds, tens, ones, short = match.groups()
    if short:  # 三百五
        ones, place = None, (10 if hundreds else 100)
    else:
        place = 0
    ten = 0 if tens is None else 10 * _VALUES.get(tens[:-1], 1)
    total = 1000 * _VALUES.get(thousands or "零", 0) + 100 * _VALUES.get(hundreds or "零", 0)
    return total + ten + _VALUES.get(ones or "零", 0) + place * _VALUES.get(short or "零", 0)


_GROUP = re.compile(
    rf"(?:({_ONE})千(?:零(?=.))?)?(?:({_ONE})百(?:零(?=.))?)?(?:((?:[一二三四五六七八九])?十))?"
    rf"(?:(?<![百千])([一二三四五六七八九])|(?<=[百千])([一二三四五六七八九]))?"
)


def _is_short(run: str) -> bool:
    """Whether the last unit was left unsaid, as in 两万五 and 三百五."""
    return len(run) > 1 and run[-1] in _VALUES and run[-2] in "百千万亿"


def _figure(run: str) -> str | None:
    """A number of any size, with decimals or without, as it is written; None if it is none.

    >>> [_figure(n) for n in ("三", "十三亿", "一亿三千万", "三点一四", "零点五", "一百二十点五")]
    ['3', '13亿', '1亿3000万', '3.14', '0.5', '120.5']
    """
    whole, point, decimals = run.partition("点")
    value = 0 if whole == "零" else read_cardinal(whole)
    if value is None:
        return None
    if point:
        return f"{value}.{_spelled(decimals)}"
    if value % 10**4 or value < 10**4:
        return str(value)
    hundred_millions, ten_thousands = divmod(value // 10**4, 10**4)
    if ten_thousands == 0 and hundred_millions % 10**4 == 0:
        return f"{hundred_millions // 10**4}万亿"
    written = f"{hundred_millions}亿" if hundred_millions else ""
    return written + (f"{ten_thousands}万" if ten_thousands else "")


def _spelled(digits: str) -> str:
    return "".join(str(_VALUES[digit]) for digit in digits)


# --- rules: what each match puts where ----------------------------------------------------------


def _numbers(match: re.Match[str]) -> Iterator[Edit]:
    """Every group is a number."""
    for i in range(1, len(match.groups()) + 1):
        if match[i] and (figure := _figure(match[i])):
            yield match.start(i), match.end(i), figure


def _spelled_out(match: re.Match[str]) -> Iterator[Edit]:
    """The first group is digits, said one by one; the others are numbers."""
    yield match.start(1), match.end(1), _spelled(match[1])
    for i in range(2, len(match.groups()) + 1):
        if match[i] and (figure := _figure(match[i])):
            yield match.start(i), match.end(i), figure


def _percentage(match: re.Match[str]) -> Iterator[Edit]:
    sign = "%" if match[1] == "百" else "‰"
    if match[1] == match[2] == "百":
        yield match.start(), match.end(), "100%"
        return
    first, second = _figure(match[2]), _figure(match[4] or "")
    if first is None or (match[4] and second is None):
        return
    link = f"{match[3]}{second}{sign}" if match[4] else ""
    yield match.start(), match.end(), f"{first}{sign}{link}"


def _minutes(match: re.Match[str]) -> Iterator[Edit]:
    """Hour and minute; of 零五 the zero is kept."""
    hour, minute = _figure(match[1]), match[2]
    if hour is None:
        return
    written = _spelled(minute) if minute.startswith("零") else _figure(minute)
    yield match.start(1), match.end(1), hour
    yield match.start(2), match.end(2), written or minute


def _decimal(match: re.Match[str]) -> Iterator[Edit]:
    """Not of 有一点三心二意, which is a little."""
    before = match.string[: match.start()][-1:] or " "
    if match[0].startswith("一点") and before in "有差早晚快慢":
        return
    if figure := _figure(match[0]):
        yield match.start(), match.end(), figure


def _digits(match: re.Match[str]) -> Iterator[Edit]:
    """A number of a telephone or a room, but no counting and no pairs of like characters."""
    run = match[0]
    steps = {_VALUES[b] - _VALUES[a] for a, b in pairwise(run)}
    is_counting = steps in ({1}, {-1})
    is_paired = len(run) == 4 and run[0] == run[1] != run[2] == run[3]
    if not (is_counting or is_paired or run in _LISTS):
        yield match.start(), match.end(), _spelled(run)


def _year(match: re.Match[str]) -> Iterator[Edit]:
    """A year of two digits; 七八年 and 八九年 may be seven or eight years."""
    first, second = (_VALUES[digit] for digit in match[1])
    if second != first + 1:
        yield from _spelled_out(match)


def _cardinal(match: re.Match[str]) -> Iterator[Edit]:
    """Ten and more; smaller ones only before 到 and a larger one (三到十五)."""
    run, rest = match[0], match.string[match.end() :]
    value = read_cardinal(run)
    if value is None or value < 10 or run.startswith("一十"):
        return
    if run == "十" and not _MEASURE.match(rest):
        return
    if _is_short(run) and not _AFTER_SHORT.match(rest):
        return
    before = re.search(rf"(?<!{_N}){_ONE}(?=[到至]$)", match.string[: match.start()])
    if before and (small := _figure(before[0])):
        yield before.start(), before.end(), small
    yield match.start(), match.end(), _figure(run) or run


_FEW = "(?<![几数这那有第每哪])"  # before a point of an argument, and before an approximation
_RULES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Iterator[Edit]]], ...] = (
    (
        re.compile(rf"([百千])分之(百(?!{_N})|{_NUMBER})(?:([到至])(?:[百千]分之)?({_NUMBER}))?"),
        _percentage,
    ),
    # Dates: 一九九八年三月五号, 今年三月, 三月五号, 三月份; 九八年, 九零后.
    (re.compile(rf"{_BEGIN}([一二]{_D}{{3}})年(?:{_MONTH}月(?:{_DAY}(?=[日号]))?)?"), _spelled_out),
    (re.compile(rf"{_BEGIN}{_MONTH}月{_DAY}(?=[日号])"), _numbers),
    (re.compile(rf"(?:[去今明当同本零百千十]|{_ONE})年{_MONTH}(?=月)"), _numbers),
    (re.compile(rf"{_BEGIN}{_MONTH}(?=月(?:份|[初底末]|[上中下]旬))"), _numbers),
    (
        re.compile(
            rf"{_BEGIN}([零六七八九](?:零|[一二三四五六七八九]))(?=年(?![前后多来内里间级]|以))"
        ),
        _year,
    ),
    (re.compile(rf"{_BEGIN}([零五六七八九][零五])(?=后)"), _spelled_out),
    # Times: 三点半, 三点二十五分, 下午三点零五, 差五分十点, 九点到五点, 九时三十分.
    (re.compile(rf"差{_DAY}分{_HOUR}(?=点)"), _numbers),
    (
        re.compile(
            rf"{_BEGIN}{_FEW}{_HOUR}(?=点(?:半|钟|[一三]刻|整(?![理个体顿合治天齐形装改])))"
        ),
        _numbers,
    ),
    (re.compile(rf"{_BEGIN}{_HOUR}点[到至]{_PART_OF_DAY}?{_HOUR}(?=点)"), _numbers),
    (re.compile(rf"{_PART_OF_DAY}{_HOUR}[点时]({_MINUTE[1:-1]}|零{_ONE}){_END}"), _minutes),
    (
        re.compile(
            rf"{_BEGIN}{_FEW}{_HOUR}点({_MINUTE[1:-1]}|零{_ONE}(?=分)){_END}"
            r"(?![多几个米公%年岁天元块人只次号倍名位张本件家种条])"
        ),
        _minutes,
    ),
    (re.compile(rf"{_PART_OF_DAY}{_HOUR}(?=[点时](?![儿也都点不没些小{_DIGITS}间候]))"), _numbers),
    (re.compile(rf"{_BEGIN}{_HOUR}时({_MINUTE[1:-1]}|零{_ONE})(?=分)"), _minutes),
    # Money under ten, and all with change: 三块五, 五块钱, 五美元, 三十二块五毛.
    (re.compile(rf"{_ALONE}({_N}+)[块元]({_ONE})[毛角](?:({_ONE})(?=分))?"), _numbers),
    (re.compile(rf"{_ALONE}({_N}+)块([一二三四五六七八九])(?=$|[^\w]|钱|的|了|吧)"), _numbers),
    (re.compile(rf"{_ALONE}({_ONE})(?=块钱|毛钱|[美欧日港]元|英镑|元钱|人民币)"), _numbers),
    (re.compile(rf"{_ALONE}([二两三四五六七八九])(?=元(?![旦宵老帅首勋素组次化音]))"), _numbers),
    # Temperatures, scores, and names as 五G.
    (re.compile(rf"零[下上]({_NUMBER})(?=度|摄氏度)"), _numbers),
    (re.compile(rf"比分[是为]?({_INTEGER})比({_INTEGER})"), _numbers),
    (re.compile(rf"以({_INTEGER})比({_INTEGER})(?=[获战击取领落大小险惜告输赢逼力])"), _numbers),
    (re.compile(r"([二三四五六])(?=[GDK](?![A-Za-z]))"), _numbers),
    (
        re.compile(rf"{_BEGIN}{_N}+点(?!一[是个就来次直定样些般]){_D}+(?![十百千点{_DIGITS}])"),
        _decimal,
    ),
    (re.compile(rf"{_BEGIN}[{_DIGITS}幺]{{3,}}(?![幺两十百千万亿点])"), _digits),
    (re.compile(rf"(?<![几数])(?<!分之){_INTEGER}(?!几|分之)"), _cardinal),
)
