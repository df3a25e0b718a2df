"""Cut sections into passages to be found: whole sentences, of like length, with some overlap."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mooer.agent.knowledge.documents import Section
from mooer.text import is_cjk, join_text

# Behind a mark that ends a sentence: a Chinese one anywhere, a Western one before space.
_ENDS = re.compile(r"(?<=[。！？；!?;])(?![”’」』）)])|(?<=[.!?;:])\s+|(?<=[。！？][”’」』）])|\n+")
_LETTERS = 12  # of the longest words that are usual, with the space behind them
_WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")


@dataclass(frozen=True)
class CutOptions:
    """Lengths in words, or in characters of Chinese and Japanese."""

    max_words: int = 160  # of a passage: what an answer can be read from, well below 510 tokens
    overlap_words: int = 30  # of the end of one that begin the next


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that is found as a whole."""

    heading: str
    text: str


def cut(sections: Iterable[Section], options: CutOptions | None = None) -> Iterator[Passage]:
    """The passages of a document, in order."""
    options = options or CutOptions()
    for section in sections:
        for text in cut_text(section.text, options):
            yield Passage(section.heading, text)


def cut_text(text: str, options: CutOptions) -> Iterator[str]:
    """Runs of sentences of at most `max_words`; a sentence that is longer is cut itself."""
    held: list[str] = []
    num_new = 0
    for sentence in _sentences(text, options.max_words):
        if num_new and sum(map(_size, [*held, sentence])) > options.max_words:
            yield join_text(held)
            held, num_new = _tail(held, options.overlap_words), 0
            if sum(map(_size, [*held, sentence])) > options.max_words:
                held = []
        held.append(sentence)
        num_new += 1
    if num_new:
        yield join_text(held)


def num_words(text: str) -> int:
    """Words, each character of Chinese and Japanese being one.

    >>> num_words("用 mooer transcribe 写字幕。")
    6
    """
    num_han = sum(map(is_cjk, text))
    return num_han + sum(1 for word in _WORD.findall(text) if not is_cjk(word[0]))


def _size(text: str) -> int:
    """Words, or what takes as much room: a table has few words and many marks."""
    return max(num_words(text), -(-len(text) // _LETTERS))


def _sentences(text: str, max_words: int) -> Iterator[str]:
    for part in _ENDS.split(text):
        sentence = " ".join(part.split())
        if _size(sentence) <= max_words:
            if sentence:
                yield sentence
            continue
        yield from _pieces(sentence, max_words)


def _pieces(sentence: str, max_words: int) -> Iterator[str]:
    """A text without marks, at spaces or between Chinese characters; a word is cut last."""
    start = at = count = 0
    for match in re.finditer(r"\S", sentence):
        at = match.start()
        begins = is_cjk(sentence[at]) or at == 0 or not sentence[at - 1].strip()
        count += begins
        if (begins and count > max_words) or at - start >= _LETTERS * max_words:
            yield sentence[start:at].strip()
            start, count = at, 1
    yield sentence[start:].strip()


def _tail(sentences: list[str], max_words: int) -> list[str]:
    """The last sentences that have no more words together."""
    found: list[str] = []
    for sentence in reversed(sentences[1:]):
        max_words -= _size(sentence)
        if max_words < 0:
            break
        found.insert(0, sentence)
    return found
