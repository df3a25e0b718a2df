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
from dataclasses import dataclass, field, replace
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from mooer.audio.wave import SAMPLE_RATE_HZ, Wave
from mooer.decoding.alignment import (
    AlignedWord,
    AlignOptions,
    align_words,
    mean_logprob,
    mean_score,
    min_frames,
)
from mooer.decoding.ctc import CtcModel
from mooer.decoding.edges import EdgeOptions, Loudness, word_times
from mooer.decoding.emissions import Emissions, hear
from mooer.engines.whisper import TimedWord
from mooer.errors import AudioError, ConfigError, DecodeError, listed
from mooer.infer.answering import language_of
from mooer.infer.longform import MAX_SEGMENT_S, sentences
from mooer.infer.run import OnProgress
from mooer.infer.spoken import SpokenWord, spell_word, spoken_words
from mooer.text import find_language
from mooer.transcript import Segment, Transcript, Word

logger = logging.getLogger(__name__)

Samples = NDArray[np.float32]

NOT_IN_AUDIO = "not_in_audio"  # the warning of a segment that nobody says
MIN_SCORE = -3.0  # mean of a segment's units, under which it is not what is said (docs/align.md)
MARGIN_S = 0.6  # around a segment that a recogniser has timed, in which its words are looked for
GROUP_S = 28.0  # segments that are heard together
_SILENT_DB = -70.0
_MIN_SPELLED = 0.5  # share of the words of a text; with less it is of another language


@dataclass(frozen=True)
class AlignerOptions:
    """How words are placed, and when a text counts as not said."""

    path: AlignOptions = field(default_factory=AlignOptions)
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    min_score: float = MIN_SCORE


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
    options = options or AlignerOptions()
    lines = _read(text, model, language and find_language(language))
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
    segments = _place(emissions, lines, db, options)
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


def share_heard(segments: Iterable[Segment]) -> float:
    """Share of the words that are in segments without the warning `not_in_audio`."""
    counts = [(len(one.words or ()), NOT_IN_AUDIO in one.warnings) for one in segments]
    total = sum(num for num, _ in counts)
    return sum(num for num, is_missing in counts if not is_missing) / max(1, total)


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
    options = options or AlignerOptions()
    sound = _Passing(source)
    found: list[Segment] = []
    unspelled: list[str] = []
    for group in _groups(segments):
        start_s = max(0.0, group[0].start_s - MARGIN_S)
        samples = sound.between(start_s, max(one.end_s for one in group) + MARGIN_S)
        loudness = Loudness()
        emissions = hear(loudness.listened([samples] if len(samples) else []), model)
        last = 0  # frame before which nothing is left
        for segment in group:
            one = replace(
                segment, start_s=segment.start_s - start_s, end_s=segment.end_s - start_s
            )
            timed, last = _timed(one, emissions, loudness.db, model, last, options)
            if timed is None:
                unspelled.append(segment.text)
            found.append(_shifted(timed, start_s) if timed else segment)
    if unspelled:
        logger.warning("no word times where the CTC model knows no spelling: %s", listed(unspelled))
    return found


# --- a text -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Word:
    """A written word, and the units of each word that is said for it."""

    text: str
    parts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Line:
    words: tuple[_Word, ...]
    language: str


def _read(text: str, model: CtcModel, language: str | None) -> list[_Line]:
    """Lines as units. ConfigError if there is nothing to say, or too little can be spelled."""
    lines: list[_Line] = []
    for row in text.splitlines():
        if spoken := spoken_words(row, language):
            lines.append(_Line(tuple(_spelled(spoken, model)), language or language_of(row)))
    if not lines:
        raise ConfigError("the text is empty: write what is said in the recording")
    words = [word for line in lines for word in line.words]
    missing = [word.text.strip() for word in words if not all(word.parts)]
    if len(missing) > (1 - _MIN_SPELLED) * len(words):
        raise ConfigError(
            f"the model cannot spell most words of the text ({listed(missing)}): give a text in a "
            "language that it knows"
        )
    if missing:
        logger.warning("words that the model cannot spell get rough times: %s", listed(missing))
    return lines


def _spelled(words: Iterable[SpokenWord], model: CtcModel) -> Iterator[_Word]:
    for word in words:
        yield _Word(word.text, tuple(spell_word(part, model) for part in word.spoken))


def _place(
    emissions: Emissions, lines: Sequence[_Line], db: Samples, options: AlignerOptions
) -> list[Segment]:
    """The lines as segments, with times from the start of the emissions."""
    words = [word for line in lines for word in line.words]
    parts = iter(align_words(emissions, [u for word in words for u in word.parts], options.path))
    aligned = [[next(parts) for _ in word.parts] for word in words]
    joined = [_joined(one) for one in aligned]
    letters = [_letters(word) for word in words]
    times = word_times(joined, letters, emissions.frame_s, db, options.edges)
    segments: list[Segment] = []
    first = 0
    for line in lines:
        last = first + len(line.words)
        timed = [
            TimedWord(word.text, *span, _probability(one))
            for word, span, one in zip(
                line.words, times[first:last], aligned[first:last], strict=True
            )
        ]
        is_long = timed[-1].end_s - timed[0].start_s > MAX_SEGMENT_S
        for part in sentences(timed) if is_long else [timed]:
            said = [one for word in aligned[first : first + len(part)] for one in word]
            segments.append(_segment(part, said, line.language, options.min_score))
            first += len(part)
    return segments


def _segment(
    timed: Sequence[TimedWord], said: Sequence[AlignedWord], language: str, min_score: float
) -> Segment:
    score, logprob = mean_score(said), mean_logprob(said)
    words = tuple(
        Word(round(w.start_s, 3), round(w.end_s, 3), w.text.strip(), round(w.probability, 4))
        for w in timed
    )
    return Segment(
        start_s=words[0].start_s,
        end_s=words[-1].end_s,
        text="".join(w.text for w in timed).strip(),
        language=language,
        words=words,
        avg_logprob=None if logprob is None else round(logprob, 4),
        warnings=(NOT_IN_AUDIO,) if score is not None and score < min_score else (),
    )


def _joined(parts: Sequence[AlignedWord]) -> AlignedWord:
    """What is said for one written word, as one."""
    units = tuple(unit for part in parts for unit in part.units)
    return AlignedWord(units, all(part.is_spelled for part in parts))


def _letters(word: _Word) -> float:
    """Letters that a unit of it has, about: how long a unit is beside those of other words."""
    num_units = sum(len(part) or 1 for part in word.parts)
    return max(1, sum(map(str.isalnum, word.text))) / num_units


def _probability(parts: Sequence[AlignedWord]) -> float:
    """Geometric mean over the units, from 0 to 1; 0 where there is no spelling or no room."""
    logprob = mean_logprob(parts)
    known = all(part.is_placed for part in parts) and logprob is not None
    return math.exp(logprob) if known and logprob is not None else 0.0


def _most_common(segments: Sequence[Segment]) -> str:
    """The language of most of the text."""
    lengths: dict[str, int] = {}
    for one in segments:
        lengths[one.language] = lengths.get(one.language, 0) + len(one.text)
    return max(lengths, key=lambda code: lengths[code])


def doubts(segments: Sequence[Segment]) -> Iterator[str]:
    """What is amiss with the text as a whole, in a sentence."""
    missing = [one for one in segments if NOT_IN_AUDIO in one.warnings]
    if len(missing) == len(segments):
        yield "the text is not what is said in the recording: its times mean nothing"
    elif missing:
        where = listed(f"{one.text[:40]!r} ({one.start_s:.1f} s)" for one in missing)
        yield f"{len(missing)} of {len(segments)} segments of the text are not heard: {where}"


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
    emissions: Emissions,
    db: Samples,
    model: CtcModel,
    last: int,
    options: AlignerOptions,
) -> tuple[Segment | None, int]:
    """A segment with its words and the frame after them; None if it cannot be spelled."""
    spoken = spoken_words(segment.text, segment.language)
    words = list(_spelled(spoken, model))
    spelled = [word for word in words if all(word.parts)]
    if not spelled or len(spelled) < _MIN_SPELLED * len(words):
        return None, last
    frame_s = emissions.frame_s
    # Where two speak at once, a segment may begin before the one before it has ended.
    low = max(
        math.floor((segment.start_s - MARGIN_S) / frame_s),
        min(last, math.floor(segment.start_s / frame_s)),
        0,
    )
    start = min(low, len(emissions))
    end = min(len(emissions), math.ceil((segment.end_s + MARGIN_S) / frame_s))
    line = _Line(tuple(words), segment.language)
    if min_frames([part for word in words for part in word.parts]) > end - start:
        return replace(segment, warnings=(*segment.warnings, NOT_IN_AUDIO)), last
    first = round(start * frame_s * 100)
    [*placed] = _place(
        emissions.cut(start, end), [line], db[first : round(end * frame_s * 100)], options
    )
    found = [_shifted(one, start * frame_s) for one in placed]
    timed = [word for one in found for word in one.words or ()]
    warnings = segment.warnings
    if share_heard(found) < 0.5:
        warnings = (*warnings, NOT_IN_AUDIO)
    timed_segment = replace(
        segment,
        start_s=timed[0].start_s,
        end_s=timed[-1].end_s,
        words=tuple(timed),
        warnings=warnings,
    )
    return timed_segment, max(last, math.floor(timed[-1].end_s / frame_s))


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


class _Passing:
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
