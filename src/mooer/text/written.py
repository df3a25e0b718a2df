"""Text as it is spoken to text as it is written: inverse text normalisation by rules.

The rules are our own. The transducers of WeTextProcessing (the packages `wetext` and
`WeTextProcessing`) were tried first: they write 三三两两 as 3322, 十分感谢 as 10分感谢, 五点一刻 as
5.1刻, fifty fifty as 5050 and wait a second as wait a 2nd, and bring 46 MB of transducers and five
packages with them.
"""

from __future__ import annotations

from mooer.text.written_chinese import to_written_chinese
from mooer.text.written_english import to_written_english


def to_written(text: str, language: str) -> str:
    """`text` with its numbers, dates, times and amounts as they are written.

    Chinese (zh, yue) and English have rules; text in another language is returned as it is.

    >>> to_written("两千零八年八月八号晚上八点", "zh"), to_written("at eight p m", "en")
    ('2008年8月8号晚上8点', 'at 8 p.m.')
    """
    if language in ("zh", "yue"):
        return to_written_chinese(text)
    return to_written_english(text) if language == "en" else text
