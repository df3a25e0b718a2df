"""Paraformer as a recogniser of Chinese with English words in it: text without punctuation, times.

recognizer = load_paraformer(Path("speech_paraformer-large…"), vad)
recognizer.transcribe("talk.mp3")
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
from mooer.engines.paraformer import ParaformerOnnx
from mooer.engines.whisper import TimedWord
from mooer.errors import ConfigError
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
from mooer.models.cif_times import token_times
from mooer.models.funasr_folder import read_frontend
from mooer.models.paraformer_folder import Tokens, read_settings, read_tokens
from mooer.text import find_language, is_cjk
from mooer.transcript import Segment

_LANGUAGES = ("zh", "en")
_FRAME_S = 0.06
_GOES_ON = "@@"  # at the end of a token: the next belongs to the same word


@dataclass(frozen=True)
class ParaformerOptions(ReleasedOptions):
    """How Paraformer is run."""


class Spoken(Protocol):
    """What a network says of one utterance."""

    @property
    def log_probs(self) -> NDArray[np.float32]: ...  # noqa: D102 (as the engines say)
    @property
    def weights(self) -> NDArray[np.float32]: ...  # noqa: D102
    @property
    def parts(self) -> int: ...  # noqa: D102


class Network(Protocol):
    """Paraformer on torch or on onnxruntime."""

    @property
    def num_tokens(self) -> int | None:
        """V, if it is known before anything is heard."""
        ...

    def say(self, features: Sequence[NDArray[np.float32]]) -> Sequence[Spoken]:
        """What is said in each utterance [F, M]."""
        ...


@dataclass(frozen=True)
class Heard:
    """The words of one utterance, in seconds from its beginning."""

    words: tuple[TimedWord, ...]
    avg_logprob: float  # natural log, mean over the tokens; 0 without any


class ParaformerRecognizer(OnePassRecognizer[Heard]):
    """Paraformer with a VAD before it; use one from one thread."""

    def __init__(
        self,
        network: Network,
        frontend: Frontend,
        tokens: Tokens,
        vad: SpeechModel,
        options: ParaformerOptions = ParaformerOptions(),
        *,
        name: str = "",
        versions: dict[str, str],
    ) -> None:
        super().__init__(vad, options, name=name, versions=versions)
        self.network = network
        self.frontend = frontend
        self.tokens = tokens
        self.options = options

    def check(self, options: RecognizeOptions) -> None:
        """ConfigError for a task or a language that it does not know."""
        refuse(options, "Paraformer", "prompt", "hotwords")
        if options.language and find_language(options.language) not in _LANGUAGES:
            raise ConfigError(
                f"Paraformer does not know the language {find_language(options.language)}: "
                f"it knows {' and '.join(_LANGUAGES)}"
            )

    def hear(self, utterances: Sequence[Samples], language: str | None = None) -> list[Heard]:
        """The words of each utterance [T] at 16 kHz; the language is not asked for.

        AudioError for one of less than 25 ms.
        """
        features = [self.frontend(samples) for samples in utterances]
        found: dict[int, Heard] = {}
        for places in in_batches(utterances, self.options.batch_size_s):
            said = self.network.say([features[i] for i in places])
            found |= {i: read(one, self.tokens) for i, one in zip(places, said, strict=True)}
        return [found[i] for i in range(len(utterances))]

    def to_segments(self, run: OnePassRun[Heard], chunk: Chunk, heard: Heard) -> Iterator[Segment]:
        """The sentences of a chunk, cut at its pauses."""
        language = find_language(run.asked_language) if run.asked_language else "zh"
        blank = Segment(0.0, 0.0, "", language, avg_logprob=round(heard.avg_logprob, 4))
        end_s = chunk.duration_s
        words = [replace(one, end_s=min(one.end_s, end_s)) for one in heard.words]
        yield from run.sentences(chunk, words, blank)


def load_paraformer(
    folder: Path,
    vad: SpeechModel,
    *,
    device: str = AUTO,
    num_threads: int | None = None,
    options: ParaformerOptions = ParaformerOptions(),
) -> ParaformerRecognizer:
    """The released folder, on onnxruntime if it holds a file for it, else on torch.

    torch runs on the GPU if there is one, or as `device` says. ModelError lists what is missing or
    does not fit.
    """
    tokens = read_tokens(folder)
    frontend = read_frontend(folder, read_settings(folder).front)
    network, versions = open_network(
        folder, options, device, num_threads, on_onnx=_on_onnx, on_torch=_on_torch
    )
    if network.num_tokens is not None:
        tokens.require(network.num_tokens)
    name = folder.resolve().name
    return ParaformerRecognizer(
        network, frontend, tokens, vad, options, name=name, versions=versions
    )


def options_from(parts: Mapping[str, str]) -> ParaformerOptions:
    """Options by name, as a command line gives them. ConfigError names the nearest."""
    return override(ParaformerOptions(), [f"{name}={value}" for name, value in parts.items()])


def _on_onnx(path: Path, num_threads: int) -> Network:
    return ParaformerOnnx(path, num_threads=num_threads)


def _on_torch(folder: Path, device: str) -> Network:
    from mooer.models.paraformer import load

    return load(folder, device)


def read(said: Spoken, tokens: Tokens) -> Heard:
    """The most probable tokens as words with times."""
    best = said.log_probs.argmax(axis=1)
    sure = np.take_along_axis(said.log_probs, best[:, None], axis=1)[:, 0].tolist()
    spoken = [
        (tokens.names[token], log_prob)
        for token, log_prob in zip(best.tolist(), sure, strict=True)
        if tokens.is_text(token)
    ]
    times = token_times(said.weights, len(spoken), _FRAME_S / said.parts)
    times = times or [(0.0, 0.0)] * len(spoken)  # a file without weights
    pieces = []
    within = ""  # the word goes on
    for (name, log_prob), (start_s, end_s) in zip(spoken, times, strict=True):
        text = name.removesuffix(_GOES_ON)
        spaced = "" if within or is_cjk(text[0]) else " "
        pieces.append((spaced + text, start_s, end_s, math.exp(log_prob)))
        within = _GOES_ON if name.endswith(_GOES_ON) else ""
    mean = sum(log_prob for _, log_prob in spoken) / len(spoken) if spoken else 0.0
    return Heard(tuple(abbreviated(timed_words(pieces))), mean)


def abbreviated(words: Sequence[TimedWord]) -> list[TimedWord]:
    """Runs of single letters as one word in capitals.

    >>> words = [TimedWord(text, 0.0, 1.0, 1.0) for text in (" t", " v", "台", " a")]
    >>> [word.text for word in abbreviated(words)]
    [' TV', '台', ' a']
    """
    made: list[TimedWord] = []
    runs: list[int] = []  # letters in each
    for word in words:
        text = word.text.strip()
        letter = len(text) == 1 and text.isascii() and text.isalpha()
        if letter and runs and runs[-1]:
            last = made[-1]
            mean = last.probability + (word.probability - last.probability) / (runs[-1] + 1)
            joined = f" {(last.text.strip() + text).upper()}"
            made[-1] = TimedWord(joined, last.start_s, word.end_s, mean)
            runs[-1] += 1
        else:
            made.append(word)
            runs.append(int(letter))
    return made
