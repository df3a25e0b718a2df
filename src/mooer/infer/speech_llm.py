"""A speech LLM as a recogniser: it transcribes, translates, or does both in one answer.

    recognizer = SpeechLLMRecognizer(speech_llm, vad, name="mooer", versions={})
    recognizer.transcribe("talk.mp3", RecognizeOptions(task="asr_ast"))

A chunk of speech is one segment: the network says no times.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from mooer.audio.vad import SpeechModel
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, Wave, open_wave, read_wave
from mooer.decoding import rules
from mooer.decoding.generation import SearchOptions
from mooer.errors import AudioError, ConfigError
from mooer.infer.answering import Answered, Answerer, SpeechLLM, language_of
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, batches
from mooer.infer.run import Listener, OnProgress, Run
from mooer.tasks.templates import tasks
from mooer.text import find_language
from mooer.transcript import Segment

MAX_S = 30.0  # what such models are trained on
SEARCH = SearchOptions(max_new_tokens=500)  # as MooER decodes; the length of the speech bounds it
_AHEAD = 4  # batches that are read at once, so that chunks of like length go together


class SpeechLLMRecognizer(Listener):
    """A speech LLM with a VAD before it and guards behind it; use one from one thread.

    `search` is how it decodes; `beam_size` of the options, where given, takes the place of its
    beams.
    """

    def __init__(
        self,
        model: SpeechLLM,
        vad: SpeechModel,
        *,
        name: str = "",
        versions: dict[str, str],
        search: SearchOptions = SEARCH,
    ) -> None:
        super().__init__(vad, name=name, versions=versions)
        self.model = model
        self._search = search

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments.

        AudioError if it cannot be read; ConfigError for what a speech LLM cannot do.
        """
        options = options or RecognizeOptions()
        answerer = self._answerer(options)
        if options.language:
            options = replace(options, language=find_language(options.language))
        wave = open_wave(source, rate_hz=rate_hz)
        return _SpeechRun(self, wave, source, options, on_progress, answerer)

    def stream(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
    ) -> Iterator[str]:
        """The raw answer to one utterance of at most 30 s, in pieces of text as it is written.

        Greedy, and no guard looks at it. AudioError if it cannot be read or is longer.
        """
        options = replace(options or RecognizeOptions(), beam_size=1)
        samples = read_wave(source, rate_hz=rate_hz, max_s=MAX_S + 1)
        if len(samples) > MAX_S * SAMPLE_RATE_HZ:
            raise AudioError(
                f"the input is longer than {MAX_S:.0f} s, and only one utterance can be streamed: "
                "iterate `run` for segments"
            )
        return self._answerer(options).stream(samples)

    def _answerer(self, options: RecognizeOptions) -> Answerer:
        known = tasks(self.model.template)
        if options.task not in known:
            raise ConfigError(
                f"the speech LLM {self.name} was not trained for the task {options.task}: "
                f"it knows {', '.join(known)}"
            )
        for name in ("prompt", "hotwords", "words"):
            if getattr(options, name):
                raise ConfigError(f"a speech LLM has no use for {name}: leave it out")
        search = replace(self._search, num_beams=options.beam_size or self._search.num_beams)
        return Answerer(
            self.model,
            options.task,
            search,
            language=options.language and find_language(options.language),
            temperatures=options.temperatures,
        )


class _SpeechRun(Run):
    """One input on its way through a speech LLM."""

    def __init__(
        self,
        recognizer: Listener,
        wave: Wave,
        source: Source,
        options: RecognizeOptions,
        on_progress: OnProgress | None,
        answerer: Answerer,
    ) -> None:
        super().__init__(recognizer, wave, source, options, on_progress)
        self._answerer = answerer

    def _decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        size = self._options.batch_size
        for together in batches(chunks, size * _AHEAD):
            answered = by_length(self._answerer, together, size)
            for chunk, one in zip(together, answered, strict=True):
                yield chunk, self._to_segments(chunk, one)

    def _to_segments(self, chunk: Chunk, answered: Answered) -> Iterator[Segment]:
        answer, faults = answered.answer, answered.faults
        text = answer.transcript if answer.transcript is not None else answer.translation
        if not text or "over_silence" in faults:
            return
        if "loops" in faults:
            text = rules.without_loop(text)
        translation = answer.translation
        if answer.transcript is None:
            translation = text
            language = self._options.language or "und"
        else:
            language = self._options.language or language_of(text)
            text = self._in_script(text, language)
        yield Segment(
            start_s=chunk.input_time_s(0.0),
            end_s=chunk.end_s,
            text=text,
            language=language,
            translation=translation,
            avg_logprob=round(answered.hypothesis.avg_logprob, 4),
            temperature=answered.temperature,
            warnings=faults,
        )


def by_length(answerer: Answerer, chunks: Sequence[Chunk], size: int) -> list[Answered]:
    """Answers to chunks in their order, decoded in batches of like length."""
    order = [int(i) for i in np.argsort([-chunk.duration_s for chunk in chunks], kind="stable")]
    found: dict[int, Answered] = {}
    for start in range(0, len(order), size):
        places = order[start : start + size]
        found.update(zip(places, answerer.answers([chunks[i] for i in places]), strict=True))
    return [found[i] for i in range(len(chunks))]
