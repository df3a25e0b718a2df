"""Long recordings: spans of speech into chunks, chunks into batches, words into segments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mooer.audio.vad import Span
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.whisper import TimedWord

MAX_WINDOW_SPREAD_S = 4.0  # chunks whose windows differ by less are decoded together
MAX_SEGMENT_S = 12.0  # a longer sentence is divided at a comma or a pause
PAUSE_S = 0.45  # between two words: the end of a sentence where punctuation does not say so
MIN_SEGMENT_S = 0.8

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Chunk:
    """Speech for one decoding: spans without the silence between them."""

    samples: Samples
    spans: tuple[tuple[int, int], ...]  # start and number of samples of each, in the input
    speech_prob: float

    @property
    def duration_s(self) -> float:
        """Seconds of speech in it."""
        return len(self.samples) / SAMPLE_RATE_HZ

    @property
    def end_s(self) -> float:
        """Where in the input it ends."""
        start, length = self.spans[-1]
        return (start + length) / SAMPLE_RATE_HZ

    def input_time_s(self, time_s: float, *, ending: bool = False) -> float:
        """Time in the input of a time in the chunk; at a seam, an end is of the span before."""
        at = time_s * SAMPLE_RATE_HZ
        passed = 0
        for start, length in self.spans:
            if at < passed + length or (ending and at <= passed + length):
                return (start + max(0.0, at - passed)) / SAMPLE_RATE_HZ
            passed += length
        return self.end_s

    def cut(self, start_s: float, end_s: float) -> Chunk:
        """What of it lies between two times of the input; all of it, if nothing does."""
        start, end = round(start_s * SAMPLE_RATE_HZ), round(end_s * SAMPLE_RATE_HZ)
        parts: list[Samples] = []
        spans: list[tuple[int, int]] = []
        passed = 0
        for first, length in self.spans:
            low, high = max(start, first), min(end, first + length)
            if low < high:
                parts.append(self.samples[passed + low - first : passed + high - first])
                spans.append((low, high - low))
            passed += length
        if not parts:
            return self
        return Chunk(np.concatenate(parts), tuple(spans), self.speech_prob)


def pack(spans: Iterable[Span], max_s: float) -> Iterator[Chunk]:
    """Chunks of at most `max_s` (unless one span alone is longer), in order."""
    held: list[Span] = []
    num_samples = 0
    for span in spans:
        if held and num_samples + len(span.samples) > max_s * SAMPLE_RATE_HZ:
            yield _chunk(held)
            held, num_samples = [], 0
        held.append(span)
        num_samples += len(span.samples)
    if held:
        yield _chunk(held)


def _chunk(spans: Sequence[Span]) -> Chunk:
    lengths = [len(span.samples) for span in spans]
    return Chunk(
        np.concatenate([span.samples for span in spans]),
        tuple((span.start_sample, len(span.samples)) for span in spans),
        float(np.average([span.speech_prob for span in spans], weights=lengths)),
    )


def batches(chunks: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Lists of chunks: 1, 2, 4 … up to `size`, so that the first words come soon."""
    held: list[Chunk] = []
    wanted = 1
    for chunk in chunks:
        held.append(chunk)
        if len(held) >= wanted:
            yield held
            held, wanted = [], min(size, wanted * 2)
    if held:
        yield held


def groups(windows: Sequence[float]) -> Iterator[tuple[float, list[int]]]:
    """From the windows of chunks, in seconds: which are decoded together, in which window."""
    order = sorted(range(len(windows)), key=lambda i: -windows[i])
    while order:
        longest = windows[order[0]]
        together = [i for i in order if longest - windows[i] < MAX_WINDOW_SPREAD_S]
        yield longest, together
        order = order[len(together) :]


_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’」』）)]*$")
_CLAUSE_END = re.compile(r"[,;:，；：、—][\"'”’」』）)]*$")
_IN_NUMBER = re.compile(r"\d[.,:]\d")  # a mark with no space behind it
_ABBREVIATION = re.compile(r"(?:^|\s)(?:(?:mr|mrs|ms|dr|st|vs|etc|no)|[a-z])\.$", re.IGNORECASE)


def sentences(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    """Words as sentences: at punctuation, at a pause, or where one would be too long."""
    held: list[TimedWord] = []
    for i, word in enumerate(words):
        held.append(word)
        if i + 1 == len(words):
            break
        if _IN_NUMBER.fullmatch(word.text[-2:] + words[i + 1].text[:1]):
            continue
        text = word.text.rstrip()
        pause_s = words[i + 1].start_s - word.end_s
        length_s = word.end_s - held[0].start_s
        ends = bool(_SENTENCE_END.search(text)) and not _ABBREVIATION.search(word.text)
        clause = bool(_CLAUSE_END.search(text))
        if (
            (ends and length_s >= MIN_SEGMENT_S)
            or (pause_s >= PAUSE_S and length_s >= MIN_SEGMENT_S)
            or (length_s >= MAX_SEGMENT_S / 2 and (clause or pause_s >= PAUSE_S / 2))
            or length_s >= MAX_SEGMENT_S
        ):
            yield held
            held = []
    if held:
        yield held
