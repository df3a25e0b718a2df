"""What is heard besides words, put into segments: emotion, events, gender, age, sure of language.

    rich = load_rich()
    with open_wave(path) as wave:
        segments = list(enrich(transcript.segments, wave.blocks(), rich))

The input is read once more, and no more of it is in memory than its longest segment. Where nobody
speaks for a second or more, what else is heard comes as a segment without text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.engines.rich import MAX_S, Labels, Rich
from mooer.store import located
from mooer.transcript import Event, Label, Segment

Samples = NDArray[np.float32]

MIN_S = 0.3  # of speech that labels can be told from
MIN_LANGUAGE_S = 2.0
MIN_SILENCE_S = 1.0  # a shorter gap between segments is not listened to
SPEECH = "speech"  # the event that every segment with a text is


class Teller(Protocol):
    """Who tells labels and events: `mooer.engines.rich.Rich`."""

    def tell(self, samples: Samples) -> tuple[Labels, tuple[Event, ...]]:
        """Of samples [T] at 16 kHz, up to 30 s."""
        ...


@dataclass(frozen=True)
class RichOptions:
    """What is told. Gender and age are guesses about a person: ask for them only with a reason."""

    emotion: bool = True
    events: bool = True
    silences: bool = True  # events where nobody speaks
    gender: bool = False
    age: bool = False


def load_rich(
    model: str = "store:rich-mini", encoder: str = "store:whisper-base", *, num_threads: int = 0
) -> Rich:
    """Heads and the encoder beneath them: folders, or names of the catalog. ModelError, StoreError.

    `num_threads` 0 is what CTranslate2 likes best.
    """
    return Rich(located(model), located(encoder), num_threads=num_threads)


def enrich(
    segments: Iterable[Segment],
    blocks: Iterable[Samples],
    teller: Teller,
    options: RichOptions | None = None,
) -> Iterator[Segment]:
    """Segments in order of time, with labels; `blocks` are the samples of the whole input.

    A segment under 0.3 s gets none. Of one over 30 s, labels are those of its first 30, events
    those of all of it.
    """
    options = options or RichOptions()
    window = _Window(blocks)
    last_s = 0.0
    for segment in segments:
        if options.events and options.silences:
            yield from _silence(last_s, segment.start_s, window, teller)
        samples = window.between(segment.start_s, segment.end_s)
        last_s = max(last_s, segment.end_s)
        yield _told(segment, samples, teller, options)
    if options.events and options.silences:
        while window.has(last_s + MIN_SILENCE_S):
            end_s = last_s + MAX_S
            yield from _silence(last_s, end_s, window, teller)
            last_s = end_s


@dataclass(frozen=True)
class RichEnricher:
    """A teller as the `Enricher` of a recogniser, whose options choose of what it tells."""

    teller: Teller
    options: RichOptions = RichOptions(gender=True, age=True)

    def enrich(self, samples: Samples, segment: Segment) -> Segment:
        """The segment with labels and events, by its sound [T] at 16 kHz."""
        return _told(segment, samples, self.teller, self.options)


def _told(segment: Segment, samples: Samples, teller: Teller, options: RichOptions) -> Segment:
    if len(samples) < MIN_S * SAMPLE_RATE_HZ:
        return replace(segment, events=() if options.events else None)
    labels, events = _tell(samples, segment.start_s, teller)
    probability = segment.language_probability
    same = labels.language is not None and labels.language.name == segment.language
    if probability is None and same and len(samples) >= MIN_LANGUAGE_S * SAMPLE_RATE_HZ:
        assert labels.language is not None
        probability = labels.language.probability
    heard = tuple(event for event in events if event.name != SPEECH)
    return replace(
        segment,
        emotion=_if(options.emotion, labels.emotion),
        gender=_if(options.gender, labels.gender),
        age=_if(options.age, labels.age),
        events=heard if options.events else None,
        language_probability=probability,
    )


def _silence(start_s: float, end_s: float, window: _Window, teller: Teller) -> Iterator[Segment]:
    """What is heard between two segments, if anything is."""
    while end_s - start_s >= MIN_SILENCE_S:
        until_s = min(end_s, start_s + MAX_S)
        samples = window.between(start_s, until_s)
        if len(samples) < MIN_SILENCE_S * SAMPLE_RATE_HZ:
            return
        _, events = _tell(samples, start_s, teller)
        heard = tuple(event for event in events if event.name != SPEECH)
        if heard:
            first, last = heard[0].start_s, max(event.end_s for event in heard)
            yield Segment(first, last, "", "und", events=heard)
        start_s = until_s


def _tell(samples: Samples, start_s: float, teller: Teller) -> tuple[Labels, tuple[Event, ...]]:
    """Labels of the beginning, and all events, in the time of the input."""
    size = round(MAX_S * SAMPLE_RATE_HZ)
    found: Labels | None = None
    events: list[Event] = []
    for begin in range(0, len(samples), size):
        part = samples[begin : begin + size]
        if begin and len(part) < MIN_S * SAMPLE_RATE_HZ:
            break
        labels, heard = teller.tell(part)
        found = found or labels
        shift_s = start_s + begin / SAMPLE_RATE_HZ
        for event in heard:
            start, end = (round(t + shift_s, 3) for t in (event.start_s, event.end_s))
            events.append(replace(event, start_s=start, end_s=end))
    return found or Labels(), tuple(events)


def _if(wanted: bool, label: Label | None) -> Label | None:
    return label if wanted else None


class _Window:
    """Samples between two times that only move on; what lies before is forgotten."""

    def __init__(self, blocks: Iterable[Samples]) -> None:
        self._blocks = iter(blocks)
        self._ready: Samples = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample that is ready

    def between(self, start_s: float, end_s: float) -> Samples:
        """As much of it as the input holds."""
        start, end = (max(0, round(t * SAMPLE_RATE_HZ)) for t in (start_s, end_s))
        self._read(end, keep_from=start)
        return self._ready[max(0, start - self._first) : max(0, end - self._first)]

    def has(self, at_s: float) -> bool:
        """Whether the input goes on until then."""
        end = round(at_s * SAMPLE_RATE_HZ)
        self._read(end, keep_from=end - round(MAX_S * SAMPLE_RATE_HZ))
        return self._first + len(self._ready) >= end

    def _read(self, end: int, *, keep_from: int) -> None:
        parts, num = [self._ready], self._first + len(self._ready)
        while num < end:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            num += len(block)
            if self._first + len(parts[0]) <= keep_from:  # nothing of it is asked for again
                self._first += len(parts.pop(0))
        joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
        before = min(len(joined), max(0, keep_from - self._first))
        self._ready = joined[before:]
        self._first += before
