"""Words of known segments timed by Whisper's attention, which is finer than CTC.

CTC finds where in hours of sound a line is said, and whether it is said at all. Within a line,
Whisper, made to read the text out, looks at each word where it is heard (docs/align.md has both
errors).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.edges import attended_times, loudness
from mooer.engines.device import AUTO
from mooer.engines.whisper import MARGIN_S as WINDOW_MARGIN_S
from mooer.engines.whisper import MAX_WINDOW_S, TimedWord, Whisper
from mooer.store import fetch
from mooer.transcript import Segment, Word

READER = "whisper-base"
MARGIN_S = 0.3  # of sound before and after a segment
MAX_TOKENS = 200  # of a segment; the decoder holds 448

Samples = NDArray[np.float32]


class Reader(Protocol):
    """`mooer.engines.whisper.Whisper`, as far as it is needed here."""

    def knows(self, language: str) -> bool: ...  # noqa: D102 (as the engine says)
    def tokens(self, text: str) -> tuple[int, ...]: ...  # noqa: D102
    def encode(self, samples: Samples, window_s: float | None = None) -> Any: ...  # noqa: D102
    def align(  # noqa: D102
        self, chunk: Any, tokens: Sequence[int], language: str
    ) -> list[TimedWord]: ...


class Passing(Protocol):
    """Sound that is asked for in order of time."""

    def between(self, start_s: float, end_s: float) -> Samples:
        """What lies between two times; less, if the sound ends before."""
        ...


def load_reader(
    *, device: str = AUTO, num_threads: int | None = None, offline: bool | None = None
) -> Whisper:
    """The Whisper that times words. StoreError if its weights cannot be had."""
    return Whisper(fetch(READER, offline=offline), device=device, num_threads=num_threads or 0)


def words_heard(
    reader: Reader, encoded: Any, samples: Samples, tokens: Sequence[int], language: str
) -> list[TimedWord]:
    """The words of a text in the samples [T] that were encoded, in seconds from their beginning."""
    words = reader.align(encoded, tokens, language)
    spans = attended_times([(word.start_s, word.end_s) for word in words], loudness(samples))
    return [
        replace(word, start_s=start_s, end_s=end_s)
        for word, (start_s, end_s) in zip(words, spans, strict=True)
    ]


def attended(sound: Passing, segments: Iterable[Segment], reader: Reader) -> list[Segment]:
    """Segments, in order of time, with finer times of their words.

    What has no words, is too long to be read at once, or is of a language that the reader does not
    know, stays as it is.
    """
    found: list[Segment] = []
    last_s = 0.0
    for segment in segments:
        start_s = max(last_s, segment.start_s - MARGIN_S)
        samples = sound.between(start_s, segment.end_s + MARGIN_S)
        words = _words(segment, samples, start_s, reader)
        if words is not None:
            end_s = max(word.end_s for word in words)
            segment = replace(segment, words=words, start_s=words[0].start_s, end_s=end_s)  # noqa: PLW2901
        found.append(segment)
        last_s = max(last_s, start_s)
    return found


def _words(
    segment: Segment, samples: Samples, start_s: float, reader: Reader
) -> tuple[Word, ...] | None:
    """The words of a segment with their times in the input; None where they cannot be told."""
    words = segment.words
    if not words or not reader.knows(segment.language):
        return None
    tokens = reader.tokens(" " + segment.text)
    longest_s = MAX_WINDOW_S - WINDOW_MARGIN_S
    if len(tokens) > MAX_TOKENS or not 0 < len(samples) <= longest_s * SAMPLE_RATE_HZ:
        return None
    read = words_heard(reader, reader.encode(samples), samples, tokens, segment.language)
    edges = _of_letters([(_letters(one.text), one.start_s, one.end_s) for one in read])
    if len(edges) != sum(len(_letters(word.text)) for word in words):
        return None  # the tokenizer wrote it another way
    timed: list[Word] = []
    first, last_s = 0, start_s
    for word in words:
        inside = edges[first : first + len(_letters(word.text))]
        first += len(inside)
        begin_s = start_s + inside[0][0] if inside else last_s
        last_s = start_s + inside[-1][1] if inside else last_s
        timed.append(replace(word, start_s=round(begin_s, 3), end_s=round(last_s, 3)))
    return tuple(timed)


def _letters(text: str) -> str:
    return "".join(text.split())


def _of_letters(words: Sequence[tuple[str, float, float]]) -> list[tuple[float, float]]:
    """Start and end of every letter, those of a word being equally long.

    >>> _of_letters([("ab", 0.0, 1.0), ("c", 1.0, 1.5)])
    [(0.0, 0.5), (0.5, 1.0), (1.0, 1.5)]
    """
    return [
        (start + (end - start) * i / len(text), start + (end - start) * (i + 1) / len(text))
        for text, start, end in words
        for i in range(len(text))
    ]
