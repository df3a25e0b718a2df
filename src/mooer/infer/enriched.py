"""What is heard beside the words: labels of segments, and events where nobody speaks.

An enricher hears each segment, and all sound between segments, while the recording is read: nothing
but the last minute of it is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.vad import Span
from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.transcript import Event, Segment

MIN_GAP_S = 0.5  # between spans of speech; less is not asked about
MIN_UNWRITTEN_S = 1.0  # of speech of which no word was written; less is the edge of a word
PIECE_S = 20.0  # of a long silence, given to the enricher at once
_SEAM_S = 0.1  # an event that ends so close to a seam goes on behind it
_SPEECH = "speech"

Samples = NDArray[np.float32]


class Enricher(Protocol):
    """Hears emotions, events, voices and languages; used from one thread."""

    def enrich(self, samples: Samples, segment: Segment) -> Segment:
        """The segment with its labels, by its sound [T] at 16 kHz, without silences in it.

        An event that begins with the sound begins at `segment.start_s`. A segment without text is
        sound where nobody speaks: of it only `events` are used.
        """
        ...


class Enrichment:
    """One input on its way past an enricher."""

    def __init__(self, enricher: Enricher, options: RecognizeOptions) -> None:
        self._enricher = enricher
        self._options = options
        self._lag = round((options.max_chunk_s + options.vad.pad_s + 1.0) * SAMPLE_RATE_HZ)
        self._held: Samples = np.zeros(0, np.float32)
        self._start = 0  # of what is held, in samples of the input
        self._gaps: list[Segment] = []  # with events, and not handed out

    def blocks(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        """The blocks of the input, on their way to `speech_spans`."""
        for block in blocks:
            # A span that is not over yet cannot have begun earlier than this.
            self._settle(self._start + len(self._held) - self._lag, is_over=False)
            self._held = np.concatenate([self._held, block])
            yield block

    def spans(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Spans of speech, on their way from there: what lies between them is heard."""
        for span in spans:
            self._settle(span.start_sample, is_over=True)
            self._drop(span.end_sample)
            yield span
        self._settle(self._start + len(self._held), is_over=True)

    def segments(self, chunk: Chunk, segments: Iterable[Segment]) -> list[Segment]:
        """The segments of a chunk with labels, and all events up to its end, in order of time."""
        told = [self._labelled(chunk, segment) for segment in segments]
        if self._options.rich:
            for start_s, end_s in _uncovered(chunk, told):
                self._ask(chunk.cut(start_s, end_s).samples, start_s)
        self._gaps.sort(key=lambda gap: gap.start_s)
        waiting: list[Segment] = []
        for gap in self._gaps:
            around = _place(told, gap)
            if around is not None:
                told[around] = _with_events(told[around], gap.events or ())
            elif gap.start_s < chunk.end_s:
                told.append(gap)
            else:
                waiting.append(gap)
        self._gaps = waiting
        return sorted(told, key=lambda segment: segment.start_s)

    def rest(self) -> list[Segment]:
        """Events behind the last chunk."""
        rest, self._gaps = self._gaps, []
        return rest

    def _labelled(self, chunk: Chunk, segment: Segment) -> Segment:
        """With what is asked for; what the recogniser has told itself stays."""
        options = self._options
        part = chunk.cut(segment.start_s, segment.end_s)
        found = self._enricher.enrich(part.samples, segment)
        gender = found.gender if options.gender else segment.gender
        age = found.age if options.age else segment.age
        if not options.rich:
            return replace(segment, gender=gender, age=age)
        events = tuple(_moved(event, part, segment.start_s) for event in found.events or ())
        return replace(
            found,
            gender=gender,
            age=age,
            emotion=segment.emotion or found.emotion,
            events=segment.events or events,
        )

    def _settle(self, until: int, *, is_over: bool) -> None:
        """Ask about what is held up to there; of what goes on (not `is_over`) whole pieces only."""
        piece = round(PIECE_S * SAMPLE_RATE_HZ)
        while (length := min(piece, until - self._start)) > 0 and (is_over or length == piece):
            if self._options.rich and length >= MIN_GAP_S * SAMPLE_RATE_HZ:
                self._ask(self._held[:length], self._start / SAMPLE_RATE_HZ)
            self._drop(self._start + length)

    def _drop(self, until: int) -> None:
        self._held = self._held[max(0, until - self._start) :]
        self._start = max(self._start, until)

    def _ask(self, samples: Samples, start_s: float) -> None:
        """Note the events of a stretch in which nobody speaks."""
        end_s = start_s + len(samples) / SAMPLE_RATE_HZ
        heard = self._enricher.enrich(samples, Segment(start_s, end_s, "", "und")).events or ()
        events = [event for event in heard if event.name != _SPEECH]
        if events and self._gaps and abs(self._gaps[-1].end_s - start_s) <= _SEAM_S:
            events = _joined([*(self._gaps.pop().events or ()), *events])
        if events:
            events.sort(key=lambda event: event.start_s)
            last_s = max(event.end_s for event in events)
            self._gaps.append(Segment(events[0].start_s, last_s, "", "und", events=tuple(events)))


def _moved(event: Event, part: Chunk, start_s: float) -> Event:
    """An event in speech without silences, at its times in the input."""
    begins_s = part.input_time_s(max(0.0, event.start_s - start_s))
    ends_s = part.input_time_s(max(0.0, event.end_s - start_s), ending=True)
    return replace(event, start_s=round(begins_s, 3), end_s=round(max(begins_s, ends_s), 3))


def _place(segments: Sequence[Segment], gap: Segment) -> int | None:
    """Which segment an event falls into, as into one that is joined over a silence."""
    around = (i for i, s in enumerate(segments) if s.start_s <= gap.start_s < s.end_s)
    return next(around, None)


def _with_events(segment: Segment, events: Sequence[Event]) -> Segment:
    both = sorted([*(segment.events or ()), *events], key=lambda event: event.start_s)
    return replace(segment, events=tuple(both))


def _joined(events: Sequence[Event]) -> list[Event]:
    """Events of which one that goes on behind a seam is told once."""
    found: list[Event] = []
    for event in events:
        for i, before in enumerate(found):
            if before.name == event.name and abs(event.start_s - before.end_s) <= _SEAM_S:
                surest = max(before.probability, event.probability)
                found[i] = Event(before.start_s, event.end_s, event.name, surest)
                break
        else:
            found.append(event)
    return found


def _uncovered(chunk: Chunk, segments: Sequence[Segment]) -> Iterator[tuple[float, float]]:
    """Stretches of a chunk's speech, in seconds of the input, of which no word was written."""
    for start, length in chunk.spans:
        at_s, span_end_s = start / SAMPLE_RATE_HZ, (start + length) / SAMPLE_RATE_HZ
        for segment in sorted(segments, key=lambda segment: segment.start_s):
            if segment.start_s >= span_end_s or segment.end_s <= at_s:
                continue
            if segment.start_s - at_s >= MIN_UNWRITTEN_S:
                yield at_s, segment.start_s
            at_s = segment.end_s
        if span_end_s - at_s >= MIN_UNWRITTEN_S:
            yield at_s, span_end_s
