"""Subtitles: cues that can be read, from segments of any length, as SubRip or WebVTT.

A cue holds at most two lines of 42 Latin columns or 16 CJK characters, stays between one and
seven seconds where the neighbours leave room, and long enough to be read (17 Latin or 9 CJK
characters a second). Long segments are cut where a reader expects it: after a sentence, after a
clause, at a pause, at last between words. Times come from the words where they are known,
else in proportion to the length of the text. Who speaks stands before the words; what is heard
beside them is written as tags or as emoji, if it is asked for (`SubtitleOptions.tags`).
"""

from mooer.subtitles.cues import Cue, make_cues
from mooer.subtitles.formats import timestamp, to_srt, to_tsv, to_txt, to_vtt
from mooer.subtitles.options import TAGS, SubtitleOptions, line_load
from mooer.subtitles.protocols import TimedSound, TimedText, TimedWord

__all__ = [
    "TAGS",
    "Cue",
    "SubtitleOptions",
    "TimedSound",
    "TimedText",
    "TimedWord",
    "line_load",
    "make_cues",
    "timestamp",
    "to_srt",
    "to_tsv",
    "to_txt",
    "to_vtt",
]
