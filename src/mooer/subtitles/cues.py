"""Segments to cues: cut, pair with the translation, place in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mooer.subtitles.atoms import make_atoms
from mooer.subtitles.cuts import Part, make_parts
from mooer.subtitles.options import SubtitleOptions, TimedText, clean, reading_s, segment_span

_FLOOR_MS = 100  # no cue is shorter, even where segments overlap


@dataclass(frozen=True, slots=True)
class Cue:
    """One picture of subtitles: times in milliseconds, lines from top to bottom."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def make_cues(segments: Iterable[TimedText], options: SubtitleOptions | None = None) -> list[Cue]:
    """Readable cues of `segments`: times grow, no two overlap, no text is lost.

    >>> from types import SimpleNamespace as S
    >>> make_cues([S(start_s=0.5, end_s=1.2, text="Hi there.", words=None, translation=None)])
    [Cue(start_ms=500, end_ms=1500, lines=('Hi there.',))]
    """
    options = options or SubtitleOptions()
    parts: list[Part] = []
    for segment in segments:
        parts.extend(_segment_parts(segment, options))
    parts.sort(key=lambda part: part.start_s)
    return _place(parts, options)


def _segment_parts(segment: TimedText, options: SubtitleOptions) -> list[Part]:
    span = segment_span(segment)
    original = clean(segment.text)
    translated = clean(segment.translation or "")
    if options.translation:
        return make_parts(make_atoms(translated, span, None, options), options, 0)
    atoms = make_atoms(original, span, segment.words, options)
    if not (options.bilingual and translated):
        return make_parts(atoms, options, 0)
    below = make_atoms(translated, span, None, options)
    if not atoms:
        return make_parts(below, options, 0)
    num = max(len(make_parts(atoms, options, 0)), len(make_parts(below, options, 0)))
    top, bottom = make_parts(atoms, options, num), make_parts(below, options, num)
    timed = top if len(top) >= len(bottom) else bottom
    blank = Part(0.0, 0.0, ())
    top += [blank] * (len(timed) - len(top))
    bottom += [blank] * (len(timed) - len(bottom))
    return [
        Part(t.start_s, t.end_s, a.lines + b.lines)
        for t, a, b in zip(timed, top, bottom, strict=True)
    ]


def _place(parts: Sequence[Part], options: SubtitleOptions) -> list[Cue]:
    """Whole milliseconds: starts in order, ends stretched into the gaps and cut at them."""
    gap_ms = round(options.min_gap_s * 1000)
    starts: list[int] = []
    for part in parts:
        earliest = starts[-1] + _FLOOR_MS + gap_ms if starts else 0
        starts.append(max(round(part.start_s * 1000), earliest))
    cues: list[Cue] = []
    for i, part in enumerate(parts):
        least_s = max(reading_s(" ".join(part.lines), options), options.min_duration_s)
        end = max(round(part.end_s * 1000), starts[i] + math.ceil(least_s * 1000))
        end = min(end, starts[i] + math.floor(options.max_duration_s * 1000))
        if i + 1 < len(parts):
            end = min(end, starts[i + 1] - gap_ms)
        cues.append(Cue(starts[i], max(end, starts[i] + _FLOOR_MS), part.lines))
    return cues
