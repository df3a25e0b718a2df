"""SenseVoice as a recogniser: each chunk of speech is one segment, with its labels.

    recognizer = load_sense_voice(Path("SenseVoiceSmall"), vad)
    recognizer.transcribe("talk.mp3")
    recognizer.hear([samples])[0].emotion

The network says no times: a segment is as long as its chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mooer.audio.frontend import Frontend
from mooer.audio.vad import Samples, SpeechModel
from mooer.audio.wave import SAMPLE_RATE_HZ, Source, open_wave
from mooer.engines.llm import usable_cores
from mooer.engines.sense_voice import SenseVoiceOnnx
from mooer.errors import ConfigError, MissingExtra
from mooer.infer.guarded import RecognizeOptions
from mooer.infer.longform import Chunk, batches
from mooer.infer.run import Listener, OnProgress, Run
from mooer.models.sense_voice_folder import ONNX, read_frontend, read_settings, vocabulary_file
from mooer.models.sense_voice_labels import (
    LANGUAGE_QUERIES,
    STYLE_QUERIES,
    Rich,
    Vocabulary,
    read_vocabulary,
)
from mooer.text import find_language
from mooer.transcript import Segment

BATCH_S = 60.0  # of sound in one batch, padding included
_AHEAD = 4  # batches that are read at once, so that chunks of like length go together
_NOT_SPEECH = "nospeech"


class Network(Protocol):
    """SenseVoice on torch or on onnxruntime."""

    @property
    def num_classes(self) -> int | None:
        """V, if it is known before anything is heard."""
        ...

    def log_probs(
        self, features: Sequence[NDArray[np.float32]], language: int, style: int
    ) -> list[NDArray[np.float32]]:
        """Log-probabilities [4 + F, V] of each utterance [F, M]."""
        ...


class SenseVoiceRecognizer(Listener):
    """SenseVoice with a VAD before it; use one from one thread.

    With `itn` the text has punctuation and numbers as digits. With `ban_unknown_emotion` each
    chunk is given an emotion. `batch_s` bounds the seconds of sound in a batch.
    """

    is_rich = True

    def __init__(
        self,
        network: Network,
        frontend: Frontend,
        vocabulary: Vocabulary,
        vad: SpeechModel,
        *,
        name: str = "",
        versions: dict[str, str],
    ) -> None:
        super().__init__(vad, name=name, versions=versions)
        self.network = network
        self.frontend = frontend
        self.vocabulary = vocabulary
        self.itn = True
        self.ban_unknown_emotion = False
        self.batch_s = BATCH_S

    def run(
        self,
        source: Source,
        options: RecognizeOptions | None = None,
        *,
        rate_hz: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Open an input; iterate the result for segments.

        AudioError if it cannot be read; ConfigError for what SenseVoice cannot do.
        """
        options = options or RecognizeOptions()
        if options.task != "asr":
            raise ConfigError(
                f"SenseVoice transcribes and does not translate: no task {options.task}"
            )
        for name in ("prompt", "hotwords", "words"):
            if getattr(options, name):
                raise ConfigError(f"SenseVoice has no use for {name}: leave it out")
        _query(options.language)
        return _SenseVoiceRun(
            self, open_wave(source, rate_hz=rate_hz), source, options, on_progress
        )

    def hear(self, utterances: Sequence[Samples], language: str | None = None) -> list[Rich]:
        """Text and labels of each utterance [T] at 16 kHz; without a language it is detected.

        AudioError for one of less than 25 ms.
        """
        features = [self.frontend(samples) for samples in utterances]
        style = STYLE_QUERIES["withitn" if self.itn else "woitn"]
        found: dict[int, Rich] = {}
        for places in _by_length([len(u) / SAMPLE_RATE_HZ for u in utterances], self.batch_s):
            said = self.network.log_probs([features[i] for i in places], _query(language), style)
            for i, log_probs in zip(places, said, strict=True):
                found[i] = self.vocabulary.read(
                    log_probs, ban_unknown_emotion=self.ban_unknown_emotion
                )
        return [found[i] for i in range(len(utterances))]


def load_sense_voice(
    folder: Path, vad: SpeechModel, *, num_threads: int | None = None
) -> SenseVoiceRecognizer:
    """The released folder, on onnxruntime if it holds a model.onnx, else on torch.

    torch runs on the GPU if there is one. ModelError lists what is missing or does not fit.
    """
    vocabulary = read_vocabulary(vocabulary_file(folder))
    frontend = read_frontend(folder, read_settings(folder))
    versions = {"mooer": version("mooer")}
    network: Network
    if (folder / ONNX).is_file():
        network = SenseVoiceOnnx(folder / ONNX, num_threads=num_threads or usable_cores())
        versions["onnxruntime"] = version("onnxruntime")
    else:
        network = _on_torch(folder, num_threads)
        versions["torch"] = version("torch")
    if network.num_classes is not None:
        vocabulary.require(network.num_classes)
    name = folder.resolve().name
    return SenseVoiceRecognizer(network, frontend, vocabulary, vad, name=name, versions=versions)


def _on_torch(folder: Path, num_threads: int | None) -> Network:
    try:
        import torch

        from mooer.models.sense_voice import load
    except ImportError as error:
        raise MissingExtra(error.name or "torch", "train") from error
    if num_threads:
        torch.set_num_threads(num_threads)
    return load(folder, "cuda" if torch.cuda.is_available() else "cpu")


class _SenseVoiceRun(Run):
    """One input on its way through SenseVoice."""

    _recognizer: SenseVoiceRecognizer

    def decoded(self, chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, Iterable[Segment]]]:
        for together in batches(chunks, self._options.batch_size * _AHEAD):
            sounds = [chunk.samples for chunk in together]
            heard = self._recognizer.hear(sounds, self._options.language)
            for chunk, rich in zip(together, heard, strict=True):
                yield chunk, self._to_segments(chunk, rich)

    def _to_segments(self, chunk: Chunk, rich: Rich) -> Iterator[Segment]:
        if not rich.text:
            return
        language = "und"
        if self._options.language:
            language = find_language(self._options.language)
        elif rich.language and rich.language.name != _NOT_SPEECH:
            language = rich.language.name
        yield Segment(
            start_s=chunk.input_time_s(0.0),
            end_s=chunk.end_s,
            text=self._in_script(rich.text, language),
            language=language,
            avg_logprob=round(rich.avg_logprob, 4),
        )


def _query(language: str | None) -> int:
    """Row of the language's query. ConfigError for one that SenseVoice does not know."""
    code = find_language(language) if language else "auto"
    if code not in LANGUAGE_QUERIES:
        known = ", ".join(sorted(set(LANGUAGE_QUERIES) - {"auto", _NOT_SPEECH}))
        raise ConfigError(f"SenseVoice does not know the language {code}: it knows {known}")
    return LANGUAGE_QUERIES[code]


def _by_length(durations_s: Sequence[float], batch_s: float) -> Iterator[list[int]]:
    """Places of utterances in batches, long ones first, of at most `batch_s` with their padding.

    >>> list(_by_length([3.0, 9.0, 8.0, 2.0], 20.0))
    [[1, 2], [0, 3]]
    """
    held: list[int] = []
    for i in sorted(range(len(durations_s)), key=lambda i: -durations_s[i]):
        if held and durations_s[held[0]] * (len(held) + 1) > batch_s:
            yield held
            held = []
        held.append(i)
    if held:
        yield held
