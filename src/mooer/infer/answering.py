"""Chunks of speech through a speech LLM: hypotheses into answers, guarded.

What looks invented (refusals, loops, more than anybody can say, the prompt itself) is decoded
again without repetitions, then by sampling; the best is kept with the names of what stayed. The
network may be any `Network`: one in torch, or one on engines without it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding import rules
from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.hotwords import Hotword, prompt_line
from mooer.decoding.pieces import pieces
from mooer.infer.longform import Chunk, Samples
from mooer.tasks import check, severity
from mooer.tasks.templates import Answer, read_answer, template
from mooer.text import is_cjk

logger = logging.getLogger(__name__)

P = TypeVar("P")  # a prompt, as a network has it

NUM_SAMPLES = 3  # drawn for each chunk at a temperature, to choose from
_NO_REPEATED_TOKENS = 6  # runs of so many do not come twice in speech, in loops they do


class Network(Protocol[P]):
    """A speech LLM that can be asked; `TorchNetwork` and `NativeNetwork` are two."""

    @property
    def template(self) -> str:
        """The name of its prompts' layout."""
        ...

    def require_end(self) -> None:
        """ModelError if its tokenizer has no id that ends answers of the template."""
        ...

    def prompts(
        self,
        task: str,
        utterances: Sequence[Samples],
        drafts: Sequence[str] = (),
        hotwords: Sequence[Hotword] = (),
    ) -> list[P]:
        """What the task asks of each utterance [T] at 16 kHz; to be decoded once or more.

        `drafts` are what another recogniser wrote of each; an empty one is not shown. `hotwords`
        are shown where the template allows it, and answers are drawn towards them.
        """
        ...

    def decode(
        self, prompts: Sequence[P], search: SearchOptions, limits: Sequence[int]
    ) -> list[list[Hypothesis]]:
        """Hypotheses of each prompt, at most so many tokens each; all are decoded together."""
        ...

    def stream(self, prompt: P, search: SearchOptions) -> Iterator[int]:
        """The ids of one answer, each as it is found, without the end."""
        ...

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids, special ones left out."""
        ...

    def num_tokens(self, text: str) -> int:
        """Tokens of a text."""
        ...


@dataclass(frozen=True)
class Answered:
    """The best that was decoded of a chunk."""

    answer: Answer
    hypothesis: Hypothesis
    faults: tuple[str, ...]
    temperature: float = 0.0

    @property
    def rank(self) -> tuple[int, int, float]:
        """Lower is better: faults of what was heard, doubts of its translation, probability."""
        doubts = [name for name in self.faults if name not in rules.RULES]
        return rules.gravity(self.faults), severity(doubts), -self.hypothesis.avg_logprob


class Answerer(Generic[P]):
    """A speech LLM with one task and fixed options. ModelError if its answers could not end."""

    def __init__(
        self,
        network: Network[P],
        task: str,
        search: SearchOptions,
        *,
        language: str | None = None,
        target: str = "en",
        temperatures: Sequence[float] = (),
        hotwords: Sequence[Hotword] = (),
    ) -> None:
        self._network = network
        self._task = task
        self._search = search
        self._language = language
        self._target = target
        self._temperatures = temperatures
        self._hotwords = tuple(hotwords)
        self._request = template(network.template).requests[task]
        network.require_end()

    def answers(self, chunks: Sequence[Chunk], drafts: Sequence[str] = ()) -> list[Answered]:
        """What was said in each chunk, in their order; all are decoded together.

        `drafts` are what another recogniser wrote of each, to be shown to the LLM.
        """
        sounds = [chunk.samples for chunk in chunks]
        prompts = self._network.prompts(self._task, sounds, drafts, self._hotwords)
        asked = list(zip(chunks, drafts or [""] * len(chunks), prompts, strict=True))
        best = self._attempt(asked, self._search)
        for search in self._other_ways():
            again = [i for i, one in enumerate(best) if _may_be_mended(one)]
            if not again:
                break
            tried = self._attempt([asked[i] for i in again], search)
            for i, one in zip(again, tried, strict=True):
                logger.debug("%s at %.1f s -> %s", best[i].faults, chunks[i].end_s, one.faults)
                best[i] = min(best[i], one, key=lambda answered: answered.rank)
        return best

    def stream(self, samples: Samples, draft: str = "") -> Iterator[str]:
        """The answer to one utterance [T] as it is written, unread and unguarded."""
        limit = min(self._search.max_new_tokens, self._limit(len(samples) / SAMPLE_RATE_HZ))
        search = replace(self._search, max_new_tokens=limit)
        drafts = [draft] if draft else []
        [prompt] = self._network.prompts(self._task, [samples], drafts, self._hotwords)
        return pieces(self._network.stream(prompt, search), self._network.text)

    def _other_ways(self) -> Iterator[SearchOptions]:
        yield replace(self._search, no_repeat_ngram=_NO_REPEATED_TOKENS)
        for temperature in self._temperatures:
            yield replace(
                self._search,
                num_beams=1,
                num_best=NUM_SAMPLES,
                sample=True,
                temperature=temperature,
            )

    def _attempt(
        self, asked: Sequence[tuple[Chunk, str, P]], search: SearchOptions
    ) -> list[Answered]:
        limits = [self._limit(chunk.duration_s) for chunk, _, _ in asked]
        found = self._network.decode([prompt for _, _, prompt in asked], search, limits)
        temperature = search.temperature if search.sample else 0.0
        return [
            min(
                (self._read(chunk, draft, hypothesis, temperature) for hypothesis in hypotheses),
                key=lambda answered: answered.rank,
            )
            for (chunk, draft, _), hypotheses in zip(asked, found, strict=True)
        ]

    def _limit(self, duration_s: float) -> int:
        """The most tokens that an answer to so much speech can have."""
        return rules.max_tokens(duration_s) * len(self._request.fields)

    def _read(
        self, chunk: Chunk, draft: str, hypothesis: Hypothesis, temperature: float
    ) -> Answered:
        said_text = self._network.text(hypothesis.tokens)
        answer = read_answer(self._network.template, self._task, said_text)
        text = answer.transcript or answer.translation or answer.reply or ""
        num_tokens = len(hypothesis.tokens)
        if len(self._request.fields) > 1:
            num_tokens = self._network.num_tokens(text)
        told = self._request.prompt
        if self._hotwords:
            told = f"{prompt_line(self._hotwords)} {told}"
        heard = rules.Heard(chunk.duration_s, chunk.speech_prob, prompt=told, instructed=True)
        said = rules.Hypothesis(text, num_tokens, hypothesis.avg_logprob)
        names = dict.fromkeys(rules.faults(said, heard))
        if not hypothesis.ended:
            names["too_long"] = None
        written = answer.transcript or draft
        if "translation" in self._request.fields and written:
            source = self._language or language_of(written)
            translation = answer.translation or ""
            doubts = check(translation, written, source=source, target=self._target)
            names.update(dict.fromkeys(doubts))
        return Answered(answer, hypothesis, tuple(names), temperature)


def language_of(text: str) -> str:
    """Chinese or English, by the script."""
    return "zh" if any(map(is_cjk, text)) else "en"


def _may_be_mended(answered: Answered) -> bool:
    return bool(answered.faults) and "over_silence" not in answered.faults
