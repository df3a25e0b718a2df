"""Whisper as a recogniser: speech is decoded in batches, guarded, and its words are timed."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from mooer.audio.vad import SpeechModel
from mooer.audio.wave import Source, open_wave
from mooer.decoding import rules
from mooer.engines.whisper import Whisper
from mooer.errors import ConfigError
from mooer.infer.guarded import (
    LONG_BEAM,
    GuardedDecoder,
    Heard,
    RecognizeOptions,
    detect_language,
)
from mooer.infer.longform import Chunk, batches, sentences
from mooer.infer.run import Listener, OnProgress, Run
from mooer.text import join_text
from mooer.transcript import Segment

logger = logging.getLogger(__name__)

LONG_S = 60.0  # up to here, two or three chunks, one worker on all threads is as quick


def is_long(duration_s: float | None) -> bool:
    """Whether an input is long; so is one whose end is not known."""
    return duration_s is None or duration_s > LONG_S


class Recognizer(Listener):
    """A Whisper model with a VAD before it and guards behind it; use one from one thread.

    Long recordings run on another engine, the crew: several workers of one thread each do more in
    the same time than one worker of several threads, which wait for each other many times a token.
    A short one has too few chunks for that.
    """

    def __init__(
        self,
        engine: Whisper,
        vad: SpeechModel,
        *,
        name: str = "",
        versions: dict[str, str],
        make_crew: Callable[[], Whisper] | None = None,
    ) -> None:
        super().__init__(vad, name=name, versions=versions)
        self.engine = engine
        self._make_crew = make_crew
        self._crew: Whisper | None = None

    def engine_for(self, duration_s: float | None) -> Whisper:
        """The engine for an input of this length, without the weights of the other in memory."""
        if self._make_crew is None or not is_long(duration_s):
            if self._crew:
                self._crew.unload()
            return self.engine
        self.engine.unload()
        if self._crew is None:
            self._crew = self._make_crew()
        return self._crew

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> WhisperRun:
        """Open an input; iterate the result for segments. AudioError if it cannot be read."""
        options = options or RecognizeOptions()
        if options.task == "asr_ast":
            raise ConfigError(
                "Whisper cannot transcribe and translate at once: take a speech LLM, or translate "
                "what was transcribed (`mooer translate`)"
            )
        if options.task == "ast" and options.to != "en":
            raise ConfigError(
                f"Whisper translates into English alone, not {options.to!r}: transcribe, and "
                "translate what was transcribed (`mooer translate`)"
            )
        if options.fusion is not None:
            options.fusion.refuse_graph("Whisper")
        if options.language:
            options = replace(options, language=self.engine.check_language(options.language))
        wave = open_wave(source, rate_hz=rate_hz)
        if options.beam_size is None and options.fusion is None and is_long(wave.duration_s):
            options = replace(options, beam_size=LONG_BEAM)
        return WhisperRun(self, wave, source, options, on_progress)

    def decode_by(
        self, engine: Whisper, options: RecognizeOptions, language: str
    ) -> Callable[[Sequence[Chunk]], list[Heard]]:
        """What decodes the chunks of one input."""
        return GuardedDecoder(engine, options, language).decode

    def translation(self, chunk: Chunk, language: str) -> str:
        """Whisper's own English of a chunk."""
        decoder = GuardedDecoder(self.engine, RecognizeOptions(task="ast"), language)
        return decoder.decode([chunk])[0].decoded.text


class WhisperRun(Run):
    """One input on its way through Whisper."""

    _recognizer: Recognizer

    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        """Each chunk with its sentences."""
        for heard in self._heard(batches(chunks, self._options.batch_size)):
            yield heard.chunk, self._to_segments(heard)

    def streamed(self) -> Iterator[str]:
        """The text in pieces, instead of segments: the first words before the others are known.

        `GuardedDecoder.growing` says how it is decoded.
        """
        written, num_shown = "", 0
        with self.wave:
            for chunk in self.chunks():
                before = written
                for text in self._growing(chunk):
                    written = join_text([before, text])
                    if len(written) > num_shown:
                        yield written[num_shown:]
                        num_shown = len(written)

    def _growing(self, chunk: Chunk) -> Iterator[str]:
        """The text of a chunk as far as it is written."""
        engine = self._recognizer.engine
        encoded = engine.encode(chunk.samples)
        if self.language == "und":
            self.language, probability = engine.detect_language(encoded)[0]
            self.language_probability = round(probability, 4)
        decoder = GuardedDecoder(engine, self._options, self.language)
        for text in decoder.growing(chunk, encoded):
            whole = text.rstrip("\ufffd")  # a character may be cut between two tokens
            yield self._in_script(whole, self.language)

    def _heard(self, batches: Iterator[list[Chunk]]) -> Iterator[Heard]:
        """What was said in each chunk, in order; batches are decoded abreast by the workers."""
        first = next(batches, None)
        if first is None:
            return
        engine = self._recognizer.engine_for(self.wave.duration_s)
        if self.language == "und":
            self.language, probability = detect_language(engine, first)
            self.language_probability = round(probability, 4)
            logger.info("language: %s (%.0f %%)", self.language, 100 * probability)
        decode = self._recognizer.decode_by(engine, self._options, self.language)
        pool = ThreadPoolExecutor(engine.workers)
        try:
            pending = deque([pool.submit(decode, first)])
            for batch in batches:
                pending.append(pool.submit(decode, batch))
                while pending and (pending[0].done() or len(pending) > engine.workers):
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _to_segments(self, heard: Heard) -> Iterator[Segment]:
        if "over_silence" in heard.faults or not heard.decoded.text:
            return
        chunk, decoded = heard.chunk, heard.decoded
        blank = Segment(
            start_s=0.0,
            end_s=0.0,
            text="",
            language=self.language,
            avg_logprob=round(decoded.avg_logprob, 4),
            no_speech_prob=round(decoded.no_speech_prob, 4),
            temperature=heard.temperature,
            warnings=heard.faults,
        )
        if "loops" in heard.faults or not heard.words:
            text = rules.without_loop(decoded.text) if "loops" in heard.faults else decoded.text
            start_s, end_s = chunk.input_time_s(0.0), chunk.end_s
            yield replace(
                blank,
                start_s=start_s,
                end_s=end_s,
                text=self._in_script(text, self.language),
                translation=text if self._options.task == "ast" else None,
            )
            return
        for sentence in sentences(heard.words):
            words = self.timed(chunk, sentence, self.language)
            text = "".join(word.text for word in words).strip()
            if text:
                yield replace(
                    blank,
                    start_s=words[0].start_s,
                    end_s=words[-1].end_s,
                    text=text,
                    words=tuple(replace(w, text=w.text.strip()) for w in words)
                    if self._options.words or self._options.punctuate
                    else None,
                )
