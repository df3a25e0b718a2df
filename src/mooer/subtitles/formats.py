"""Cues and segments as the text of a file: SubRip, WebVTT, tab-separated, plain."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mooer.subtitles.cues import Cue
from mooer.subtitles.options import SubtitleOptions, clean, segment_span
from mooer.subtitles.protocols import TimedText
from mooer.subtitles.tags import event_names, tagged_line


def timestamp(ms: int, mark: str = ",") -> str:
    """`HH:MM:SS,mmm`; hours take as many digits as they need.

    >>> timestamp(3_723_004), timestamp(360_000_000, ".")
    ('01:02:03,004', '100:00:00.000')
    """
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{ms:03d}"


def to_srt(cues: Iterable[Cue]) -> str:
    """SubRip. An arrow in the text would read as a line of times, so it becomes `→`."""
    return "".join(
        f"{i}\n{timestamp(c.start_ms)} --> {timestamp(c.end_ms)}\n"
        + "".join(f"{line.replace('-->', '→')}\n" for line in c.lines)
        + "\n"
        for i, c in enumerate(cues, 1)
    )


def to_vtt(cues: Iterable[Cue]) -> str:
    """WebVTT, with `&`, `<` and `>` escaped (which also disarms an arrow in the text)."""
    return "WEBVTT\n\n" + "".join(
        f"{timestamp(c.start_ms, '.')} --> {timestamp(c.end_ms, '.')}\n"
        + "".join(f"{_escape(line)}\n" for line in c.lines)
        + "\n"
        for c in cues
    )


def _escape(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def to_tsv(segments: Iterable[TimedText], options: SubtitleOptions | None = None) -> str:
    """One row a segment: start and end in milliseconds, text, and the translation if bilingual.

    A column `speaker` is there if one is known and wanted; with tags, columns of what they tell,
    and rows of what is heard where nobody speaks.
    """
    options = options or SubtitleOptions()
    segments = [s for s in segments if s.text or s.translation or options.tags != "none"]
    columns: dict[str, Callable[[TimedText], str]] = {
        "start_ms": lambda s: str(round(segment_span(s)[0] * 1000)),
        "end_ms": lambda s: str(round(segment_span(s)[1] * 1000)),
        "text": lambda s: s.translation or "" if options.translation else s.text,
    }
    if options.bilingual:
        columns["translation"] = lambda s: s.translation or ""
    if options.speakers and any(s.speaker for s in segments):
        columns["speaker"] = lambda s: s.speaker or ""
    if options.tags != "none":
        columns["language"] = lambda s: s.language
        columns["emotion"] = lambda s: s.emotion.name if s.emotion else ""
        columns["events"] = event_names
        if any(s.gender for s in segments):
            columns["gender"] = lambda s: s.gender.name if s.gender else ""
        if any(s.age for s in segments):
            columns["age"] = lambda s: s.age.name if s.age else ""
    rows = [list(columns), *([clean(cell(s)) for cell in columns.values()] for s in segments)]
    return "".join("\t".join(row) + "\n" for row in rows)


def to_txt(segments: Iterable[TimedText], options: SubtitleOptions | None = None) -> str:
    """One line a segment, with its tags; bilingual: the translation in the line below."""
    options = options or SubtitleOptions()
    lines: list[str] = []
    for s in segments:
        text, translation = clean(s.text), clean(s.translation or "")
        lines.append(tagged_line(translation if options.translation else text, s, options))
        if options.bilingual:
            lines.append(translation)
    return "".join(f"{line}\n" for line in lines if line)
