"""What follows from the script alone: width, joining, splitting, Simplified and Traditional."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

# Scripts written without spaces between words. Hangul is absent: Korean puts spaces.
_HAN = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
_KANA = "\u3041-\u309f\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_BOPOMOFO = "\u3100-\u312f\u31a0-\u31bf"
_SOUTH_EAST = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u0f00-\u0fff"  # Thai Lao Burmese Khmer Tibetan
)
_CJK_MARKS = (
    "\u3000-\u3004\u3008-\u3020\u302a-\u303f\ufe10-\ufe1f\ufe30-\ufe4f"
    "\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)

CJK = f"{_HAN}{_KANA}{_BOPOMOFO}"  # between the brackets of a regular expression
_CJK = re.compile(f"[{CJK}]")
_CJK_MARK = re.compile(f"[{_CJK_MARKS}]")
_UNSPACED = re.compile(f"[{_HAN}{_KANA}{_BOPOMOFO}{_SOUTH_EAST}]")
# A piece that opens like this ends a sentence begun in the piece before it: no space between.
_CLOSING = re.compile(r"[,.!?;:%)\]}]+(?:\s|$)")
_SPACED_LANGUAGES = frozenset({"ko", "vi"})  # a Han character in them stands inside a word


def is_cjk(char: str) -> bool:
    """Whether a character is Han, kana or bopomofo: written without spaces around it.

    >>> [is_cjk(c) for c in "中かA한，"]
    [True, True, False, False, False]
    """
    return _CJK.match(char) is not None


def is_wide(char: str) -> bool:
    """Whether a character takes two columns on a screen (East Asian Width W or F)."""
    return unicodedata.east_asian_width(char) in "WF"


def display_width(text: str) -> int:
    """Columns that `text` takes: 2 for a wide character, 0 for a combining one, 1 otherwise.

    >>> display_width("中文ab"), display_width("e\u0301")
    (6, 1)
    """
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if is_wide(c) else 1 for c in text
    )


def join_text(pieces: Iterable[str]) -> str:
    """Join the texts of segments, with a space only where the scripts want one.

    None between two CJK characters, beside full-width punctuation, or before closing
    punctuation; one everywhere else, also between Chinese and Latin letters.

    >>> join_text(["你好，", "世界", "hello", "world", "."])
    '你好，世界 hello world.'
    """
    joined: list[str] = []
    last = ""
    for piece in pieces:
        text = piece.strip()
        if not text:
            continue
        if last and not _glued(last, text):
            joined.append(" ")
        joined.append(text)
        last = text[-1]
    return "".join(joined)


def _glued(last: str, text: str) -> bool:
    first = text[0]
    if _CJK_MARK.match(last) or _CJK_MARK.match(first):
        return True
    return bool(is_cjk(last) and is_cjk(first)) or _CLOSING.match(text) is not None


def split_words(text: str, language: str | None = None) -> list[str]:
    """Words of `text`; every character that is not a space is in exactly one of them.

    A script without spaces gives one word a character (combining marks stay with theirs),
    anything else is split at spaces. Punctuation stays with the word before it, so normalise
    first to be rid of it. `language` matters only where one script is written both ways:
    a Han character in Korean or Vietnamese does not break its word.

    >>> split_words("我用Python写代码。", "zh")
    ['我', '用', 'Python', '写', '代', '码。']
    >>> split_words("Hello, world!", "en")
    ['Hello,', 'world!']
    """
    words: list[str] = []
    for run in text.split():
        if language in _SPACED_LANGUAGES or not _UNSPACED.search(run):
            words.append(run)
        else:
            words.extend(_split_unspaced(run))
    return words


def _split_unspaced(run: str) -> list[str]:
    words: list[str] = []
    breaks = True  # whether a letter may not join the word before it
    for char in run:
        category = unicodedata.category(char)
        unspaced = _UNSPACED.match(char) is not None
        if words and category[0] in "MPSC":  # marks and punctuation lean on what stands before
            words[-1] += char
            breaks = breaks or char not in "'’-.,"  # 3.5 and don't are one word
        elif not words or unspaced or breaks:
            words.append(char)
            breaks = unspaced
        else:
            words[-1] += char
    return words


@lru_cache(maxsize=8)
def _converter(scheme: str) -> Any:
    import opencc  # late: it loads dictionaries, and most commands never need it

    return opencc.OpenCC(scheme)


def to_simplified(text: str) -> str:
    """Traditional to Simplified Chinese, character by character in context (OpenCC t2s).

    >>> to_simplified("漢語")
    '汉语'
    """
    return str(_converter("t2s").convert(text)) if _CJK.search(text) else text


def to_traditional(text: str) -> str:
    """Simplified to Traditional Chinese (OpenCC s2t).

    >>> to_traditional("汉语")
    '漢語'
    """
    return str(_converter("s2t").convert(text)) if _CJK.search(text) else text


_MARKS = str.maketrans(",.?!:;", "，。？！：；")
_ASCII_MARK = re.compile(r"(?<=[\u3400-\u9fff”’」』》）])(?:[,?!:;]|\.(?![0-9A-Za-z.]))")


def to_chinese_marks(text: str) -> str:
    """ASCII punctuation after a Chinese character as Chinese writes it; the length stays.

    >>> to_chinese_marks("你好,今天3.5度.明天呢?")
    '你好，今天3.5度。明天呢？'
    """
    return _ASCII_MARK.sub(lambda mark: mark[0].translate(_MARKS), text)
