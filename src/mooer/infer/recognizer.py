"""Sound in, transcript out: find speech, decode it in batches, doubt it, time it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from mooer.audio.vad import Samples, SpeechModel, VadOptions, speech_spans
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, Wave, open_wave
from mooer.decoding import rules
from mooer.engines.whisper import (
    MAX_WINDOW_S,
    Decoded,
    DecodeOptions,
    Encoded,
    TimedWord,
    Whisper,
)
from mooer.errors import ConfigError
from mooer.infer.longform import Chunk, batches, groups, pack, sentences
from mooer.text import to_simplified, to_traditional
from mooer.transcript import Segment, Transcript, Word

logger = logging.getLogger(__name__)

_SURE_OF_LANGUAGE = 0.5  # below it, more chunks are asked
_CHUNKS_TO_ASK = 4
SCRIPTS = ("hans", "hant")

OnProgress = Callable[[float, float | None], None]  # seconds done, seconds in all if known


@dataclass(frozen=True)
class RecognizeOptions:
    """What is wanted of a recogniser."""

    language: str | None = None  # code or name; None: detected from the first speech
    task: str = "asr"  # asr | ast (the recogniser's own translation into English)
    beam_size: int = 5
    temperatures: tuple[float, ...] = (0.4, 0.8)  # tried in turn while guards fire
    prompt: str = ""  # text in whose style and spelling to go on
    hotwords: str = ""  # words to expect
    script: str = "hans"  # of Chinese: hans (Simplified) | hant (Traditional)
    words: bool = False  # keep word times
    vad: VadOptions = field(default_factory=VadOptions)
    max_chunk_s: float = 20.0
    batch_size: int = 8

    def __post_init__(self) -> None:
        if self.task not in ("asr", "ast"):
            raise ConfigError(f"task must be asr or ast, not {self.task!r}")
        if self.script not in SCRIPTS:
            raise ConfigError(f"script must be hans or hant, not {self.script!r}")
        if not 1 <= self.beam_size <= 20:
            raise ConfigError(f"beam size must be between 1 and 20, not {self.beam_size}")
        if not 1.0 <= self.max_chunk_s <= MAX_WINDOW_S:
            raise ConfigError(f"chunks must be of 1 to 30 s, not {self.max_chunk_s}")
        if self.batch_size < 1:
            raise ConfigError(f"batch size must be at least 1, not {self.batch_size}")


@dataclass
class _Heard:
    """A chunk and the best that was decoded of it."""

    chunk: Chunk
    encoded: Encoded
    decoded: Decoded
    faults: tuple[str, ...]
    temperature: float = 0.0
    words: list[TimedWord] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, float]:
        """Lower is better: graver faults weigh more, then the log-probability."""
        weights = {name: 2 ** (len(rules.RULES) - i) for i, name in enumerate(rules.RULES)}
        return sum(weights[name] for name in self.faults), -self.decoded.avg_logprob


class Recognizer:
    """A Whisper model with a VAD before it and guards behind it; use one from one thread."""

    def __init__(
        self, engine: Whisper, vad: SpeechModel, *, name: str = "", versions: dict[str, str]
    ) -> None:
        self.engine = engine
        self.vad = vad
        self.name = name
        self.versions = versions

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments. AudioError if it cannot be read."""
        options = options or RecognizeOptions()
        if options.language:
            options = replace(options, language=self.engine.check_language(options.language))
        return Run(self, open_wave(source, rate_hz=rate_hz), source, options, on_progress)

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


class Run:
    """One input on its way through a recogniser: an iterator of segments, in order of time."""

    def __init__(
        self,
        recognizer: Recognizer,
        wave: Wave,
        source: Source,
        options: RecognizeOptions,
        on_progress: OnProgress | None,
    ) -> None:
        self._recognizer = recognizer
        self._engine = recognizer.engine
        self._wave = wave
        self._source = source if isinstance(source, str) else ""
        self._options = options
        self._on_progress = on_progress or (lambda done_s, total_s: None)
        self._num_samples = 0
        self._segments = self._recognize()
        self.language = options.language or "und"
        self.language_probability: float | None = None

    def __iter__(self) -> Iterator[Segment]:
        return self._segments

    def transcript(self, segments: Iterable[Segment]) -> Transcript:
        """The transcript of `segments`, which this run gave; asked for when it is at its end."""
        segments = tuple(segments)
        spoken = Counter[str]()
        for segment in segments:
            spoken[segment.language] += max(1, len(segment.text))
        return Transcript(
            segments=segments,
            language=spoken.most_common(1)[0][0] if spoken else self.language,
            duration_s=round(self._num_samples / SAMPLE_RATE_HZ, 3),
            task=self._options.task,
            model=self._recognizer.name,
            source=self._source,
            language_probability=self.language_probability,
            translation_language="en" if self._options.task == "ast" else None,
            versions=self._recognizer.versions,
            warnings=tuple(self._wave.warnings),
        )

    def _recognize(self) -> Iterator[Segment]:
        options = self._options
        with self._wave as wave:
            total_s = wave.duration_s
            spans = speech_spans(
                self._counted(wave.blocks()),
                self._recognizer.vad,
                options.vad,
                max_s=options.max_chunk_s,
            )
            last_s = 0.0
            for batch in batches(pack(spans, options.max_chunk_s), options.batch_size):
                for heard in self._decode(batch):
                    for segment in self._to_segments(heard):
                        # Two chunks share no sample, but rounding must not let times cross.
                        start_s = max(segment.start_s, last_s)
                        last_s = max(segment.end_s, start_s)
                        yield replace(segment, start_s=start_s, end_s=last_s)
                    self._on_progress(heard.chunk.end_s, total_s)
            done_s = self._num_samples / SAMPLE_RATE_HZ
            self._on_progress(done_s, done_s)
        for warning in self._wave.warnings:
            logger.warning("%s", warning)

    def _counted(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        for block in blocks:
            self._num_samples += len(block)
            yield block

    def _decode(self, batch: list[Chunk]) -> list[_Heard]:
        """What was said in each chunk of a batch, in their order."""
        found: dict[int, _Heard] = {}
        for window_s, indices in groups(batch):
            chunks = [batch[i] for i in indices]
            encoded = [self._engine.encode(chunk.samples, window_s) for chunk in chunks]
            if self.language == "und":
                self._detect(encoded)
            heard = self._attempt(chunks, encoded)
            for k, one in enumerate(heard):
                heard[k] = self._mended(one) if one.faults else one
            self._align(heard)
            found.update(zip(indices, heard, strict=True))
        return [found[i] for i in range(len(batch))]

    def _detect(self, encoded: list[Encoded]) -> None:
        """Language of the run, by the mean of some chunks if the first does not tell it."""
        scores = Counter[str]()
        asked = 0
        for one in encoded[:_CHUNKS_TO_ASK]:
            asked += 1
            scores.update(dict(self._engine.detect_language(one)))
            if scores.most_common(1)[0][1] / asked >= _SURE_OF_LANGUAGE:
                break
        self.language, total = scores.most_common(1)[0]
        self.language_probability = round(total / asked, 4)
        logger.info("language: %s (%.0f %%)", self.language, 100 * total / asked)

    def _attempt(
        self,
        chunks: list[Chunk],
        encoded: list[Encoded],
        *,
        temperature: float = 0.0,
        prompted: bool = True,
    ) -> list[_Heard]:
        options = self._options
        prompt, hotwords = (options.prompt, options.hotwords) if prompted else ("", "")
        decoded = self._engine.decode(
            encoded,
            self.language,
            DecodeOptions(
                beam_size=options.beam_size,
                temperature=temperature,
                prompt=prompt,
                hotwords=hotwords,
                task="translate" if options.task == "ast" else "transcribe",
            ),
            max_tokens=max(rules.max_tokens(chunk.duration_s) for chunk in chunks),
        )
        result = []
        for chunk, code, said in zip(chunks, encoded, decoded, strict=True):
            known = rules.Heard(chunk.duration_s, chunk.speech_prob, f"{hotwords} {prompt}")
            hypothesis = rules.Hypothesis(
                said.text, len(said.tokens), said.avg_logprob, said.no_speech_prob
            )
            faults = rules.faults(hypothesis, known)
            result.append(_Heard(chunk, code, said, faults, temperature))
        return result

    def _mended(self, first: _Heard) -> _Heard:
        """The best of further ways to decode a chunk: a full window, then by sampling."""
        if "over_silence" in first.faults:
            return first
        best = first
        prompted = "leaks_prompt" not in first.faults
        full = first.encoded
        if full.window_s < MAX_WINDOW_S:
            full = self._engine.encode(first.chunk.samples, MAX_WINDOW_S)
        for temperature in (0.0, *self._options.temperatures):
            [again] = self._attempt(
                [first.chunk], [full], temperature=temperature, prompted=prompted
            )
            best = min(best, again, key=lambda heard: heard.rank)
            if not best.faults:
                break
        logger.debug("%s at %.1f s -> %s", first.faults, first.chunk.end_s, best.faults)
        return best

    def _align(self, heard: list[_Heard]) -> None:
        if self._options.task == "ast":
            return  # attention to the words of another language does not run with time
        by_window: dict[float, list[_Heard]] = {}
        for one in heard:
            if one.decoded.tokens and "over_silence" not in one.faults:
                by_window.setdefault(one.encoded.window_s, []).append(one)
        for group in by_window.values():
            aligned = self._engine.align(
                [one.encoded for one in group],
                [one.decoded.tokens for one in group],
                self.language,
            )
            for one, words in zip(group, aligned, strict=True):
                one.words = words

    def _to_segments(self, heard: _Heard) -> Iterator[Segment]:
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
                text=self._in_script(text),
                translation=text if self._options.task == "ast" else None,
            )
            return
        for sentence in sentences(heard.words):
            words = self._timed(chunk, sentence)
            text = "".join(word.text for word in words).strip()
            if text:
                yield replace(
                    blank,
                    start_s=words[0].start_s,
                    end_s=words[-1].end_s,
                    text=text,
                    words=tuple(replace(w, text=w.text.strip()) for w in words)
                    if self._options.words
                    else None,
                )

    def _timed(self, chunk: Chunk, sentence: list[TimedWord]) -> list[Word]:
        texts = [word.text for word in sentence]
        whole = self._in_script("".join(texts))
        if len(whole) == sum(map(len, texts)):  # context decides some characters
            cut, begin = [], 0
            for text in texts:
                cut.append(whole[begin : begin + len(text)])
                begin += len(text)
            texts = cut
        else:
            texts = [self._in_script(text) for text in texts]
        words: list[Word] = []
        for text, word in zip(texts, sentence, strict=True):
            start_s = chunk.input_time_s(word.start_s)
            end_s = max(start_s, chunk.input_time_s(word.end_s, ending=True))
            words.append(Word(round(start_s, 3), round(end_s, 3), text, round(word.probability, 4)))
        return words

    def _in_script(self, text: str) -> str:
        if self.language not in ("zh", "yue"):
            return text
        return to_simplified(text) if self._options.script == "hans" else to_traditional(text)
