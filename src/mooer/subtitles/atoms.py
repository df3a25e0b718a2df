"""Text to atoms: the least pieces that a cut may separate, each with its times."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from mooer.subtitles.options import SubtitleOptions, clean, count_chars, line_load, reading_s
from mooer.subtitles.protocols import TimedWord
from mooer.text import split_words

_OPENING = frozenset("([{“‘「『（《〈【〔«¿¡")
_PAUSE_S = 0.3  # a silence that a tag may stand in
_MIN_ALIKE = (
    0.5  # share of letters that words and text have in common; with less, words tell no time
)
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


def tag_atoms(tag: str, options: SubtitleOptions, start_s: float, end_s: float) -> list[Atom]:
    """A tag as an atom; as more than one only where it exceeds a line."""
    if line_load(tag, options) <= 1:
        return [Atom(tag, start_s, end_s, True)]
    words = tag.split()
    return [Atom(p, start_s, end_s, s) for word in words for p, s in _fit(word, True, options)]


def with_tags(atoms: Sequence[Atom], tags: Iterable[Atom]) -> list[Atom]:
    """Atoms of a text with tags among them, at the first mark or pause from their time on."""
    waiting = deque(sorted(tags, key=lambda tag: tag.start_s))
    mixed: list[Atom] = []
    for i, atom in enumerate(atoms):
        parted = i == 0 or not atoms[i - 1].text[-1].isalnum()
        parted = parted or atom.start_s - atoms[i - 1].end_s >= _PAUSE_S
        follows = False
        while parted and waiting and waiting[0].start_s <= atom.start_s:
            mixed.append(replace(waiting.popleft(), start_s=atom.start_s, end_s=atom.start_s))
            follows = True
        mixed.append(replace(atom, spaced=True) if follows else atom)
    last_s = atoms[-1].end_s
    return [*mixed, *(replace(tag, start_s=last_s, end_s=last_s) for tag in waiting)]


def _clock(
    letters: str,
    span: tuple[float, float],
    words: Sequence[TimedWord] | None,
    options: SubtitleOptions,
) -> Callable[[int, bool], float]:
    """Time of a position among the letters (spaces not counted): of an end, or of a start."""
    times = _letter_times(letters, span, words or ()) if letters else []
    if times:
        return lambda position, is_end: times[position - 1][1] if is_end else times[position][0]
    # No word times, or they belong to another wording: time flows with the reading.
    loads = [0.0]
    for char in letters:
        loads.append(loads[-1] + max(reading_s(char, options), 1e-3))
    scale = (span[1] - span[0]) / loads[-1] if letters else 0.0
    return lambda position, is_end: span[0] + loads[position] * scale


def _letter_times(
    letters: str, span: tuple[float, float], words: Sequence[TimedWord]
) -> list[tuple[float, float]]:
    """Start and end of each letter by the words; none if these are mostly other letters."""
    spoken, times, latest = "", [], span[0]
    for word in words:
        text = "".join(clean(word.text).split())
        start_s = max(word.start_s, latest) if math.isfinite(word.start_s) else latest
        end_s = max(word.end_s, start_s) if math.isfinite(word.end_s) else start_s
        spoken, latest = spoken + text, end_s if text else latest
        times += _divided(start_s, end_s, len(text))
    if len(spoken) == len(letters):
        return times
    matcher = SequenceMatcher(None, spoken, letters, autojunk=False)
    if matcher.ratio() < _MIN_ALIKE:
        return []
    # Numbers that were written otherwise than they are said, and marks that no word has.
    found: list[tuple[float, float]] = []
    for _, i, j, first, last in matcher.get_opcodes():
        if j - i == last - first:
            found += times[i:j]
        elif i < j:
            found += _divided(times[i][0], times[j - 1][1], last - first)
        else:
            seam_s = times[i - 1][1] if i else times[0][0]
            found += [(seam_s, seam_s)] * (last - first)
    return found


def _divided(start_s: float, end_s: float, num: int) -> list[tuple[float, float]]:
    step_s = (end_s - start_s) / max(1, num)
    return [(start_s + i * step_s, start_s + (i + 1) * step_s) for i in range(num)]
