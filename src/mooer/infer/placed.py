"""Lines of a text in what a CTC model has heard: segments with words, and what was not said."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from mooer.decoding.alignment import (
    AlignedWord,
    AlignOptions,
    align_words,
    mean_logprob,
    mean_score,
)
from mooer.decoding.edges import EdgeOptions, Floats, word_times
from mooer.decoding.emissions import Emissions
from mooer.engines.whisper import TimedWord
from mooer.errors import listed
from mooer.infer.longform import MAX_SEGMENT_S, sentences
from mooer.infer.spelled import SpelledLine
from mooer.transcript import Segment, Word

NOT_IN_AUDIO = "not_in_audio"  # the warning of a segment that nobody says
MIN_SCORE = -4.5  # mean of a segment's units, under which it is not what is said (docs/align.md)


@dataclass(frozen=True)
class AlignerOptions:
    """How words are placed, and when a text counts as not said."""

    path: AlignOptions = field(default_factory=AlignOptions)
    edges: EdgeOptions = field(default_factory=EdgeOptions)
    min_score: float = MIN_SCORE


def place(
    emissions: Emissions,
    db: Floats,
    lines: Sequence[SpelledLine],
    options: AlignerOptions | None = None,
) -> list[Segment]:
    """The lines as segments, with times from the start of the emissions; `db` is the loudness.

    A line of more than 12 s is cut at the ends of sentences.
    """
    options = options or AlignerOptions()
    words = [word for line in lines for word in line.words]
    parts = iter(align_words(emissions, [u for word in words for u in word.parts], options.path))
    aligned = [[next(parts) for _ in word.parts] for word in words]
    joined = [_joined(one) for one in aligned]
    letters = [word.letters_per_unit for word in words]
    frame_s = emissions.frame_s
    spans = [(one.start * frame_s, one.end * frame_s) for one in joined]
    times = word_times(spans, letters, db, options.edges)
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


def _probability(parts: Sequence[AlignedWord]) -> float:
    """Geometric mean over the units, from 0 to 1; 0 where there is no spelling or no room."""
    logprob = mean_logprob(parts)
    known = all(part.is_placed for part in parts) and logprob is not None
    return math.exp(logprob) if known and logprob is not None else 0.0


def share_heard(segments: Iterable[Segment]) -> float:
    """Share of the words that are in segments without the warning `not_in_audio`."""
    counts = [(len(one.words or ()), NOT_IN_AUDIO in one.warnings) for one in segments]
    total = sum(num for num, _ in counts)
    return sum(num for num, is_missing in counts if not is_missing) / max(1, total)


def doubts(segments: Sequence[Segment]) -> Iterator[str]:
    """What is amiss with the text as a whole, in a sentence."""
    missing = [one for one in segments if NOT_IN_AUDIO in one.warnings]
    if missing and len(missing) == len(segments):
        yield "the text is not what is said in the recording: its times mean nothing"
    elif missing:
        where = listed(f"{one.text[:40]!r} ({one.start_s:.1f} s)" for one in missing)
        yield f"{len(missing)} of {len(segments)} segments of the text are not heard: {where}"
