"""A speech LLM on CTranslate2 and llama.cpp, as `Answerer` asks it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.draft import Follow
from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.hotwords import Boost, Hotword, prompt_line
from mooer.decoding.sampling import repeating
from mooer.engines.embedding_llm import Prompt
from mooer.engines.speech_llm import SpeechLLM
from mooer.engines.token_search import Generated, GenerateOptions
from mooer.errors import ConfigError
from mooer.infer.boosted import boost_tokens
from mooer.infer.longform import Samples
from mooer.tasks.templates import template

Floats = NDArray[np.float32]
Adjust = Callable[[Sequence[int], Floats], None]


DRAFT_BONUS = 8.0  # less lets a model of half a billion parameters spoil drafts (docs/mini.md)


@dataclass(frozen=True)
class Asked:
    """What is put to the LLM of one utterance."""

    prompt: Prompt
    draft: tuple[int, ...] = ()  # ids that its answer may begin with
    boost: Boost | None = None  # towards hotwords


class NativeNetwork:
    """An `answering.Network` whose prompts have been heard once they are made.

    An answer that writes down what was said follows its draft: `draft_bonus` (natural log) is how
    much likelier the draft's next id is made.
    """

    def __init__(self, model: SpeechLLM, *, draft_bonus: float = DRAFT_BONUS) -> None:
        self.model = model
        self.draft_bonus = draft_bonus

    @property
    def template(self) -> str:
        """The name of its prompts' layout."""
        return self.model.template

    def require_end(self) -> None:
        """ModelError if the LLM has no id that ends answers of the template."""
        _ = self.model.stop_ids

    def prompts(
        self,
        task: str,
        utterances: Sequence[Samples],
        drafts: Sequence[str] = (),
        hotwords: Sequence[Hotword] = (),
    ) -> list[Asked]:
        """Ids and embeddings that a task lays out around each utterance [T]."""
        prompts = self.model.prompts(task, utterances, drafts, prompt_line(hotwords))
        boost = boost_tokens(hotwords, self._encode) if hotwords else None
        fields = template(self.template).requests[task].fields
        if not drafts or fields[0] != "transcript" or not self.draft_bonus:
            return [Asked(prompt, boost=boost) for prompt in prompts]
        ids = [tuple(self._encode(draft)) for draft in drafts]
        return [Asked(prompt, draft, boost) for prompt, draft in zip(prompts, ids, strict=True)]

    def _encode(self, text: str) -> list[int]:
        return self.model.llm.encode(text, special=False)

    def decode(
        self, prompts: Sequence[Asked], search: SearchOptions, limits: Sequence[int]
    ) -> list[list[Hypothesis]]:
        """Hypotheses of each prompt, the best first.

        ConfigError for what this search does not do: several hypotheses of beams.
        """
        num = search.num_best
        if num > 1 and not search.sample:
            raise ConfigError(f"without torch one answer is found, not {num}: set num_best to 1")
        asked = [
            self._options(one, search, limit, k)
            for one, limit in zip(prompts, limits, strict=True)
            for k in range(num)
        ]
        found = self.model.llm.generate([p.prompt for p in prompts for _ in range(num)], asked)
        hypotheses = [_hypothesis(one) for one in found]
        return [
            sorted(hypotheses[i * num : (i + 1) * num], key=lambda h: -h.score)
            for i in range(len(prompts))
        ]

    def stream(self, prompt: Asked, search: SearchOptions) -> Iterator[int]:
        """The ids of one greedy or sampled answer, each as it is found, without the end."""
        asked = self._options(prompt, search, search.max_new_tokens)
        return (token for token, _ in self.model.llm.stream(prompt.prompt, asked))

    def _options(
        self, prompt: Asked, search: SearchOptions, limit: int, sample: int = 0
    ) -> GenerateOptions:
        options = generate_options(search, self.model.stop_ids, limit=limit, sample=sample)
        adjust = options.adjust
        if prompt.draft:
            adjust = _following(Follow(prompt.draft), self.draft_bonus, self._breaks, adjust)
        if prompt.boost:
            adjust = _attracted(prompt.boost, adjust, takes_back=search.num_beams > 1)
        return replace(options, adjust=adjust)

    @functools.cached_property
    def _breaks(self) -> frozenset[int]:
        """The ids after which an answer has written down what was said."""
        return frozenset(self.model.llm.encode("\n"))

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids, special ones left out."""
        return self.model.llm.decode(ids)

    def num_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self._encode(text))


def generate_options(
    search: SearchOptions, stop_ids: frozenset[int], *, limit: int, sample: int = 0
) -> GenerateOptions:
    """The same wishes in the engine's words; ConfigError for one that it does not know.

    `sample` tells draws of one prompt apart.
    """
    if search.top_k or search.top_p < 1:
        raise ConfigError("without torch no draw is bounded by top_k or top_p: leave them out")
    return GenerateOptions(
        max_new_tokens=min(limit, search.max_new_tokens),
        stop_ids=stop_ids,
        num_beams=search.num_beams,
        length_penalty=search.length_penalty,
        eos_bias=search.eos_bias,
        temperature=search.temperature if search.sample else 0.0,
        seed=search.seed + sample,
        adjust=_adjust(search, sorted(stop_ids)),
    )


def _following(
    follow: Follow, bonus: float, breaks: frozenset[int], adjust: Adjust | None
) -> Adjust:
    """What makes the draft's next ids likelier, until the transcript ends; after `adjust`."""

    def change(said: Sequence[int], scores: Floats) -> None:
        if adjust is not None:
            adjust(said, scores)
        if breaks.isdisjoint(said):
            scores[list(follow.next_ids(said))] += np.float32(bonus)

    return change


def _attracted(boost: Boost, adjust: Adjust | None, *, takes_back: bool) -> Adjust:
    """What draws an answer towards hotwords; after `adjust`."""

    def change(said: Sequence[int], scores: Floats) -> None:
        if adjust is not None:
            adjust(said, scores)
        boost.add_to(scores, said, takes_back=takes_back)

    return change


def _adjust(search: SearchOptions, ends: list[int]) -> Adjust | None:
    """What changes scores by the ids so far, as `decoding.sampling.adjust` does."""
    if (search.repetition_penalty, search.no_repeat_ngram, search.min_new_tokens) == (1.0, 0, 0):
        return None
    penalty = np.float32(search.repetition_penalty)

    def adjust(said: Sequence[int], scores: Floats) -> None:
        if search.repetition_penalty != 1.0 and said:
            known = sorted(set(said))
            old = scores[known]
            scores[known] = np.where(old < 0, old * penalty, old / penalty)
        if search.no_repeat_ngram:
            scores[repeating(said, search.no_repeat_ngram)] = -np.inf
        if len(said) < search.min_new_tokens:
            scores[ends] = -np.inf

    return adjust


def _hypothesis(found: Generated) -> Hypothesis:
    return Hypothesis(found.tokens, found.logprobs, found.score, ended=found.finish == "stop")
