"""Segments as they are written: marks where the recogniser gave none, and numbers in digits."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from mooer.infer.guarded import RecognizeOptions
from mooer.text import to_chinese_marks, to_simplified, to_traditional, to_written
from mooer.text.punctuation import capitalised, has_marks, marks_by_pauses
from mooer.transcript import Segment


class Writer:
    """Writes the segments of one recording, in order; their words stay as they were said.

    Marks are set only as long as the recogniser has written none: one that knows them leaves them
    out in the middle of a sentence.
    """

    def __init__(self, options: RecognizeOptions) -> None:
        self._options = options
        self._is_marked = False

    def write(self, segment: Segment) -> Segment:
        """The segment with what of this is asked for."""
        self._is_marked = self._is_marked or has_marks(segment.text)
        if self._options.punctuate and segment.text and not self._is_marked:
            segment = punctuated(segment)
        if self._options.itn and segment.text:
            segment = replace(segment, text=to_written(segment.text, segment.language))
        return segment


def in_script(text: str, language: str, script: str) -> str:
    """Chinese with its own marks, in the script hans or hant; any other text as it is."""
    if language not in ("zh", "yue"):
        return text
    text = to_chinese_marks(text)
    return to_simplified(text) if script == "hans" else to_traditional(text)


def punctuated(segment: Segment) -> Segment:
    """Marks by the pauses between its words, in the text and the words; without words, at the end.

    >>> punctuated(Segment(0, 1, "we are there", "en")).text
    'We are there.'
    """
    words = segment.words or ()
    between = _between(segment.text, [word.text for word in words]) if words else None
    if between is None:
        words, between, texts = (), [""], [segment.text]
    else:
        texts = [word.text for word in words]
    pauses_s = [b.start_s - a.end_s for a, b in pairwise(words)]
    marks = marks_by_pauses(texts, pauses_s, segment.language)
    capitals = capitalised(texts, marks, segment.language)
    marked = [text + mark for text, mark in zip(capitals, marks, strict=True)]
    whole = "".join(space + text for space, text in zip(between, marked, strict=True))
    if not words:
        return replace(segment, text=whole)
    timed = (replace(word, text=text) for word, text in zip(words, marked, strict=True))
    return replace(segment, text=whole, words=tuple(timed))


def _between(text: str, words: list[str]) -> list[str] | None:
    """What stands before each word in the text; None if the words are not those of the text."""
    found: list[str] = []
    place = 0
    for word in words:
        at = text.find(word, place)
        if at < 0 or text[place:at].strip():
            return None
        found.append(text[place:at])
        place = at + len(word)
    return None if text[place:].strip() else found
