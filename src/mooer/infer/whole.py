"""What is told only at the end of a recording: word times of an aligner, and who speaks.

    extras = Extras(aligner=load_aligner(), diarizer=load_diarizer())
    transcript = transcribe_whole(recognizer, "meeting.mp3", options, extras)

Speakers are heard while the recording is read; an aligner reads it once more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mooer.audio.wave import Source, open_wave
from mooer.decoding.ctc import CtcModel
from mooer.errors import ConfigError
from mooer.infer.aligned import Passing, with_words
from mooer.infer.attended import Reader, attended
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.placed import doubts
from mooer.infer.run import Listener, OnProgress
from mooer.infer.speaker_labels import label_segments
from mooer.infer.speakers import Diarizer
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.infer.written import Writer, punctuated
from mooer.text.punctuation import has_marks
from mooer.transcript import Segment, Transcript


@dataclass(frozen=True)
class Extras:
    """What is done with a whole recording."""

    aligner: CtcModel | None = None  # times words anew
    reader: Reader | None = None  # and finer
    diarizer: Diarizer | None = None
    num_speakers: int | None = None  # None: found out


def transcribe_whole(
    recognizer: Listener,
    source: Source,
    options: RecognizeOptions,
    extras: Extras,
    *,
    on_progress: OnProgress | None = None,
) -> Transcript:
    """All of one input. AudioError if it cannot be read.

    ConfigError for a standard input that would have to be read twice; an open file is sought back
    to where it stood. Numbers are written in digits last, since segments are divided between
    speakers at the words that were said.
    """
    if extras.aligner is not None and source == "-":
        raise ConfigError(
            "to time words by alignment the recording is read twice, which standard input cannot "
            "be: save it to a file first"
        )
    times_words = extras.aligner is None and not isinstance(recognizer, SpeechLLMRecognizer)
    asked = replace(options, itn=False, punctuate=False, words=times_words)
    rewind = _rewinding(source) if extras.aligner is not None else None
    run = recognizer.run(source, asked, on_progress=on_progress)
    listening = extras.diarizer.listen() if extras.diarizer is not None else None
    if listening is not None:
        run.overhear(listening.push)
    segments: Sequence[Segment] = list(run)
    warnings: list[str] = []
    if rewind is not None:
        segments = _aligned(source, rewind, segments, extras)
        warnings += doubts([segment for segment in segments if segment.text])
    if options.punctuate and not any(has_marks(segment.text) for segment in segments):
        segments = [punctuated(segment) if segment.text else segment for segment in segments]
    if listening is not None:
        found = listening.finish(extras.num_speakers)
        segments = label_segments(segments, found.turns)
        warnings += found.warnings
    writer = Writer(replace(options, punctuate=False))
    finished = (writer.write(segment) for segment in segments)
    if not options.words:
        finished = (replace(segment, words=None) for segment in finished)
    transcript = run.transcript(finished)
    return replace(transcript, warnings=(*transcript.warnings, *warnings))


def _rewinding(source: Source) -> Callable[[], None]:
    """What brings an open file back to where it stands now."""
    if isinstance(source, str | bytes | os.PathLike | np.ndarray):
        return lambda: None
    start = source.tell()

    def rewind() -> None:
        source.seek(start)

    return rewind


def _aligned(
    source: Source, rewind: Callable[[], None], segments: Sequence[Segment], extras: Extras
) -> list[Segment]:
    """Segments with the times of their words, and those without words as they are."""
    assert extras.aligner is not None
    said = [segment for segment in segments if segment.text]
    rewind()
    with open_wave(source) as wave:
        timed = with_words(wave, said, extras.aligner)
    if extras.reader is not None:
        rewind()
        with open_wave(source) as wave:
            timed = attended(Passing(wave), timed, extras.reader)
    quiet = [segment for segment in segments if not segment.text]
    return sorted([*timed, *quiet], key=lambda segment: segment.start_s)
