"""Cues and segments as the text of a file: SubRip, WebVTT, tab-separated, plain."""

from __future__ import annotations

from collections.abc import Iterable

from mooer.subtitles.cues import Cue
from mooer.subtitles.options import SubtitleOptions, TimedText, clean, segment_span


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
    """One row a segment: start and end in milliseconds, text, and the translation if bilingual."""
    options = options or SubtitleOptions()
    rows = ["start_ms\tend_ms\ttext" + ("\ttranslation" if options.bilingual else "")]
    for s in segments:
        text = s.translation or "" if options.translation else s.text
        start_s, end_s = segment_span(s)
        row = f"{round(start_s * 1000)}\t{round(end_s * 1000)}\t{clean(text)}"
        rows.append(row + (f"\t{clean(s.translation or '')}" if options.bilingual else ""))
    return "\n".join(rows) + "\n"


def to_txt(segments: Iterable[TimedText], options: SubtitleOptions | None = None) -> str:
    """One line a segment; bilingual: the translation in the line below."""
    options = options or SubtitleOptions()
    lines: list[str] = []
    for s in segments:
        if not options.translation:
            lines.append(clean(s.text))
        if options.translation or options.bilingual:
            lines.append(clean(s.translation or ""))
    return "".join(f"{line}\n" for line in lines if line)
