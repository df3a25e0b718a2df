"""Chunks of speech through a speech LLM: prompts into a batch, hypotheses into answers, guarded.

What looks invented (refusals, loops, more than anybody can say, the prompt itself) is decoded
again without repetitions, then by sampling; the best is kept with the names of what stayed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.batch import Batch
from mooer.data.collate import Collator, Failure, FeatureReader, Features, Heard
from mooer.data.stages import Example
from mooer.data.supervision import Utterance
from mooer.decoding import rules
from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.pieces import pieces
from mooer.decoding.sampling import stream_ids
from mooer.decoding.search import decode
from mooer.errors import ModelError
from mooer.infer.longform import Chunk, Samples
from mooer.tasks import check, severity
from mooer.tasks.templates import Answer, read_answer, template
from mooer.text import is_cjk

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

NUM_SAMPLES = 3  # drawn for each chunk at a temperature, to choose from
_NO_REPEATED_TOKENS = 6  # runs of so many do not come twice in speech, in loops they do


class SpeechLLM(Protocol):
    """What is asked of the network; `models.speech_llm.SpeechLLM` has it."""

    encoder: Any  # with a `frontend`
    llm: Any
    tokenizer: Any
    template: str

    def num_embeddings(self, num_samples: int) -> int:
        """Embeddings of so many samples."""
        ...

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings [B, L, W] of ids and audio."""
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


class Answerer:
    """A speech LLM with one task and fixed options; no gradients, eval mode."""

    def __init__(
        self,
        model: SpeechLLM,
        task: str,
        search: SearchOptions,
        *,
        language: str | None = None,
        temperatures: Sequence[float] = (),
    ) -> None:
        from mooer.models.step_model import step_model

        self._model = model
        self._task = task
        self._search = search
        self._language = language
        self._temperatures = temperatures
        self._steps: Any = step_model(model.llm)
        self._request = template(model.template).requests[task]
        self._eos_ids = [_end_id(model)]
        weights = next(iter(model.encoder.parameters()))
        self._device, self._dtype = weights.device, weights.dtype

    def answers(self, chunks: Sequence[Chunk]) -> list[Answered]:
        """What was said in each chunk, in their order; all are decoded together."""
        best = self._attempt(chunks, self._search)
        for search in self._other_ways():
            again = [i for i, one in enumerate(best) if _may_be_mended(one)]
            if not again:
                break
            tried = self._attempt([chunks[i] for i in again], search)
            for i, one in zip(again, tried, strict=True):
                logger.debug("%s at %.1f s -> %s", best[i].faults, chunks[i].end_s, one.faults)
                best[i] = min(best[i], one, key=lambda answered: answered.rank)
        return best

    def stream(self, samples: Samples) -> Iterator[str]:
        """The answer to one utterance [T] as it is written, unread and unguarded."""
        embeds, mask = self._embed([samples])
        limit = min(self._search.max_new_tokens, self._limit(len(samples) / SAMPLE_RATE_HZ))
        search = replace(self._search, max_new_tokens=limit)
        ids = stream_ids(self._steps, embeds, mask, search, eos_ids=self._eos_ids)
        return pieces((token for token, _ in ids), self._text)

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

    def _attempt(self, chunks: Sequence[Chunk], search: SearchOptions) -> list[Answered]:
        embeds, mask = self._embed([chunk.samples for chunk in chunks])
        limits = [self._limit(chunk.duration_s) for chunk in chunks]
        found = decode(self._steps, embeds, mask, search, eos_ids=self._eos_ids, limits=limits)
        temperature = search.temperature if search.sample else 0.0
        return [
            min(
                (self._read(chunk, hypothesis, temperature) for hypothesis in hypotheses),
                key=lambda answered: answered.rank,
            )
            for chunk, hypotheses in zip(chunks, found, strict=True)
        ]

    def _limit(self, duration_s: float) -> int:
        """The most tokens that an answer to so much speech can have."""
        return rules.max_tokens(duration_s) * len(self._request.fields)

    def _read(self, chunk: Chunk, hypothesis: Hypothesis, temperature: float) -> Answered:
        answer = read_answer(self._model.template, self._task, self._text(hypothesis.tokens))
        text = answer.transcript or answer.translation or answer.reply or ""
        num_tokens = len(hypothesis.tokens)
        if len(self._request.fields) > 1:
            num_tokens = len(self._model.tokenizer.encode(text, add_special_tokens=False))
        heard = rules.Heard(
            chunk.duration_s, chunk.speech_prob, prompt=self._request.prompt, instructed=True
        )
        said = rules.Hypothesis(text, num_tokens, hypothesis.avg_logprob)
        names = dict.fromkeys(rules.faults(said, heard))
        if not hypothesis.ended:
            names["too_long"] = None
        if "translation" in self._request.fields and answer.transcript:
            source = self._language or language_of(answer.transcript)
            doubts = check(answer.translation or "", answer.transcript, source=source, target="en")
            names.update(dict.fromkeys(doubts))
        return Answered(answer, hypothesis, tuple(names), temperature)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._model.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _embed(self, utterances: Sequence[Samples]) -> tuple[Tensor, Tensor]:
        import torch

        batch = prompt_batch(self._model, self._task, utterances).to(self._device)
        batch = replace(batch, features=batch.features.to(self._dtype))
        with torch.no_grad():
            return self._model.embed(batch), batch.mask


def prompt_batch(model: SpeechLLM, task: str, utterances: Sequence[Samples]) -> Batch:
    """What a task asks of utterances [T] at 16 kHz, padded to the left for decoding."""
    frontend = model.encoder.frontend
    collator = Collator(
        FeatureReader(frontend),
        model.num_embeddings,
        model.tokenizer,
        model.template,
        pad_id=model.tokenizer.pad_token_id or 0,
        side="left",
        with_answers=False,
    )
    examples = [Example(Utterance(str(i), audio=""), task) for i in range(len(utterances))]
    heard: list[Heard | Failure] = [
        (Features(frontend(samples), len(samples)),) for samples in utterances
    ]
    batch = collator.join(examples, heard)
    assert batch is not None
    return batch


def language_of(text: str) -> str:
    """Chinese or English, by the script."""
    return "zh" if any(map(is_cjk, text)) else "en"


def _may_be_mended(answered: Answered) -> bool:
    return bool(answered.faults) and "over_silence" not in answered.faults


def _end_id(model: SpeechLLM) -> int:
    """The id that ends an answer, as the template has it."""
    end = template(model.template).end
    found = model.tokenizer.encode(end, add_special_tokens=False)
    if len(found) != 1:
        raise ModelError(
            f"the tokenizer knows no token {end!r}, with which answers of the template "
            f"{model.template} end: it is not the tokenizer of this model"
        )
    return int(found[0])
