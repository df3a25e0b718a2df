"""Decode chunks of speech, doubt what comes, and decode again: the engine and the guards joined."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mooer.audio.vad import VadOptions
from mooer.decoding import rules
from mooer.decoding.hotwords import Hotword, parse_hotwords, prompt_line
from mooer.decoding.nbest import Candidate
from mooer.engines.whisper import (
    MAX_WINDOW_S,
    MIN_WINDOW_S,
    Decoded,
    DecodeOptions,
    Encoded,
    TimedWord,
    Whisper,
    window_for,
)
from mooer.errors import ConfigError
from mooer.infer.attended import words_heard
from mooer.infer.fusion import NUM_BEST, Fusion
from mooer.infer.joined import JoinedWhisper
from mooer.infer.longform import Chunk, groups

logger = logging.getLogger(__name__)

SHORT_BEAM, LONG_BEAM = 5, 3  # in long inputs more gains nothing, and costs a tenth of the time
TIMED_MAX_S = 12.0
TIMED_WINDOW_S = 24.0
_FIRST_TOKENS = 4  # of a text that is shown while it grows
_SURE_OF_LANGUAGE = 0.5  # below it, more chunks are asked
_CHUNKS_TO_ASK = 4
_CIRCLES = frozenset(("loops", "echoes", "too_long"))  # what no list of hypotheses should hold
SCRIPTS = ("hans", "hant")
TASKS = ("asr", "ast", "asr_ast")


@dataclass(frozen=True)
class RecognizeOptions:
    """What is wanted of a recogniser."""

    language: str | None = None  # code or name; None: detected from the first speech
    task: str = "asr"  # asr | ast (the recogniser's own translation) | asr_ast (both)
    to: str = "en"  # code of the language that it translates into
    beam_size: int | None = None  # None: 5 for a short input, 3 for one over a minute
    temperatures: tuple[float, ...] = (0.4, 0.8)  # tried in turn while guards fire
    prompt: str = ""  # text in whose style and spelling to go on
    hotwords: str | tuple[Hotword, ...] = ""  # words to expect, between commas or with weights
    fusion: Fusion | None = None  # language models, and how they are joined
    script: str = "hans"  # of Chinese: hans (Simplified) | hant (Traditional)
    words: bool = False  # keep word times
    rich: bool = False  # emotions, events, and how sure the language is
    gender: bool = False  # of each voice
    age: bool = False  # group of age of each voice
    itn: bool = False  # numbers, dates and amounts in digits
    punctuate: bool = False  # marks by pauses, where the recogniser writes none
    vad: VadOptions = field(default_factory=VadOptions)
    max_chunk_s: float = 28.0
    batch_size: int = 4  # chunks decoded together by one worker

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ConfigError(f"task must be one of {', '.join(TASKS)}, not {self.task!r}")
        if self.script not in SCRIPTS:
            raise ConfigError(f"script must be hans or hant, not {self.script!r}")
        if self.beam_size is not None and not 1 <= self.beam_size <= 20:
            raise ConfigError(f"beam size must be between 1 and 20, not {self.beam_size}")
        if not 1.0 <= self.max_chunk_s <= MAX_WINDOW_S:
            raise ConfigError(f"chunks must be of 1 to 30 s, not {self.max_chunk_s}")
        if self.batch_size < 1:
            raise ConfigError(f"batch size must be at least 1, not {self.batch_size}")

    @property
    def expected(self) -> tuple[Hotword, ...]:
        """The hotwords with their weights."""
        given = self.hotwords
        return parse_hotwords(given) if isinstance(given, str) else given

    @property
    def told(self) -> str:
        """The hotwords as a line of a prompt, as they were given if that is a text."""
        return self.hotwords if isinstance(self.hotwords, str) else prompt_line(self.hotwords)


@dataclass
class Heard:
    """A chunk and the best that was decoded of it."""

    chunk: Chunk
    encoded: Encoded | None  # 3 MB: none once the words are aligned
    decoded: Decoded
    faults: tuple[str, ...]
    temperature: float = 0.0
    words: list[TimedWord] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, float]:
        """Lower is better: graver faults weigh more, then the log-probability."""
        return rules.gravity(self.faults), -self.decoded.avg_logprob


class GuardedDecoder:
    """An engine with fixed options and language, and guards behind it."""

    def __init__(self, engine: Whisper, options: RecognizeOptions, language: str) -> None:
        self._engine = engine
        self._options = options
        self._language = language

    def decode(self, batch: Sequence[Chunk]) -> list[Heard]:
        """What was said in each chunk of a batch, in their order."""
        found: dict[int, Heard] = {}
        for timed in (False, True):
            chosen = [i for i, chunk in enumerate(batch) if self._is_timed(chunk) == timed]
            floor_s = TIMED_WINDOW_S if timed else MIN_WINDOW_S
            windows = [window_for(batch[i].duration_s, floor_s) for i in chosen]
            for window_s, places in groups(windows):
                indices = [chosen[place] for place in places]
                chunks = [batch[i] for i in indices]
                encoded = [self._engine.encode(chunk.samples, window_s) for chunk in chunks]
                heard = self._attempt(chunks, encoded)
                heard = [self._mended(one) if one.faults else one for one in heard]
                self._align(heard)
                found.update(zip(indices, heard, strict=True))
        return [found[i] for i in range(len(batch))]

    def nbest(
        self, chunk: Chunk, num_best: int, fusions: Sequence[Fusion] = ()
    ) -> tuple[list[Decoded], Callable[[], list[float]]]:
        """The hypotheses of one chunk, and what tells their log-probabilities without the sound.

        To those of the search by itself come those of searches with `fusions`, each text once. What
        goes round in circles is left out, as it would be decoded again.
        """
        floor_s = TIMED_WINDOW_S if self._is_timed(chunk) else MIN_WINDOW_S
        encoded = self._engine.encode(chunk.samples, window_for(chunk.duration_s, floor_s))
        asked = replace(self._asked(chunk, prompted=True), num_best=num_best)
        most = rules.max_tokens(chunk.duration_s)
        [found] = self._engine.hypotheses([encoded], self._language, asked, max_tokens=most)
        for fusion in fusions:
            joined = JoinedWhisper(self._engine, fusion)
            [more] = joined.hypotheses([encoded], self._language, asked, max_tokens=most)
            found = [*found, *more]
        by_text: dict[str, Decoded] = {}
        for one in sorted(found, key=lambda one: -one.logprob):
            by_text.setdefault(one.text, one)
        every = list(by_text.values())
        found = [one for one in every if not self._circles(one, chunk)] or every
        texts = [one.tokens for one in found]
        return found, lambda: self._engine.habits(encoded, texts, self._language)

    def growing(self, chunk: Chunk, encoded: Encoded) -> Iterator[str]:
        """The text of one chunk by greedy search: its first tokens, then all of it.

        What is said to be no speech is left out, and a loop is cut; else no guard looks at it.
        """
        asked = replace(self._asked(chunk, prompted=True), beam_size=1, timestamps=False)
        for most in (_FIRST_TOKENS, rules.max_tokens(chunk.duration_s)):
            [said] = self._engine.decode([encoded], self._language, asked, most)
            faults = _faults(said, chunk, asked)
            if "over_silence" in faults:
                return
            yield rules.without_loop(said.text) if "loops" in faults else said.text
            if len(said.tokens) < _FIRST_TOKENS:
                return
            asked = replace(asked, prefix=said.tokens)

    def _circles(self, one: Decoded, chunk: Chunk) -> bool:
        said = rules.Hypothesis(one.text, len(one.tokens), one.avg_logprob)
        found = rules.faults(said, rules.Heard(chunk.duration_s))
        return not _CIRCLES.isdisjoint(found)

    def _asked(self, chunk: Chunk, *, prompted: bool) -> DecodeOptions:
        options = self._options
        return DecodeOptions(
            beam_size=options.beam_size or SHORT_BEAM,
            prompt=options.prompt if prompted else "",
            hotwords=options.told if prompted else "",
            task="translate" if options.task == "ast" else "transcribe",
            timestamps=self._is_timed(chunk),
        )

    def _is_timed(self, chunk: Chunk) -> bool:
        """Whether to decode it with time tokens, in a wide window.

        On short Chinese commands that is more accurate (numbers come as characters); on English,
        and on long chunks, it is less so (docs/benchmarks.md).
        """
        short = chunk.duration_s <= TIMED_MAX_S
        return short and self._language in ("zh", "yue") and self._options.task == "asr"

    def _attempt(
        self,
        chunks: list[Chunk],
        encoded: list[Encoded],
        *,
        temperature: float = 0.0,
        prompted: bool = True,
    ) -> list[Heard]:
        asked = replace(self._asked(chunks[0], prompted=prompted), temperature=temperature)
        fusion = None if temperature else self._options.fusion  # samples are no n-best
        if fusion is not None and fusion.needs_nbest:
            beam_size = self._options.beam_size or NUM_BEST
            asked = replace(asked, beam_size=beam_size, num_best=min(NUM_BEST, beam_size))
        most = max(rules.max_tokens(chunk.duration_s) for chunk in chunks)
        if fusion is None:
            decoded = self._engine.decode(encoded, self._language, asked, max_tokens=most)
        elif not fusion.needs_nbest:
            joined = JoinedWhisper(self._engine, fusion)
            decoded = joined.decode(encoded, self._language, asked, max_tokens=most)
        else:
            found = self._engine.hypotheses(encoded, self._language, asked, max_tokens=most)
            decoded = [_rescored(each, fusion) for each in found]
        return [
            Heard(chunk, code, said, _faults(said, chunk, asked), temperature)
            for chunk, code, said in zip(chunks, encoded, decoded, strict=True)
        ]

    def _mended(self, first: Heard) -> Heard:
        """The best of further ways to decode a chunk: a full window, then by sampling."""
        if "over_silence" in first.faults:
            return first
        best = first
        prompted = "leaks_prompt" not in first.faults
        full = first.encoded
        if full is None or full.window_s < MAX_WINDOW_S:
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

    def _align(self, heard: list[Heard]) -> None:
        """One by one: the attention of a whole batch would take as much memory as its decoding."""
        for one in heard:
            encoded, one.encoded = one.encoded, None
            if encoded is None or not one.decoded.tokens or "over_silence" in one.faults:
                continue
            if self._options.task == "ast":
                continue  # attention to the words of another language does not run with time
            samples, tokens = one.chunk.samples, one.decoded.tokens
            one.words = words_heard(self._engine, encoded, samples, tokens, self._language)


def _faults(said: Decoded, chunk: Chunk, asked: DecodeOptions) -> tuple[str, ...]:
    known = rules.Heard(chunk.duration_s, chunk.speech_prob, f"{asked.hotwords} {asked.prompt}")
    hypothesis = rules.Hypothesis(
        said.text, len(said.tokens), said.avg_logprob, said.no_speech_prob
    )
    return rules.faults(hypothesis, known)


def detect_language(engine: Whisper, chunks: Sequence[Chunk]) -> tuple[str, float]:
    """Language and its probability: by the first chunk, or more of them if that leaves doubt."""
    scores = Counter[str]()
    for asked, chunk in enumerate(chunks[:_CHUNKS_TO_ASK], 1):
        scores.update(dict(engine.detect_language(engine.encode(chunk.samples))))
        language, total = scores.most_common(1)[0]
        if total / asked >= _SURE_OF_LANGUAGE:
            break
    return language, total / asked


def _rescored(found: Sequence[Decoded], fusion: Fusion) -> Decoded:
    """The best by what a language model makes of the n-best."""
    return found[fusion.best(Candidate.of(one.text, one.logprob) for one in found)]
