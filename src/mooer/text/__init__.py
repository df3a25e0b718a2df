"""Text as the house sees it: scripts, languages, joining, splitting and normalising."""

from mooer.text.languages import LANGUAGES, find_language, language_name
from mooer.text.scripts import (
    display_width,
    is_cjk,
    is_wide,
    join_text,
    split_words,
    to_simplified,
    to_traditional,
)

__all__ = [
    "LANGUAGES",
    "display_width",
    "find_language",
    "is_cjk",
    "is_wide",
    "join_text",
    "language_name",
    "split_words",
    "to_simplified",
    "to_traditional",
]
