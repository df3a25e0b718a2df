"""A recording through a shared recogniser: segments while they come, at last the transcript.

All of it runs in the thread of a request, and stops when its job does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, BinaryIO

from mooer.infer.drafted import DraftedRecognizer
from mooer.infer.recognizer import Recognizer
from mooer.infer.run import Listener, Run
from mooer.infer.speech_llm import SpeechLLMRecognizer
from mooer.infer.translator import Translator, check_pair
from mooer.infer.whole import Extras, transcribe_whole
from mooer.serve.asking import Asked
from mooer.serve.errors import wrong
from mooer.serve.jobs import Job
from mooer.serve.tools import ALIGNER, DIARIZER, READER, Tools
from mooer.transcript import Segment, Transcript


def hear(
    engine: Any, tools: Tools, job: Job, file: BinaryIO, asked: Asked
) -> Iterator[Segment | Transcript]:
    """Segments, then the transcript. AudioError, ConfigError and the like; StoppedError."""
    listener: Listener = engine.listener(job)
    if asked.aligns or asked.is_diarized:
        transcript = _at_once(listener, tools, job, file, asked)
        yield from _told_at_once(transcript, engine, asked)
        return
    options = asked.options
    if asked.task == "ast" and _translates(listener, engine, asked.to):
        words = options.words and isinstance(listener, DraftedRecognizer)
        options = replace(options, task="ast", to=asked.to, words=words)
    if options.words and isinstance(listener, SpeechLLMRecognizer):
        raise wrong(
            "timestamp_granularities[]",
            "a speech LLM tells no times of words: ask for align=true",
            "no_word_times",
        )
    run = listener.run(file, options)
    run.overhear(job.watch)
    try:
        yield from _told(run, engine, asked, translated=options.task == "ast")
    finally:
        run.close()


def _told(
    run: Run, engine: Any, asked: Asked, *, translated: bool
) -> Iterator[Segment | Transcript]:
    told: list[Segment] = []
    segments: Iterable[Segment] = run
    if asked.task == "ast" and not translated:
        segments = _translated(segments, engine, asked)
    for segment in segments:
        told.append(segment)
        yield segment
    transcript = run.transcript(told)
    if asked.task == "ast":
        transcript = replace(transcript, task="ast", translation_language=asked.to)
    yield transcript


def _translated(segments: Iterable[Segment], engine: Any, asked: Asked) -> Iterator[Segment]:
    """Segments with translations beside their texts, by a language model."""
    language = asked.options.language
    if language is not None:
        check_pair(language, asked.to)
    translator: Translator = engine.translator
    return translator.stream(segments, to=asked.to)


def _translates(listener: Listener, engine: Any, to: str) -> bool:
    """Whether the recogniser itself translates: Whisper does it worse than the LLM behind it."""
    if isinstance(listener, DraftedRecognizer | SpeechLLMRecognizer):
        return True
    return isinstance(listener, Recognizer) and to == "en" and not engine.has_llm


def _at_once(
    listener: Listener, tools: Tools, job: Job, file: BinaryIO, asked: Asked
) -> Transcript:
    """With what is known only at the end: who speaks, and times by alignment."""
    with ExitStack() as stack:

        def borrowed(name: str, *, is_needed: bool) -> Any:
            return stack.enter_context(tools.borrow(name)) if is_needed else None

        extras = Extras(
            aligner=borrowed(ALIGNER, is_needed=asked.aligns),
            reader=borrowed(READER, is_needed=asked.aligns),
            diarizer=borrowed(DIARIZER, is_needed=asked.is_diarized),
            num_speakers=asked.num_speakers or None,
        )
        return transcribe_whole(_watched(listener, job), file, asked.options, extras)


def _told_at_once(
    transcript: Transcript, engine: Any, asked: Asked
) -> Iterator[Segment | Transcript]:
    if asked.task == "asr":
        yield from transcript.segments
        yield transcript
        return
    told = []
    for segment in _translated(transcript.segments, engine, asked):
        told.append(segment)
        yield segment
    yield replace(transcript, segments=tuple(told), task="ast", translation_language=asked.to)


def _watched(listener: Listener, job: Job) -> Listener:
    """A recogniser whose runs ask their job whether to go on."""
    one = copy.copy(listener)

    def run(*arguments: Any, **options: Any) -> Run:
        found = listener.run(*arguments, **options)
        found.overhear(job.watch)
        return found

    one.run = run  # type: ignore[method-assign]
    return one
