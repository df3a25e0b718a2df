"""Recognisers that say a chunk in one pass, many chunks side by side: SenseVoice, Paraformer.

Spans of speech are joined to chunks of `merge_length_s`, chunks of like length share a batch of
`batch_size_s`, and what is said in a chunk is cut into sentences by the times of its words.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mooer.audio.vad import Samples, SpeechModel
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, open_wave
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError, MooerError
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, pack, sentences
from mooer.infer.pool import transcripts
from mooer.infer.run import Listener, OnProgress, Run
from mooer.text import is_cjk, join_text, split_words
from mooer.transcript import Segment, Transcript

H = TypeVar("H")

_AHEAD = 4  # batches that are read at once, so that chunks of like length go together
_TOGETHER = 32  # chunks of several inputs that are heard at once
_HELD_S = 0.6  # until the next word: less is no pause, since a network is sure of words for moments


@dataclass(frozen=True)
class OnePassOptions:
    """How speech is put before the network; the names of FunASR."""

    batch_size_s: float = 60.0  # seconds of sound in a batch, padding included
    merge_vad: bool = True  # join spans of speech to chunks, or hear each by itself
    merge_length_s: float = 15.0  # of such a chunk, unless one span alone is longer

    def __post_init__(self) -> None:
        for name in ("batch_size_s", "merge_length_s"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be above 0, not {getattr(self, name)}")


class OnePassRecognizer(Listener, Generic[H]):
    """A network with a VAD before it; use one from one thread. `H` is what it hears in a chunk."""

    def __init__(
        self, vad: SpeechModel, options: OnePassOptions, *, name: str, versions: dict[str, str]
    ) -> None:
        super().__init__(vad, name=name, versions=versions)
        self.merging = options

    @abstractmethod
    def hear(self, utterances: Sequence[Samples], language: str | None = None) -> list[H]:
        """What is said in each utterance [T] at 16 kHz. AudioError for one of less than 25 ms."""

    def hear_as(self, utterances: Sequence[Samples], options: RecognizeOptions) -> list[H]:
        """The same as the options wish; by itself a network asks for the language alone."""
        return self.hear(utterances, options.language)

    @abstractmethod
    def to_segments(self, run: OnePassRun[H], chunk: Chunk, heard: H) -> Iterator[Segment]:
        """The sentences of a chunk."""

    @abstractmethod
    def check(self, options: RecognizeOptions) -> None:
        """ConfigError for what it cannot do."""

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> OnePassRun[H]:
        """Open an input; iterate the result for segments.

        AudioError if it cannot be read; ConfigError for what the network cannot do.
        """
        options = options or RecognizeOptions()
        self.check(options)
        wave = open_wave(source, rate_hz=rate_hz)
        return OnePassRun(self, wave, source, options, on_progress)

    def transcribe_all(
        self, sources: Iterable[Source], options: RecognizeOptions | None = None
    ) -> Iterator[Transcript | MooerError]:
        """A transcript or an error for each input in order; chunks of several share a batch."""
        options = options or RecognizeOptions()
        self.check(options)

        def open_run(source: Source) -> OnePassRun[H]:
            return self.run(source, options)

        def decode(pairs: Sequence[tuple[OnePassRun[H], Chunk]]) -> list[Iterable[Segment]]:
            heard = self.hear_as([chunk.samples for _, chunk in pairs], options)
            return [
                self.to_segments(run, chunk, one)
                for (run, chunk), one in zip(pairs, heard, strict=True)
            ]

        return transcripts(sources, open_run, decode, _TOGETHER)


class OnePassRun(Run, Generic[H]):
    """One input on its way through such a network."""

    _recognizer: OnePassRecognizer[H]

    @property
    def asked_language(self) -> str | None:
        """The language that was asked for; None: the network finds it."""
        return self._options.language

    def chunks(self) -> Iterator[Chunk]:
        """Spans of speech, joined as the recogniser's options say."""
        merging = self._recognizer.merging
        longest_s = min(merging.merge_length_s, self._options.max_chunk_s)
        return pack(self.spans(), longest_s if merging.merge_vad else 0.0)

    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        """Each chunk with its sentences; several batches are read at once."""
        recognizer = self._recognizer
        for together in batches_of(chunks, recognizer.merging.batch_size_s * _AHEAD):
            heard = recognizer.hear_as([chunk.samples for chunk in together], self._options)
            for chunk, one in zip(together, heard, strict=True):
                yield chunk, recognizer.to_segments(self, chunk, one)

    def streamed(self) -> Iterator[str]:
        """The text in pieces, instead of segments: a sentence each."""
        written = ""
        for segment in self:
            before, written = written, join_text([written, segment.text])
            yield written[len(before) :]

    def sentences(
        self, chunk: Chunk, words: Sequence[TimedWord], blank: Segment
    ) -> Iterator[Segment]:
        """What was said in a chunk, cut at punctuation and pauses; `blank` is what all share."""
        begin = 0
        for sentence in sentences(held(words)):
            said = words[begin : begin + len(sentence)]
            begin += len(sentence)
            timed = self.timed(chunk, said, blank.language)
            text = "".join(word.text for word in timed).strip()
            if text:
                yield replace(
                    blank,
                    start_s=timed[0].start_s,
                    end_s=timed[-1].end_s,
                    text=text,
                    words=tuple(replace(word, text=word.text.strip()) for word in timed)
                    if self._options.words or self._options.punctuate
                    else None,
                )


def refuse(options: RecognizeOptions, name: str, *unused: str) -> None:
    """ConfigError for another task than transcription, and for options without a use."""
    if options.task != "asr":
        raise ConfigError(f"{name} transcribes and does not translate: no task {options.task}")
    for option in unused:
        if getattr(options, option):
            raise ConfigError(f"{name} has no use for {option}: leave it out")


def held(words: Sequence[TimedWord]) -> list[TimedWord]:
    """Words that last until the next begins, where it begins soon: gaps that are left are pauses.

    >>> held([TimedWord("a", 0.0, 0.1, 1.0), TimedWord("b", 0.5, 0.6, 1.0)])[0].end_s
    0.5
    """
    following = [*(word.start_s for word in words[1:]), 0.0][: len(words)]
    return [
        replace(word, end_s=begins_s) if 0 < begins_s - word.end_s < _HELD_S else word
        for word, begins_s in zip(words, following, strict=True)
    ]


def timed_words(pieces: Iterable[tuple[str, float, float, float]]) -> list[TimedWord]:
    """Words of pieces of text, each with start and end in seconds and its probability.

    A space begins a word, each Chinese character is one, and punctuation stays with what is
    before it. The probability is the mean over the pieces.

    >>> pieces = [(" so", 0, 1, 1.0), ("me", 1, 2, 0.5), ("好，", 2, 4, 1.0)]
    >>> [word.text for word in timed_words(pieces)]
    [' some', '好，']
    """
    words: list[TimedWord] = []
    counts: list[int] = []
    spaced = False  # a space was a piece of its own
    for text, start_s, end_s, probability in pieces:
        units = split_words(text)
        step_s = (end_s - start_s) / max(1, len(units))
        spaced = spaced or text[0] == " "
        for i, unit in enumerate(units):
            begin_s, stop_s = start_s + i * step_s, start_s + (i + 1) * step_s
            if words and not spaced and not _breaks(words[-1].text, unit):
                last = words[-1]
                counts[-1] += 1
                mean = last.probability + (probability - last.probability) / counts[-1]
                words[-1] = replace(last, text=last.text + unit, end_s=stop_s, probability=mean)
            else:
                words.append(TimedWord(" " * spaced + unit, begin_s, stop_s, probability))
                counts.append(1)
            spaced = text[-1] == " " and i == len(units) - 1
    return words


def _breaks(before: str, unit: str) -> bool:
    """Whether a unit that no space precedes begins a word."""
    if not unit[0].isalnum():
        return False
    return is_cjk(unit[0]) or is_cjk(before[-1])


def batches_of(chunks: Iterable[Chunk], most_s: float) -> Iterator[list[Chunk]]:
    """Lists of chunks of up to so many seconds: the first alone, then 1/8, 1/4 … of them."""
    together: list[Chunk] = []
    wanted_s, total_s = 0.0, 0.0
    for chunk in chunks:
        together.append(chunk)
        total_s += chunk.duration_s
        if total_s >= wanted_s:
            yield together
            wanted_s = min(most_s, 2 * wanted_s or most_s / 8)
            together, total_s = [], 0.0
    if together:
        yield together


def by_length(durations_s: Sequence[float], batch_s: float) -> Iterator[list[int]]:
    """Places of utterances in batches, long ones first, of at most `batch_s` with their padding.

    >>> list(by_length([3.0, 9.0, 8.0, 2.0], 20.0))
    [[1, 2], [0, 3]]
    """
    together: list[int] = []
    for i in sorted(range(len(durations_s)), key=lambda i: -durations_s[i]):
        if together and durations_s[together[0]] * (len(together) + 1) > batch_s:
            yield together
            together = []
        together.append(i)
    if together:
        yield together


def in_batches(utterances: Sequence[Samples], batch_s: float) -> Iterator[list[int]]:
    """The same of samples [T] at 16 kHz."""
    return by_length([len(one) / SAMPLE_RATE_HZ for one in utterances], batch_s)
