"""Whisper on CTranslate2 (Radford et al. 2022, arXiv:2212.04356): encode, decode, align.

Two things differ from the usual way to run it. The encoder sees a window little longer than the
speech instead of 30 s of mostly silence: attention over it costs its square, and every decoded
token reads all of it. And chunks are encoded one by one (a batch does not fit the caches of a
processor) but decoded together (there a batch reads the weights once).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.audio.features import log_mel
from mooer.engines.device import CPU, place
from mooer.errors import ConfigError, ModelError, did_you_mean
from mooer.text import find_language

logger = logging.getLogger(__name__)

MAX_WINDOW_S = 30.0  # length of the position table
MIN_WINDOW_S = 12.0  # in a shorter one the decoder does not find the end: it says all again
MARGIN_S = 2.0  # silence after the speech
WINDOW_STEP_S = 2.0  # windows of equal length are decoded together
FRAMES_PER_S = 100  # of the log-mel; the encoder halves it
_MAX_LENGTH = 448  # positions of the decoder
_MAX_PROMPT_TOKENS = 200  # half the context, less room for the task tokens
_SMALL_BYTES = 200 << 20  # of weights: tiny and base

Samples = NDArray[np.float32]


@dataclass(frozen=True)
class DecodeOptions:
    """How the decoder searches."""

    beam_size: int = 5
    patience: float = 1.0
    length_penalty: float = 1.0
    temperature: float = 0.0  # 0: beam search; else sampling
    best_of: int = 5  # samples to choose from
    num_best: int = 1  # hypotheses of the beam that are given back; at most `beam_size`
    prompt: str = ""  # text before, in whose style and spelling it goes on
    hotwords: str = ""
    task: str = "transcribe"  # or "translate", into English
    timestamps: bool = False  # let it write time tokens too (they are dropped): another style
    prefix: tuple[int, ...] = ()  # its first tokens; the probability is that of what follows
    seed: int = 0


@dataclass(frozen=True)
class Encoded:
    """Encoder output of one chunk."""

    output: Any  # StorageView [1, F, D], on the processor
    window_s: float
    duration_s: float  # of the samples, without the silence after them


@dataclass(frozen=True)
class Decoded:
    """A hypothesis of one chunk."""

    text: str
    tokens: tuple[int, ...]  # of the text alone
    avg_logprob: float  # natural log, mean over tokens, eos included
    no_speech_prob: float
    logprob: float = 0.0  # natural log of all tokens that were not given, eos included


@dataclass(frozen=True)
class TimedWord:
    """A word as the tokenizer spaces it (" word"), in seconds from the start of its chunk."""

    text: str
    start_s: float
    end_s: float
    probability: float


def window_for(duration_s: float, min_s: float = MIN_WINDOW_S) -> float:
    """Length of the window that the encoder is shown for speech of this length."""
    wanted = np.ceil((duration_s + MARGIN_S) / WINDOW_STEP_S) * WINDOW_STEP_S
    return float(min(MAX_WINDOW_S, max(min_s, wanted)))


def is_small(folder: Path) -> bool:
    """Whether a model's decoder has too little to do at a token for several threads.

    Two then wait for each other longer than one works.
    """
    return (folder / "model.bin").stat().st_size < _SMALL_BYTES


class Whisper:
    """A Whisper checkpoint in CTranslate2's format: model.bin, tokenizer.json, config.json."""

    def __init__(
        self,
        folder: Path,
        *,
        device: str = CPU,  # see `engines.device.place`, also of None
        compute_type: str | None = None,
        num_threads: int = 0,
        workers: int = 1,
    ) -> None:
        import ctranslate2
        from tokenizers import Tokenizer

        ctranslate2.set_log_level(40)  # errors come as exceptions
        self.folder = Path(folder)
        placed = place(device, compute_type)
        self.device = placed.device
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._weights = ctranslate2.models.Whisper(
                str(folder),
                device=placed.device,
                compute_type=placed.compute_type,
                intra_threads=num_threads,
                inter_threads=workers,
            )
        except Exception as error:  # both raise bare Exception or RuntimeError
            raise ModelError(
                f"{folder} holds no usable Whisper model in CTranslate2's format: {error}"
            ) from error
        if placed.device != CPU:
            logger.info("%s is on the GPU, in %s", self.folder.name, placed.compute_type)
        self._ct2 = ctranslate2
        self.workers = workers
        self._ids = _special_ids(self._tokenizer)
        self._num_mels = int(self._weights.n_mels)
        self.is_multilingual = bool(self._weights.is_multilingual)  # not the .en checkpoints
        self.languages = tuple(n for n in self._ids if n.isalpha() and 2 <= len(n) <= 3)

    @property
    def is_small(self) -> bool:
        """Whether it decodes soonest by one thread."""
        return is_small(self.folder)

    def unload(self) -> None:
        """Give the memory of the weights back; the next call reads them again."""
        self._weights.unload_model()

    @property
    def _model(self) -> Any:
        self._weights.load_model()  # nothing, if they are there
        return self._weights

    def encode(self, samples: Samples, window_s: float | None = None) -> Encoded:
        """Encode one chunk [T] of at most 30 s, followed by silence up to `window_s`."""
        duration_s = len(samples) / 16_000
        window_s = window_s or window_for(duration_s)
        features = log_mel(samples, num_mels=self._num_mels, pad_to_s=window_s)
        features = features[:, : round(window_s * FRAMES_PER_S)]
        view = self._ct2.StorageView.from_array(np.ascontiguousarray(features[None]))
        return Encoded(self._model.encode(view, to_cpu=True), window_s, duration_s)

    def detect_language(self, encoded: Encoded) -> list[tuple[str, float]]:
        """Languages with probabilities, the likeliest first."""
        if not self.is_multilingual:
            return [("en", 1.0)]
        [ranked] = self._model.detect_language(encoded.output)
        return [(token[2:-2], float(prob)) for token, prob in ranked]

    def check_language(self, language: str) -> str:
        """The code of a language that this model knows; ConfigError names the nearest."""
        code = find_language(language)
        if not self.is_multilingual:
            if code != "en":
                raise ConfigError(f"this model knows English alone, not {language!r}")
        elif code not in self.languages:
            hint = did_you_mean(language, self.languages)
            raise ConfigError(f"this model does not know {language!r}: {hint}")
        return code

    def knows(self, language: str) -> bool:
        """Whether it can be told that a text is of this language."""
        return language in self.languages if self.is_multilingual else language == "en"

    def decode(
        self, chunks: Sequence[Encoded], language: str, options: DecodeOptions, max_tokens: int
    ) -> list[Decoded]:
        """The best of each chunk; all are of one window length and one language."""
        found = self.hypotheses(chunks, language, options, max_tokens)
        return [max(each, key=lambda one: one.avg_logprob) for each in found]

    def hypotheses(
        self, chunks: Sequence[Encoded], language: str, options: DecodeOptions, max_tokens: int
    ) -> list[list[Decoded]]:
        """What was found of each chunk, in the order of the search; all are decoded together."""
        prompt = self.prompt(language, options)
        sampling = options.temperature > 0
        num_given = len(options.prefix)
        if sampling:
            self._ct2.set_random_seed(options.seed)
        results = self._model.generate(
            self._joined(chunks),
            [prompt] * len(chunks),
            beam_size=1 if sampling else options.beam_size,
            patience=options.patience,
            length_penalty=options.length_penalty,
            num_hypotheses=options.best_of if sampling else options.num_best,
            sampling_topk=0 if sampling else 1,
            sampling_temperature=options.temperature if sampling else 1.0,
            max_length=_max_length(num_given + max_tokens, len(prompt)),
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [self._read(result, options.length_penalty, num_given) for result in results]

    def habits(self, chunk: Encoded, texts: Sequence[Sequence[int]], language: str) -> list[float]:
        """Natural logs of texts, in tokens, by the decoder that hears nothing.

        Its internal language model: the encoder's output is 0, so that the cross-attention adds the
        same whatever was said. The end is left out.
        """
        silent = self._ct2.StorageView.from_array(np.zeros_like(np.asarray(chunk.output)))
        found = []
        for tokens in texts:
            [result] = self._model.align(
                silent, self._task_ids(language, "transcribe"), [list(tokens)], [2]
            )
            probabilities = np.asarray(result.text_token_probs, np.float64)
            found.append(float(np.log(np.maximum(probabilities, 1e-30)).sum()))
        return found

    def tokens(self, text: str) -> tuple[int, ...]:
        """Tokens of a text, without special ones."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def text(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without spaces around it."""
        text: str = self._tokenizer.decode(list(tokens)).strip()
        return text

    @property
    def special_ids(self) -> Mapping[str, int]:
        """Ids of <|name|> tokens by name."""
        return self._ids

    @property
    def vocabulary(self) -> Mapping[str, int]:
        """Ids of all tokens, by how the tokenizer writes them."""
        ids: Mapping[str, int] = self._tokenizer.get_vocab(with_added_tokens=True)
        return ids

    def align(self, chunk: Encoded, tokens: Sequence[int], language: str) -> list[TimedWord]:
        """Words with times, by the cross-attention of selected heads and DTW."""
        window_frames = round(chunk.window_s * FRAMES_PER_S)
        num_frames = min(window_frames, max(2, round(chunk.duration_s * FRAMES_PER_S)))
        [result] = self._model.align(
            chunk.output, self._task_ids(language, "transcribe"), [list(tokens)], [num_frames]
        )
        return self._words(list(tokens), result, language, chunk.duration_s)

    def _joined(self, chunks: Sequence[Encoded]) -> Any:
        if len(chunks) == 1:
            return chunks[0].output
        arrays = [np.asarray(chunk.output) for chunk in chunks]
        return self._ct2.StorageView.from_array(np.concatenate(arrays))

    def _task_ids(self, language: str, task: str) -> list[int]:
        start = [self._ids["startoftranscript"]]
        return [*start, self._ids[language], self._ids[task]] if self.is_multilingual else start

    def prompt(self, language: str, options: DecodeOptions) -> list[int]:
        """The tokens that a text follows: the task, and the text before it."""
        ids = self._task_ids(language, options.task)
        if not options.timestamps:
            ids = [*ids, self._ids["notimestamps"]]
        elif options.prefix:
            ids = [*ids, self._ids["notimestamps"] + 1]  # <|0.00|>
        ids = [*ids, *options.prefix]
        text = " ".join(part for part in (options.hotwords, options.prompt) if part)
        if not text:
            return ids
        before = self.tokens(" " + text.strip())
        return [self._ids["startofprev"], *before[-_MAX_PROMPT_TOKENS:], *ids]

    def _read(self, result: Any, length_penalty: float, num_given: int) -> list[Decoded]:
        found: list[Decoded] = []
        for ids, score in zip(result.sequences_ids, result.scores, strict=True):
            tokens = tuple(i for i in ids if i < self._ids["endoftext"])
            # CTranslate2 divides by length ** penalty; Whisper's mean counts eos too. A prefix is
            # part of the length, but not of the score.
            logprob = score * len(ids) ** length_penalty
            mean = logprob / (len(ids) - num_given + 1)
            text = self.text(tokens)
            found.append(Decoded(text, tokens, mean, result.no_speech_prob, logprob))
        return found

    def _words(
        self, tokens: list[int], result: Any, language: str, duration_s: float
    ) -> list[TimedWord]:
        if not tokens or not result.alignments:
            return []
        rows, columns = np.asarray(result.alignments).T
        first = np.concatenate([[True], np.diff(rows) > 0])  # where the path enters a token
        times = np.minimum(columns[first] / (FRAMES_PER_S / 2), duration_s)
        words: list[TimedWord] = []
        begin = 0
        for text, num in self._spaced(tokens, language):
            end = begin + num
            words.append(
                TimedWord(
                    text,
                    float(times[min(begin, len(times) - 1)]),
                    float(times[end]) if end < len(times) else duration_s,
                    float(np.mean(result.text_token_probs[begin:end])),
                )
            )
            begin = end
        return words

    def _spaced(self, tokens: list[int], language: str) -> list[tuple[str, int]]:
        """Text and number of tokens of each word; a character is never cut between tokens."""
        pieces: list[tuple[str, int]] = []
        pending: list[int] = []
        spaceless = language in {"zh", "yue", "ja", "th", "lo", "my", "km", "bo"}
        for token in tokens:
            pending.append(token)
            text = self._tokenizer.decode(pending)
            if "\ufffd" in text:
                continue
            if pieces and not spaceless and text and text[0] not in " \n" and _is_letter(text[0]):
                pieces[-1] = (pieces[-1][0] + text, pieces[-1][1] + len(pending))
            else:
                pieces.append((text, len(pending)))
            pending = []
        if pending:
            pieces.append((self._tokenizer.decode(pending), len(pending)))
        return _with_marks(pieces)


def _max_length(num_tokens: int, num_prompt: int) -> int:
    """What to ask of CTranslate2 for a text of so many tokens: it writes half of that, no more."""
    return min(_MAX_LENGTH, max(2 * num_tokens, num_prompt + num_tokens))


def _is_letter(character: str) -> bool:
    return character.isalnum() or character in "'’-"


def _with_marks(pieces: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Punctuation belongs to the word before it, an opening mark to the word after it."""
    words: list[tuple[str, int]] = []
    held, num_held = "", 0  # an opening mark that waits for its word
    for piece, num in pieces:
        text, num_tokens = held + piece, num_held + num
        held, num_held = "", 0
        bare = text.strip()
        if text.startswith(" ") and bare and all(c in _OPENING for c in bare):
            held, num_held = text, num_tokens
        elif words and not any(map(_is_letter, bare)):
            words[-1] = (words[-1][0] + text, words[-1][1] + num_tokens)
        else:
            words.append((text, num_tokens))
    if num_held:
        last, num_last = words.pop() if words else ("", 0)
        words.append((last + held, num_last + num_held))
    return words


_OPENING = "\"'“¿([{-「『《（【"


def _special_ids(tokenizer: Any) -> Mapping[str, int]:
    """Ids of <|name|> tokens by name: task tokens and languages; they differ between models."""
    return {
        token[2:-2]: index
        for token, index in tokenizer.get_vocab(with_added_tokens=True).items()
        if token.startswith("<|") and token.endswith("|>")
    }
