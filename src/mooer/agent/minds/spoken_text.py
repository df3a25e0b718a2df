"""What a mind writes as what can be spoken: no Markdown, no emoji, no thoughts, and no loops.

A language model writes for readers, and a small one may say the same over and over: both are mended
while the text comes, before it reaches a speaker.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from mooer.agent.mind import ToolCall
from mooer.agent.minds.calls import overlap
from mooer.decoding.rules import without_loop
from mooer.errors import MooerError
from mooer.text import CJK

logger = logging.getLogger(__name__)

MAX_CHARS = 4000  # of an answer: nobody listens longer than some minutes
_THOUGHT = ("<think>", "</think>")
_LINK = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)")
_ADDRESS = re.compile(r"https?://\S+")
_LINE = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|[-*+•][ \t]+|>[ \t]*|\|?[ \t]*:?-{3,}.*$)")
_MARKS = re.compile(r"\*{1,3}|_{2,3}|~~|`{1,3}\w*(?=\n)|`+|(?<=\s)\|(?=\s)|^\||\|$")
_PICTURES = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2190-\u21ff\u2300-\u23ff\ufe0e\ufe0f\u200d"
    "\u20e3\U000e0000-\U000e007f\x00-\x08\x0b-\x1f\x7f\ufffd]+"
)
_TAGS = re.compile(r"<\|[^|>\n]{0,40}\|>|</?(?:tool_\w+|think|passage|tools)\b[^>\n]*>")
# Until one of these, what was written may still be part of a mark. No mark holds Chinese.
_SAFE_END = re.compile(rf"[\s，。！？；、,.!?;](?=[^\s*_`#\[\]()<>|~-])|[{CJK}]")
_HELD_CHARS = 200  # a link at most: then it is let go as it is


def spoken_text(pieces: Iterable[str | ToolCall]) -> Iterator[str | ToolCall]:
    """The same without marks that nobody says; calls pass. A text without any goes through whole.

    >>> "".join(spoken_text(["**Yes**: see [the ", "page](http://a.b/c). ", "😀 Fine."]))
    'Yes: see the page.  Fine.'
    """
    held = ""
    try:
        for piece in _without_thoughts(pieces):
            if isinstance(piece, ToolCall):
                yield from _cleaned(held)
                held = ""
                yield piece
                continue
            held += piece
            end = _safe_end(held)
            yield from _cleaned(held[:end])
            held = held[end:]
    except MooerError:  # what was written until it broke off is said
        yield from _cleaned(held)
        raise
    yield from _cleaned(held)


def without_loops(
    pieces: Iterable[str | ToolCall], *, max_chars: int = MAX_CHARS
) -> Generator[str | ToolCall, None, None]:
    """The same until it says one thing over and over, or does not end: there it is broken off.

    Closing it closes what it reads.
    """
    said = ""
    source = iter(pieces)
    with closing(source) if isinstance(source, Generator) else _Open():
        for piece in source:
            yield piece
            if isinstance(piece, ToolCall):
                continue
            said += piece
            if len(said) > max_chars:
                logger.warning("the answer is broken off: longer than %d characters", max_chars)
                return
            if loops(said):
                logger.warning("the answer is broken off: it repeats itself (%.60r)", said[-60:])
                return


def loops(said: str) -> bool:
    """Whether a text ends with the same over and over.

    >>> loops("I see. " * 3), loops("我不知道。" * 6)
    (False, True)
    """
    tail = said[-600:]
    return without_loop(tail) != tail or _same_sentences(tail)


class _Open:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *reason: object) -> None:
        return None


_SENTENCE = re.compile(r"[^。！？!?.\n]+[。！？!?.\n]+")


def _same_sentences(text: str) -> bool:
    sentences = [one.strip() for one in _SENTENCE.findall(text)]
    last = sentences[-3:]
    return len(last) == 3 and len(set(last)) == 1 and len(last[0]) >= 12


def _without_thoughts(pieces: Iterable[str | ToolCall]) -> Iterator[str | ToolCall]:
    """What a model thinks aloud before it answers is left out."""
    held, is_thought, is_first = "", False, True
    for piece in pieces:
        if isinstance(piece, ToolCall):
            yield piece
            continue
        held += piece.lstrip() if is_first and not held else piece
        while True:
            tag = _THOUGHT[is_thought]
            before, found, after = held.partition(tag)
            if not found:
                break
            if before and not is_thought:
                yield before
                is_first = False
            held, is_thought = after.lstrip(), not is_thought
        end = len(held) - overlap(held, tag)
        if end and not is_thought:
            yield held[:end]
            is_first = False
        held = held[end:]
    if held and not is_thought:
        yield held


def _safe_end(held: str) -> int:
    if len(held) > _HELD_CHARS:
        return len(held)
    ends = [match.end() for match in _SAFE_END.finditer(held)]
    for end in reversed(ends):
        part = held[:end]
        if part.count("[") <= part.count("]") and part.count("](") <= part.count(")"):
            return end
    return 0


def _cleaned(text: str) -> Iterator[str]:
    text = _TAGS.sub("", text)
    text = _ADDRESS.sub("", _LINK.sub(r"\1", text))
    text = _MARKS.sub("", _LINE.sub("", text))
    text = _PICTURES.sub("", text)
    if text:
        yield text
