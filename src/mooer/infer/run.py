"""One input on its way through any recogniser: speech is found, decoded, and comes as segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mooer.audio.vad import Samples, Span, SpeechModel, speech_spans
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, Wave
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError, MooerError
from mooer.infer.enriched import Enricher, Enrichment
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, pack
from mooer.infer.written import Writer, in_script
from mooer.transcript import Segment, Transcript, Word

OnProgress = Callable[[float, float | None], None]  # seconds done, seconds in all if known

_TOLD = {"rich": "emotions and events", "gender": "gender", "age": "age"}


class Listener(ABC):
    """A recogniser with a VAD before it; use one from one thread.

    `is_rich` says whether its own segments carry emotions and events. What they do not carry, an
    enricher tells, which `make_enricher` makes when it is first needed.
    """

    is_rich = False

    def __init__(self, vad: SpeechModel, *, name: str, versions: dict[str, str]) -> None:
        self.make_enricher: Callable[[], Enricher | None] | None = None
        self._enricher: Enricher | None = None
        self.vad = vad
        self.name = name
        self.versions = versions

    def enrichment(self, options: RecognizeOptions) -> Enrichment | None:
        """What tells the labels that are asked for and that the recogniser does not tell.

        ConfigError if nothing can.
        """
        wanted = [name for name in _TOLD if getattr(options, name)]
        if not wanted or (wanted == ["rich"] and self.is_rich):
            return None
        enricher = self.enricher
        if enricher is None:
            raise ConfigError(
                f"{self.name or 'this model'} does not tell "
                f"{' and '.join(_TOLD[name] for name in wanted)}: ask without "
                f"{', '.join(wanted)}, or for emotions and events take SenseVoice as the model"
            )
        return Enrichment(enricher, options)

    @property
    def enricher(self) -> Enricher | None:
        """What tells labels, made at the first call; None if nothing can."""
        if self._enricher is None and self.make_enricher is not None:
            self._enricher = self.make_enricher()
        return self._enricher

    @abstractmethod
    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments. AudioError if it cannot be read."""

    def transcribe(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
    ) -> Transcript:
        """All of one input. AudioError if it cannot be read."""
        run = self.run(source, options, rate_hz=rate_hz)
        return run.transcript(run)


def transcript_of(
    segments: Iterable[Segment], options: RecognizeOptions, duration_s: float, language: str = ""
) -> Transcript:
    """Segments as a transcript, in the language of most of what was said, or else in `language`.

    Who made it, and of what, is to be added.
    """
    segments = tuple(segments)
    spoken = Counter[str]()
    for segment in segments:
        if segment.text:
            spoken[segment.language] += len(segment.text)
    translates = options.task != "asr"
    return Transcript(
        segments=segments,
        language=spoken.most_common(1)[0][0] if spoken else language or options.language or "und",
        duration_s=round(duration_s, 3),
        task="ast" if translates else "asr",
        translation_language=options.to if translates else None,
    )


class Run(ABC):
    """One input on its way through a recogniser: an iterator of segments, in order of time."""

    def __init__(
        self,
        recognizer: Listener,
        wave: Wave,
        source: Source,
        options: RecognizeOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self._recognizer = recognizer
        self.wave = wave
        self.source = source if isinstance(source, str) else ""
        self._options = options
        self._on_progress = on_progress or (lambda done_s, total_s: None)
        try:
            self._enrichment = recognizer.enrichment(options)
        except MooerError:
            wave.close()
            raise
        self._writer = Writer(options)
        self._overhearing: list[Callable[[Samples], None]] = []
        self._num_samples = 0
        self._total_s = wave.duration_s
        self._segments = self._recognize()
        self.language = options.language or "und"
        self.language_probability: float | None = None

    def __iter__(self) -> Iterator[Segment]:
        return self._segments

    def transcript(self, segments: Iterable[Segment]) -> Transcript:
        """The transcript of `segments`, which this run gave; asked for when it is at its end."""
        segments = tuple(segments)  # the run itself, perhaps: now it is at its end
        duration_s = self._num_samples / SAMPLE_RATE_HZ
        return replace(
            transcript_of(segments, self._options, duration_s, self.language),
            model=self._recognizer.name,
            source=self.source,
            language_probability=self.language_probability,
            versions=self._recognizer.versions,
            warnings=tuple(self.wave.warnings),
        )

    @abstractmethod
    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        """Each chunk, in order, with the segments that were made of it."""

    def _recognize(self) -> Iterator[Segment]:
        with self.wave:
            yield from self.segments(self.decoded(self.chunks()))

    def chunks(self) -> Iterator[Chunk]:
        """The speech of the input, to be decoded; it is read as they are asked for, and once."""
        return pack(self.spans(), self._options.max_chunk_s)

    def spans(self) -> Iterator[Span]:
        """Speech as the VAD finds it, none longer than a chunk may be."""
        options, enrichment = self._options, self._enrichment
        blocks = self._counted(self.wave.blocks())
        spans = speech_spans(
            enrichment.blocks(blocks) if enrichment else blocks,
            self._recognizer.vad,
            options.vad,
            max_s=options.max_chunk_s,
        )
        return enrichment.spans(spans) if enrichment else spans

    def segments(self, decoded: Iterable[tuple[Chunk, Iterable[Segment]]]) -> Iterator[Segment]:
        """What was made of all chunks, in order of time."""
        last_s = 0.0
        enrichment = self._enrichment
        for chunk, segments in decoded:
            for segment in enrichment.segments(chunk, segments) if enrichment else segments:
                # Two chunks share no sample, but rounding must not let times cross.
                start_s = max(segment.start_s, last_s)
                last_s = max(segment.end_s, start_s)
                yield self._finished(replace(segment, start_s=start_s, end_s=last_s))
            self._on_progress(chunk.end_s, self._total_s)
        yield from enrichment.rest() if enrichment else ()
        done_s = self._num_samples / SAMPLE_RATE_HZ
        self._on_progress(done_s, done_s)

    def _finished(self, segment: Segment) -> Segment:
        """As it is written, and without the times of words if they are not asked for."""
        segment = self._writer.write(segment)
        return segment if self._options.words else replace(segment, words=None)

    def close(self) -> None:
        """Let go of an input that was not read to its end; closing it twice does no harm."""
        self.wave.close()

    def overhear(self, push: Callable[[Samples], None]) -> None:
        """Give each block of samples [T] at 16 kHz to `push` too, in order, as it is read."""
        self._overhearing.append(push)

    def _counted(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._num_samples += len(block)
            for push in self._overhearing:
                push(block)
            yield block

    def _in_script(self, text: str, language: str) -> str:
        """Chinese in the script that is wanted; any other text as it is."""
        return in_script(text, language, self._options.script)

    def timed(self, chunk: Chunk, sentence: Sequence[TimedWord], language: str) -> list[Word]:
        """The words of a chunk with their times in the input, Chinese in the script wanted."""
        texts = [word.text for word in sentence]
        whole = self._in_script("".join(texts), language)
        if len(whole) == sum(map(len, texts)):  # context decides some characters
            cut, begin = [], 0
            for text in texts:
                cut.append(whole[begin : begin + len(text)])
                begin += len(text)
            texts = cut
        else:
            texts = [self._in_script(text, language) for text in texts]
        words: list[Word] = []
        for text, word in zip(texts, sentence, strict=True):
            start_s = chunk.input_time_s(word.start_s)
            end_s = max(start_s, chunk.input_time_s(word.end_s, ending=True))
            words.append(Word(round(start_s, 3), round(end_s, 3), text, round(word.probability, 4)))
        return words
