"""Segments of a transcript as utterances to train on, and their sound out of the recording."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ, open_wave
from mooer.data.pseudo import Candidate
from mooer.errors import AudioError
from mooer.text import join_text
from mooer.transcript import Segment, Transcript

MAX_GAP_S = 1.0  # a longer silence parts two utterances
MAX_PAD_S = 0.2  # kept before and after, but never more than half of the gap

Samples = NDArray[np.float32]


def utterances(name: str, heard: Transcript, max_s: float) -> list[Candidate]:
    """A recording of at most `max_s` whole, a longer one as stretches of whole segments.

    A segment that alone is longer than `max_s` stays, and the filters may drop it.
    """
    segments = [segment for segment in heard.segments if segment.text.strip()]
    if heard.duration_s <= max_s and segments:
        return [_candidate(name, segments, heard, (0.0, heard.duration_s))]
    groups = list(_groups(segments, max_s))
    found = []
    for i, group in enumerate(groups):
        before_s = groups[i - 1][-1].end_s if i else 0.0
        after_s = groups[i + 1][0].start_s if i + 1 < len(groups) else heard.duration_s
        start_s = group[0].start_s - min(MAX_PAD_S, max(0.0, group[0].start_s - before_s) / 2)
        end_s = group[-1].end_s + min(MAX_PAD_S, max(0.0, after_s - group[-1].end_s) / 2)
        times = (round(start_s, 3), round(min(end_s, heard.duration_s), 3))
        found.append(_candidate(f"{name}-{i:04d}", group, heard, times))
    return found


def _groups(segments: Sequence[Segment], max_s: float) -> Iterator[list[Segment]]:
    held: list[Segment] = []
    for segment in segments:
        if held:
            too_long = segment.end_s - held[0].start_s > max_s - 2 * MAX_PAD_S
            apart = segment.start_s - held[-1].end_s > MAX_GAP_S
            if too_long or apart or segment.language != held[0].language:
                yield held
                held = []
        held.append(segment)
    if held:
        yield held


def _candidate(
    name: str, segments: Sequence[Segment], heard: Transcript, times: tuple[float, float]
) -> Candidate:
    return Candidate(
        id=name,
        start_s=times[0],
        end_s=times[1],
        text=join_text(segment.text for segment in segments),
        language=segments[0].language,
        language_probability=heard.language_probability,
        warnings=tuple(dict.fromkeys(w for segment in segments for w in segment.warnings)),
    )


def cut(path: str, times: Sequence[tuple[float, float]]) -> Generator[Samples, None, None]:
    """Samples [T] of each stretch (start and end in seconds, in order) of a recording.

    The recording is read once and never held whole. AudioError if it ends before a stretch.
    """
    if not times:
        return
    wanted = [(round(a * SAMPLE_RATE_HZ), round(b * SAMPLE_RATE_HZ)) for a, b in times]
    held, at = np.zeros(0, np.float32), 0  # samples in hand, and where the first of them is
    with open_wave(path) as wave:
        blocks = wave.blocks()
        for start, end in wanted:
            while at + len(held) < end:
                block = next(blocks, None)
                if block is None:
                    break
                if start > at:
                    held, at = held[start - at :], min(start, at + len(held))
                held = np.concatenate([held, block])
            if at + len(held) <= start:
                raise AudioError(f"{path} ends at {(at + len(held)) / SAMPLE_RATE_HZ:.1f} s")
            yield held[max(0, start - at) : end - at]
