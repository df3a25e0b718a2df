"""A text and its recording: when each word was said, and whether it was said at all.

    transcript = align(read_wave("talk.mp3"), "Hello, world.", model)
    transcript.segments[0].words[0].start_s
    segments = with_words(read_wave("talk.mp3"), transcript.segments, model)

The model is any `CtcModel`. Hours are read piece by piece from an open `Wave`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ, Wave
from mooer.decoding.alignment import min_frames
from mooer.decoding.ctc import CtcModel
from mooer.decoding.edges import STEP_S, Loudness
from mooer.decoding.emissions import Emissions, hear
from mooer.errors import AudioError, DecodeError, listed
from mooer.infer.placed import NOT_IN_AUDIO, AlignerOptions, doubts, place, share_heard
from mooer.infer.run import OnProgress
from mooer.infer.spelled import SpelledLine, spell_line, spell_lines
from mooer.text import find_language
from mooer.transcript import Segment, Transcript

logger = logging.getLogger(__name__)

Samples = NDArray[np.float32]

MARGIN_S = 0.6  # around a segment that a recogniser has timed, in which its words are looked for
GROUP_S = 28.0  # segments that are heard together
_SILENT_DB = -70.0


def align(
    source: Samples | Wave,
    text: str,
    model: CtcModel,
    *,
    language: str | None = None,
    options: AlignerOptions | None = None,
    name: str = "",
    on_progress: OnProgress | None = None,
) -> Transcript:
    """The transcript of a recording whose text is known: a segment a line, with its words.

    `source` is [T] at 16 kHz, or open and not read yet. A line of more than 12 s is cut at the ends
    of sentences. A segment that is not heard has the warning `not_in_audio`, and so has, in a
    sentence, the transcript. `name` is the model's.

    ConfigError for a text that is empty or cannot be spelled, AudioError for silence, DecodeError
    for more text than the recording has room for.
    """
    lines = spell_lines(text, model, language and find_language(language))
    loudness = Loudness()
    emissions = hear(loudness.listened(_told(source, on_progress)), model)
    db = loudness.db
    if not len(db) or float(db.max()) < _SILENT_DB:
        raise AudioError("the recording is silent: check that it is the right one, or its channel")
    units = [spelled for line in lines for word in line.words for spelled in word.parts]
    if min_frames(units) > len(emissions):
        duration_s = len(emissions) * model.frame_s
        raise DecodeError(
            f"the text has {len(units)} words or characters, more than {duration_s:.1f} s of sound "
            "can hold: check that it is the text of this recording"
        )
    segments = place(emissions, db, lines, options)
    num_samples = source.num_samples if isinstance(source, Wave) else len(source)
    amiss = source.warnings if isinstance(source, Wave) else []
    return Transcript(
        segments=tuple(segments),
        language=_most_common(segments),
        duration_s=round(num_samples / SAMPLE_RATE_HZ, 3),
        model=name,
        versions={"mooer": version("mooer")},
        warnings=(*doubts(segments), *amiss),
    )


def with_words(
    source: Samples | Wave,
    segments: Iterable[Segment],
    model: CtcModel,
    options: AlignerOptions | None = None,
) -> list[Segment]:
    """Segments of any recogniser with the times of their words, looked for near their own times.

    A segment that cannot be spelled stays as it is; one that is not heard has the warning
    `not_in_audio`. `source` is [T] at 16 kHz, or open and not read yet.
    """
    sound = Passing(source)
    found: list[Segment] = []
    unspelled: list[str] = []
    for group in _groups(segments):
        start_s = max(0.0, group[0].start_s - MARGIN_S)
        samples = sound.between(start_s, max(one.end_s for one in group) + MARGIN_S)
        loudness = Loudness()
        emissions = hear(loudness.listened([samples] if len(samples) else []), model)
        last = 0  # frame before which nothing is left
        for segment in group:
            line = spell_line(segment.text, model, segment.language)
            if not line.is_spelled:
                unspelled.append(segment.text)
                found.append(segment)
                continue
            here = _shifted(segment, -start_s)
            timed, last = _timed(here, line, emissions, loudness.db, last, options)
            found.append(_shifted(timed, start_s))
    if unspelled:
        logger.warning("no word times where the CTC model knows no spelling: %s", listed(unspelled))
    return found


def _most_common(segments: Sequence[Segment]) -> str:
    """The language of most of the text."""
    lengths: dict[str, int] = {}
    for one in segments:
        lengths[one.language] = lengths.get(one.language, 0) + len(one.text)
    return max(lengths, key=lambda code: lengths[code])


# --- segments that a recogniser has timed -----------------------------------------------------


def _groups(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Segments in order of time that are heard together."""
    held: list[Segment] = []
    for one in sorted(segments, key=lambda one: one.start_s):
        if held and max(one.end_s, held[-1].end_s) - held[0].start_s > GROUP_S:
            yield held
            held = []
        held.append(one)
    if held:
        yield held


def _timed(
    segment: Segment,
    line: SpelledLine,
    emissions: Emissions,
    db: Samples,
    last: int,
    options: AlignerOptions | None,
) -> tuple[Segment, int]:
    """A segment with its words, and the frame after them; `last` is that of the one before."""
    frame_s = emissions.frame_s
    # Where two speak at once, a segment may begin before the one before it has ended.
    low = max(
        math.floor((segment.start_s - MARGIN_S) / frame_s),
        min(last, math.floor(segment.start_s / frame_s)),
        0,
    )
    start = min(low, len(emissions))
    end = min(len(emissions), math.ceil((segment.end_s + MARGIN_S) / frame_s))
    if min_frames([part for word in line.words for part in word.parts]) > end - start:
        return replace(segment, warnings=(*segment.warnings, NOT_IN_AUDIO)), last
    steps = (round(frame * frame_s / STEP_S) for frame in (start, end))
    placed = place(emissions.cut(start, end), db[slice(*steps)], [line], options)
    words = [w for one in placed for w in _shifted(one, start * frame_s).words or ()]
    missing = (NOT_IN_AUDIO,) if share_heard(placed) < 0.5 else ()
    timed = replace(
        segment,
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        words=tuple(words),
        warnings=(*segment.warnings, *missing),
    )
    return timed, max(last, math.floor(words[-1].end_s / frame_s))


def _shifted(segment: Segment, seconds: float) -> Segment:
    """So much later."""
    words = segment.words and tuple(
        replace(w, start_s=round(w.start_s + seconds, 3), end_s=round(w.end_s + seconds, 3))
        for w in segment.words
    )
    start_s, end_s = (round(t + seconds, 3) for t in (segment.start_s, segment.end_s))
    return replace(segment, start_s=start_s, end_s=end_s, words=words)


# --- sound ------------------------------------------------------------------------------------


def _blocks(source: Samples | Wave) -> Iterator[Samples]:
    if isinstance(source, Wave):
        yield from source.blocks()
    else:
        size = 10 * SAMPLE_RATE_HZ
        for start in range(0, len(source), size):
            yield np.asarray(source[start : start + size], np.float32)


def _told(source: Samples | Wave, on_progress: OnProgress | None) -> Iterator[Samples]:
    """The same blocks, and how far they are."""
    total_s = source.duration_s if isinstance(source, Wave) else len(source) / SAMPLE_RATE_HZ
    num_samples = 0
    for block in _blocks(source):
        yield block
        num_samples += len(block)
        if on_progress is not None:
            on_progress(num_samples / SAMPLE_RATE_HZ, total_s)


class Passing:
    """The samples of a sound while it passes: what was asked for is asked for in order."""

    def __init__(self, source: Samples | Wave) -> None:
        self._blocks = _blocks(source)
        self._held = np.zeros(0, np.float32)
        self._at = 0  # sample at which that begins

    def between(self, start_s: float, end_s: float) -> Samples:
        """What lies between two times; less, if the sound ends before."""
        start, end = (round(t * SAMPLE_RATE_HZ) for t in (start_s, end_s))
        assert start >= self._at or not len(self._held)
        while self._at + len(self._held) < end:
            block = next(self._blocks, None)
            if block is None:
                break
            self._held = np.concatenate([self._held, block])
            self._forget(start)
        self._forget(start)
        return self._held[: max(0, end - start)]

    def _forget(self, start: int) -> None:
        num = min(max(0, start - self._at), len(self._held))
        self._held, self._at = self._held[num:], self._at + num
