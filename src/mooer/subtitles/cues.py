"""Segments to cues: cut, pair with the translation, place in time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mooer.subtitles.atoms import Atom, make_atoms, tag_atoms, with_tags
from mooer.subtitles.cuts import Part, make_parts
from mooer.subtitles.options import SubtitleOptions, clean, line_load, reading_s, segment_span
from mooer.subtitles.protocols import TimedText
from mooer.subtitles.tags import event_tags, label_tags, language_tag, speaker_mark

_FLOOR_MS = 100  # no cue is shorter, even where segments overlap


@dataclass(frozen=True, slots=True)
class Cue:
    """One picture of subtitles: times in milliseconds, lines from top to bottom."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def make_cues(segments: Iterable[TimedText], options: SubtitleOptions | None = None) -> list[Cue]:
    """Readable cues of `segments`: times grow, no two overlap, no text is lost.

    >>> from mooer.transcript import Segment
    >>> make_cues([Segment(0.5, 1.2, "Hi there.", "en", speaker="S1")])
    [Cue(start_ms=500, end_ms=1500, lines=('S1: Hi there.',))]
    """
    options = options or SubtitleOptions()
    segments = list(segments)
    is_mixed = len({s.language for s in segments if s.text}) > 1
    parts: list[Part] = []
    before = ""
    for segment in segments:
        changes = is_mixed and bool(segment.text) and segment.language != before
        before = segment.language if segment.text else before
        language = language_tag(segment, options) if changes else ""
        parts.extend(_segment_parts(segment, options, language))
    parts.sort(key=lambda part: part.start_s)
    return _place(parts, options)


def _segment_parts(segment: TimedText, options: SubtitleOptions, language: str) -> list[Part]:
    span = segment_span(segment)
    original = clean(segment.text)
    translated = clean(segment.translation or "")
    if not original and not translated:
        return [part for tag in _events(segment, options) for part in make_parts([tag], options, 0)]
    below = make_atoms(translated, span, None, options)
    if options.translation:
        return make_parts(_tagged(below, segment, options, language), options, 0)
    atoms = _tagged(make_atoms(original, span, segment.words, options), segment, options, language)
    if not (options.bilingual and translated):
        return make_parts(atoms, options, 0)
    if not atoms:
        return make_parts(_tagged(below, segment, options, language), options, 0)
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


def _tagged(
    atoms: list[Atom], segment: TimedText, options: SubtitleOptions, language: str
) -> list[Atom]:
    """Atoms with the tags of their segment, and the name of the speaker tied to the first."""
    if not atoms:
        return []
    start_s = atoms[0].start_s
    labels = label_tags(segment, options)
    head = [language, *(labels if options.tags == "words" else ())]
    tail = labels if options.tags == "emoji" else []
    tags = [a for tag in filter(None, head) for a in tag_atoms(tag, options, start_s, start_s)]
    tags += _events(segment, options)
    tags += [a for tag in tail for a in tag_atoms(tag, options, math.inf, math.inf)]
    mixed = with_tags(atoms, tags)
    mark = speaker_mark(segment, options)
    if not mark:
        return mixed
    tied = f"{mark} {mixed[0].text}"
    if line_load(tied, options) <= 1:
        return [replace(mixed[0], text=tied), *mixed[1:]]
    return [*tag_atoms(mark, options, start_s, start_s), replace(mixed[0], spaced=True), *mixed[1:]]


def _events(segment: TimedText, options: SubtitleOptions) -> list[Atom]:
    """Tags of its events at their times; a time that makes no sense is that of the segment."""
    start_s, end_s = segment_span(segment)
    found: list[Atom] = []
    for event, tag in event_tags(segment, options, timed=False):
        begins_s = event.start_s if math.isfinite(event.start_s) else start_s
        ends_s = event.end_s if math.isfinite(event.end_s) else end_s
        found += tag_atoms(tag, options, max(0.0, begins_s), max(0.0, begins_s, ends_s))
    return found


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
