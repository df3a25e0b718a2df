"""SenseVoice as a recogniser: words with times, and the language, emotion and event of a chunk.

    recognizer = load_sense_voice(Path("SenseVoiceSmall"), vad)
    recognizer.transcribe("talk.mp3").segments[0].emotion
    recognizer.hear([samples])[0].event

A token is where CTC is surest of it (frames of 60 ms), as FunASR counts: words are heard there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.frontend import Frontend
from mooer.audio.vad import Samples, SpeechModel
from mooer.config import override
from mooer.engines.device import AUTO
from mooer.engines.sense_voice import SenseVoiceOnnx
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError
from mooer.infer.ctc_search import CtcSearch, Spelling, log_softmax
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk
from mooer.infer.one_pass import (
    OnePassRecognizer,
    OnePassRun,
    in_batches,
    refuse,
    timed_words,
)
from mooer.infer.released import ReleasedOptions, open_network
from mooer.models.funasr_folder import read_frontend
from mooer.models.sense_voice_folder import read_settings, vocabulary_file
from mooer.models.sense_voice_labels import (
    BLANK,
    EMOTIONS,
    EVENTS,
    FRAME_S,
    LANGUAGE_QUERIES,
    NUM_QUERIES,
    STYLE_QUERIES,
    UNKNOWN_EVENT,
    Rich,
    Token,
    Vocabulary,
    read_vocabulary,
)
from mooer.text import find_language
from mooer.transcript import Event, Label, Segment

_NOT_SPEECH = "nospeech"
_HEARD_BESIDE_SPEECH = ("Speech", "Speech_Noise", UNKNOWN_EVENT)  # no segment without words


@dataclass(frozen=True)
class SenseVoiceOptions(ReleasedOptions):
    """What SenseVoice is asked for, and how it is run."""

    itn: bool = True  # punctuation, and numbers as figures (the text-norm query)
    ban_emo_unk: bool = False  # every chunk is given an emotion


class Network(Protocol):
    """SenseVoice on torch or on onnxruntime."""

    @property
    def num_classes(self) -> int | None:
        """V, if it is known before anything is heard."""
        ...

    def logits(
        self, features: Sequence[NDArray[np.float32]], language: int, style: int
    ) -> list[NDArray[np.float32]]:
        """Logits [4 + F, V] of each utterance [F, M]."""
        ...


class SenseVoiceRecognizer(OnePassRecognizer[Rich]):
    """SenseVoice with a VAD before it; use one from one thread."""

    is_rich = True

    def __init__(
        self,
        network: Network,
        frontend: Frontend,
        vocabulary: Vocabulary,
        vad: SpeechModel,
        options: SenseVoiceOptions = SenseVoiceOptions(),
        *,
        name: str = "",
        versions: dict[str, str],
    ) -> None:
        super().__init__(vad, options, name=name, versions=versions)
        self.network = network
        self.frontend = frontend
        self.vocabulary = vocabulary
        self.options = options

    def check(self, options: RecognizeOptions) -> None:
        """ConfigError for a task or a language that it does not know."""
        refuse(options, "SenseVoice", "prompt", "hotwords")
        query_of(options.language)
        if options.fusion is not None:
            self.search(options)

    def hear(self, utterances: Sequence[Samples], language: str | None = None) -> list[Rich]:
        """Text and labels of each utterance [T] at 16 kHz; without a language it is detected.

        AudioError for one of less than 25 ms.
        """
        return self._hear(utterances, language, None)

    def hear_as(self, utterances: Sequence[Samples], options: RecognizeOptions) -> list[Rich]:
        """The same; with a fusion texts are searched for as they are spoken, without marks."""
        search = self.search(options) if options.fusion else None
        return self._hear(utterances, options.language, search)

    def search(self, options: RecognizeOptions) -> CtcSearch:
        """What the options look for."""
        spelling = Spelling(self.vocabulary.spoken, BLANK)
        return CtcSearch(spelling, fusion=options.fusion, beam_size=options.beam_size)

    def _hear(
        self, utterances: Sequence[Samples], language: str | None, search: CtcSearch | None
    ) -> list[Rich]:
        features = [self.frontend(samples) for samples in utterances]
        itn = self.options.itn and search is None
        style = STYLE_QUERIES["withitn" if itn else "woitn"]
        found: dict[int, Rich] = {}
        for places in in_batches(utterances, self.options.batch_size_s):
            chosen = [features[i] for i in places]
            for i, logits in zip(
                places, self.network.logits(chosen, query_of(language), style), strict=True
            ):
                one = self.vocabulary.read(logits, ban_unknown_emotion=self.options.ban_emo_unk)
                found[i] = one if search is None else _searched(one, logits, search)
        return [found[i] for i in range(len(utterances))]

    def to_segments(self, run: OnePassRun[Rich], chunk: Chunk, heard: Rich) -> Iterator[Segment]:
        """The sentences of a chunk; each is given the labels that the whole chunk has."""
        start_s, end_s = chunk.input_time_s(0.0), chunk.end_s
        if not heard.text:
            if heard.event and heard.event.name not in _HEARD_BESIDE_SPEECH:
                events = _events(heard, start_s, end_s)
                yield Segment(start_s, end_s, "", "und", events=events)
            return
        language, probability = _language(heard, run.asked_language)
        blank = Segment(
            start_s,
            end_s,
            "",
            language,
            avg_logprob=round(heard.avg_logprob, 4),
            emotion=_emotion(heard),
            language_probability=probability,
        )
        for segment in run.sentences(chunk, words_of(heard, chunk.duration_s), blank):
            yield replace(segment, events=_events(heard, segment.start_s, segment.end_s))


def load_sense_voice(
    folder: Path,
    vad: SpeechModel,
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    options: SenseVoiceOptions = SenseVoiceOptions(),
) -> SenseVoiceRecognizer:
    """The released folder, on onnxruntime if it holds a file for it, else on torch.

    torch runs on the GPU if there is one, or as `device` says. ModelError lists what is missing or
    does not fit.
    """
    vocabulary = read_vocabulary(vocabulary_file(folder))
    frontend = read_frontend(folder, read_settings(folder).front)
    network, versions = open_network(
        folder, options, device, num_threads, on_onnx=_on_onnx, on_torch=_on_torch
    )
    if network.num_classes is not None:
        vocabulary.require(network.num_classes)
    name = folder.resolve().name
    return SenseVoiceRecognizer(
        network, frontend, vocabulary, vad, options, name=name, versions=versions
    )


def options_from(parts: Mapping[str, str]) -> SenseVoiceOptions:
    """Options by name, as a command line gives them. ConfigError names the nearest."""
    return override(SenseVoiceOptions(), [f"{name}={value}" for name, value in parts.items()])


def _on_onnx(path: Path, num_threads: int) -> Network:
    return SenseVoiceOnnx(path, num_threads=num_threads)


def _on_torch(folder: Path, device: str) -> Network:
    from mooer.models.sense_voice import load

    return load(folder, device)


def _searched(heard: Rich, logits: NDArray[np.float32], search: CtcSearch) -> Rich:
    """The labels with the text that a search finds in logits [4 + F, V]."""
    said = search.heard(log_softmax(logits[NUM_QUERIES:]), FRAME_S)
    pieces = search.spelling.pieces
    tokens = tuple(
        Token(one.unit, pieces[one.unit], one.start, one.end, one.logprob) for one in said
    )
    return replace(heard, text="".join(one.text for one in tokens).strip(), tokens=tokens)


def words_of(heard: Rich, duration_s: float) -> list[TimedWord]:
    """The words of an utterance of that length, in seconds from its beginning."""

    def time_s(frame: int) -> float:
        return min(max(0.0, (frame - 0.5) * FRAME_S), duration_s)

    return timed_words(
        (token.text, time_s(token.start), time_s(token.end), math.exp(token.log_prob))
        for token in heard.tokens
        if token.text
    )


def _language(heard: Rich, asked: str | None) -> tuple[str, float | None]:
    if asked:
        return find_language(asked), None
    if heard.language is None or heard.language.name == _NOT_SPEECH:
        return "und", None
    return heard.language.name, round(heard.language.probability, 4)


def _emotion(heard: Rich) -> Label | None:
    if heard.emotion is None:
        return None
    return Label(EMOTIONS[heard.emotion.name], round(heard.emotion.probability, 4))


def _events(heard: Rich, start_s: float, end_s: float) -> tuple[Event, ...]:
    if heard.event is None or heard.event.name == UNKNOWN_EVENT:
        return ()
    name, probability = EVENTS[heard.event.name], round(heard.event.probability, 4)
    return (Event(start_s, end_s, name, probability),)


def query_of(language: str | None) -> int:
    """Row of the language's query. ConfigError for one that SenseVoice does not know."""
    code = find_language(language) if language else "auto"
    if code not in LANGUAGE_QUERIES:
        known = ", ".join(sorted(set(LANGUAGE_QUERIES) - {"auto", _NOT_SPEECH}))
        raise ConfigError(f"SenseVoice does not know the language {code}: it knows {known}")
    return LANGUAGE_QUERIES[code]
