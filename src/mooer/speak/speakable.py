"""What of a written text is said: marks of Markdown, emoji and code are not.

Positions in what is left point back to the text, so that times of words can be told of the text as
it was written.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

FENCE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LINE_SIGN = re.compile(r"(?m)^[ \t]*(?:#{1,6}|>|[-*+•](?: \[[ xX]\])?)[ \t]+")
# What is not said, whatever it means on a page. A clause may hold one half of a pair, so each half
# goes by itself.
_UNSAID = (
    FENCE,
    re.compile(r"</?[A-Za-z][^<>]*>"),  # tags
    re.compile(r"(?<=\])\([^()\s]*(?:\s\"[^\"]*\")?\)"),  # where a link leads
    re.compile(r"(?m)^[ \t|:]*-{3,}[-|: \t]*$|^[ \t]*[*_]{3,}[ \t]*$"),  # rules, heads of tables
    re.compile(r"\*{2,}|(?<![\d\s])\*|\*(?!\s?\d)|~~|`+|(?<!\w)_+|_+(?!\w)|!?\[|\]"),  # emphasis
)
_ADDRESS = re.compile(  # of which the host is said
    r"(?<![\w.])(?P<scheme>(?:https?|ftp)://(?:www\.)?)?(?:[A-Za-z0-9][\w-]*\.)+[a-z]{2,}"
    r"(?::\d+)?(?P<path>[/?#](?:[!-~]*[\w/=&#])?)?"
)
_LINE = re.compile(r"[ \t]*\n\s*")
_MARKED = re.compile(r"[^\w\s]\s*\Z")
_KEPT = frozenset("°℃℉№%‰")  # symbols that are read
_JOINERS = frozenset("\u200b\u200c\u200d\u2060\ufeff\ufe0e\ufe0f\u20e3")


@dataclass(frozen=True, slots=True)
class Speakable:
    """A text without what is not said; `places[i]` is where its i-th character was written."""

    text: str
    places: tuple[int, ...]


def speakable(written: str) -> Speakable:
    r"""What of a text is said, on one line: where a line without a mark ends stands a comma.

    >>> speakable("**Well** 😀, see [the page](https://a.org/b):\n- `x` and 5°C\n- y").text
    'Well , see the page: x and 5°C, y'
    """
    held = list(written)
    for pattern in _UNSAID:
        for match in pattern.finditer(written):
            _leave_out(held, *match.span())
    for match in _ADDRESS.finditer(written):
        for part in ("scheme", "path"):
            if match[part]:
                _leave_out(held, *match.span(part))
    for match in _LINE_SIGN.finditer(written):
        _leave_out(held, *match.span())
        held[match.start()] = "\n"  # it begins a line of its own
    for i, char in enumerate(written):
        if held[i] and _is_picture(char):
            held[i] = ""
        elif held[i] == "|":
            held[i] = ","
    return _on_one_line(held)


def has_words(written: str) -> bool:
    """Whether there is anything to say.

    >>> has_words("**😀!**"), has_words("No.")
    (False, True)
    """
    return any(char.isalnum() for char in speakable(written).text)


def _leave_out(held: list[str], start: int, end: int) -> None:
    for i in range(start, end):
        if held[i] != "\n":
            held[i] = ""


def _on_one_line(held: list[str]) -> Speakable:
    kept = [(char, i) for i, char in enumerate(held) if char]
    line = "".join(char for char, _ in kept)
    spoken: list[tuple[str, int]] = []
    last = 0
    for match in _LINE.finditer(line):
        spoken += kept[last : match.start()]
        last = match.end()
        if not spoken or last == len(line):
            continue
        place = kept[match.start()][1]
        begins = match[0].count("\n") > 1 or not line[last].islower()
        if begins and not _MARKED.search("".join(char for char, _ in spoken[-3:])):
            spoken.append((",", place))
        spoken.append((" ", place))
    spoken += kept[last:]
    while spoken and spoken[-1][0].isspace():
        spoken.pop()
    while spoken and (spoken[0][0].isspace() or spoken[0][0] in ",，、;；:：.。"):
        spoken.pop(0)
    return Speakable("".join(c for c, _ in spoken), tuple(place for _, place in spoken))


def _is_picture(char: str) -> bool:
    if char < "\x80" or char in _KEPT:
        return False
    return char in _JOINERS or unicodedata.category(char) in ("So", "Sk", "Cs", "Co", "Cn")
