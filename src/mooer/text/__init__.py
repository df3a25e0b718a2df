"""Text as the house sees it: scripts, languages, joining, splitting and normalising."""

from mooer.text.languages import LANGUAGES, find_language, language_name
from mooer.text.normalizer import (
    CHARACTER_LANGUAGES,
    Normalizer,
    character_tokens,
    mixed_tokens,
    normalizer_for,
    word_tokens,
)
from mooer.text.scripts import (
    CJK,
    display_width,
    is_cjk,
    is_wide,
    join_text,
    split_words,
    to_chinese_marks,
    to_simplified,
    to_traditional,
)
from mooer.text.written import to_written

__all__ = [
    "CHARACTER_LANGUAGES",
    "CJK",
    "LANGUAGES",
    "Normalizer",
    "character_tokens",
    "display_width",
    "find_language",
    "is_cjk",
    "is_wide",
    "join_text",
    "language_name",
    "mixed_tokens",
    "normalizer_for",
    "split_words",
    "to_chinese_marks",
    "to_simplified",
    "to_traditional",
    "to_written",
    "word_tokens",
]
