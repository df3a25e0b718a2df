"""Text to atoms: the least pieces that a cut may separate, each with its times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mooer.subtitles.options import (
    SubtitleOptions,
    TimedWord,
    clean,
    count_chars,
    line_load,
    reading_s,
)
from mooer.text import split_words

_OPENING = frozenset("([{“‘「『（《〈【〔«¿¡")
_NO_START = frozenset("ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ々〻")  # kinsoku


@dataclass(frozen=True, slots=True)
class Atom:
    """The least piece that a cut may separate: a word, or a CJK character with its marks."""

    text: str
    start_s: float
    end_s: float
    spaced: bool  # a space stands before it


def make_atoms(
    text: str,
    span: tuple[float, float],
    words: Sequence[TimedWord] | None,
    options: SubtitleOptions,
) -> list[Atom]:
    """Cut `text` into atoms with times; an atom never exceeds a line."""
    pieces: list[tuple[str, bool]] = []
    for run in text.split():
        held = ""  # an opening quote waits for what it opens
        spaced = bool(pieces)
        for word in split_words(run):
            if word[-1] in _OPENING and len(word) > 1 and word[:-1].strip("".join(_OPENING)):
                pieces.extend(_fit(held + word[:-1], spaced, options))
                held, spaced = word[-1], False
            elif pieces and not held and word[0] in _NO_START and pieces[-1][0] and not spaced:
                before, was_spaced = pieces.pop()
                pieces.extend(_fit(before + word, was_spaced, options))
            elif all(c in _OPENING for c in word):
                held += word
            else:
                pieces.extend(_fit(held + word, spaced, options))
                held, spaced = "", False
        if held:
            pieces.extend(_fit(held, spaced, options))
    clock = _clock("".join(piece for piece, _ in pieces), span, words, options)
    atoms: list[Atom] = []
    position = 0
    for piece, spaced in pieces:
        end = position + len(piece)
        atoms.append(Atom(piece, clock(position, False), clock(end, True), spaced))
        position = end
    return atoms


def _fit(piece: str, spaced: bool, options: SubtitleOptions) -> list[tuple[str, bool]]:
    """Cut a word that is longer than a line; no rule of any script covers a 60-letter word."""
    parts: list[tuple[str, bool]] = []
    current = ""
    for char in piece:
        # Marks of zero width never start a piece: they belong to the letter before them.
        if current and line_load(current + char, options) > 1 and sum(count_chars(char)):
            parts.append((current, spaced))
            current, spaced = "", False
        current += char
    return [*parts, (current, spaced)] if current else parts


def _clock(
    letters: str,
    span: tuple[float, float],
    words: Sequence[TimedWord] | None,
    options: SubtitleOptions,
) -> Callable[[int, bool], float]:
    """Time of a position among the letters (spaces not counted): of an end, or of a start."""
    timed = [("".join(clean(w.text).split()), w.start_s, w.end_s) for w in words or ()]
    timed = [row for row in timed if row[0]]
    if sum(len(row[0]) for row in timed) != len(letters) or not letters:
        # No word times, or they belong to another wording: time flows with the reading.
        loads = [0.0]
        for char in letters:
            loads.append(loads[-1] + max(reading_s(char, options), 1e-3))
        scale = (span[1] - span[0]) / loads[-1] if letters else 0.0
        return lambda position, is_end: span[0] + loads[position] * scale
    starts = [0.0] * (len(letters) + 1)
    ends = [0.0] * (len(letters) + 1)
    position, latest = 0, span[0]
    for text, said_s, done_s in timed:
        start_s = max(said_s, latest) if math.isfinite(said_s) else latest
        end_s = max(done_s, start_s) if math.isfinite(done_s) else start_s
        for i in range(len(text)):
            starts[position + i] = start_s + (end_s - start_s) * i / len(text)
            ends[position + i + 1] = start_s + (end_s - start_s) * (i + 1) / len(text)
        position, latest = position + len(text), end_s
    return lambda position, is_end: ends[position] if is_end else starts[position]
