"""Where a clause without a mark may be parted: between phrases, never inside a word or a name.

No parser, but lists of the small words that phrases begin with: before one of them a speaker may
breathe. Chinese, which has no spaces, is parted before such words alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mooer.text import CJK

_WORD = re.compile(rf"[^\s{CJK}]+")
# A phrase begins with one of these: a conjunction, a preposition, what follows a subject.
_BEGIN_WORDS = (
    "and or but so because since that which who whom whose where when while if unless until "
    "though although than as in on at for from with without by about into onto over under "
    "between through during after before to is are was were am will would can could should "
    "may might must has have had does did do isn't aren't wasn't can't cannot won't don't"
)
# What belongs to the word behind it.
_LEAD_WORDS = (
    "a an the my your his her its our their this these those very too some any no not every "
    "each of to in on at for from with by as and or but if is are was were be been i you he "
    "she it we they i'm it's he's she's you're we're they're here there what how mr mrs ms dr st mt"
)
_BEGINS, _LEADS = frozenset(_BEGIN_WORDS.split()), frozenset(_LEAD_WORDS.split())
# … and to the word before it.
_TRAILS = frozenset(("of", "ago", "too", "either", "please"))
_NEVER_LAST = _LEADS | _BEGINS
# What phrases begin with in Chinese, with what makes of such a character a part of another word.
_CHINESE = re.compile(
    "但是?|不过|因为|所以|如果|虽然|然后|而且|并且|以及|或者?|为了|通过|位于|属于|包括|可以|应该|"
    "需要|必须|非常|比较|特别|没有|正在|已经|一直|主要|可能|通常|一般|往往|大约|适合|提供|帮助|使用|进行|"
    "成为|作为|关于|对于|根据|由于|随着|除了|例如|比如|同时|然而|因此|另外|此外|其中|用于|用来|来自|具有|"
    "不能|不会|不是|就是|也是|都是|还是|而是|只是|总是|"
    "(?<![可于要])是|(?<![现存所实内潜外自好])在(?!于)|(?<![温平总共缓柔随])和(?![平谐睦解气尚蔼])|"
    "(?<!参)与|(?<!成)就(?![业职])|也(?!许)|(?<!归)还|很(?!多)|(?<!一)把(?![握手])|被(?!子)|"
    "(?<![自服])从(?![事来此])|让"
)
_CHINESE_LEADS = frozenset("的一两三几这那每第很不没最更再又我你他她它您们")


@dataclass(frozen=True, slots=True)
class Gap:
    """A place between two words."""

    at: int  # where the second one begins
    is_good: bool  # a phrase begins there


def gaps(text: str) -> Iterator[Gap]:
    """The places where a text may be parted, in their order; its last word must be whole.

    >>> text = "The old bridge is in New York now"
    >>> [text[gap.at :] for gap in gaps(text) if gap.is_good]
    ['is in New York now']
    >>> ["北京是中国的首都"[gap.at :] for gap in gaps("北京是中国的首都")]
    ['是中国的首都']
    """
    found = [*_english(text), *_chinese(text)]
    return iter(sorted(found, key=lambda gap: gap.at))


def _english(text: str) -> Iterator[Gap]:
    before = None
    for word in _WORD.finditer(text):
        is_next = before is not None and text[before.end() : word.start()].isspace()
        if before is not None and is_next and _may_part(before[0], word[0]):
            yield Gap(word.start(), _bare(word[0]) in _BEGINS)
        before = word


def _may_part(before: str, word: str) -> bool:
    if _bare(before) in _NEVER_LAST or _bare(word) in _TRAILS:
        return False
    if not (before[-1].isalpha() and word[0].isalpha()):  # 20 km, No. 5, (so), x = y
        return False
    return not (before[0].isupper() and word[0].isupper())  # New York


def _bare(word: str) -> str:
    return word.lower().replace("’", "'")


def _chinese(text: str) -> Iterator[Gap]:
    for match in _CHINESE.finditer(text):
        before = text[match.start() - 1 : match.start()]
        if re.match(f"[{CJK}]", before) and before not in _CHINESE_LEADS:
            yield Gap(match.start(), True)
