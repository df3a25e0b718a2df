"""A speech LLM on CTranslate2 and llama.cpp, as `Answerer` asks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.sampling import repeating
from mooer.engines.embedding_llm import Prompt
from mooer.engines.speech_llm import SpeechLLM
from mooer.engines.token_search import Generated, GenerateOptions
from mooer.errors import ConfigError
from mooer.infer.longform import Samples

Floats = NDArray[np.float32]


class NativeNetwork:
    """An `answering.Network` whose prompts have been heard once they are made."""

    def __init__(self, model: SpeechLLM) -> None:
        self.model = model

    @property
    def template(self) -> str:
        """The name of its prompts' layout."""
        return self.model.template

    def require_end(self) -> None:
        """ModelError if the LLM has no id that ends answers of the template."""
        _ = self.model.stop_ids

    def prompts(self, task: str, utterances: Sequence[Samples]) -> list[Prompt]:
        """Ids and embeddings that a task lays out around each utterance [T]."""
        return self.model.prompts(task, utterances)

    def decode(
        self, prompts: Sequence[Prompt], search: SearchOptions, limits: Sequence[int]
    ) -> list[list[Hypothesis]]:
        """Hypotheses of each prompt, the best first.

        ConfigError for what this search does not do: several hypotheses of beams.
        """
        num = search.num_best
        if num > 1 and not search.sample:
            raise ConfigError(f"without torch one answer is found, not {num}: set num_best to 1")
        asked = [
            generate_options(search, self.model.stop_ids, limit=limit, sample=k)
            for limit in limits
            for k in range(num)
        ]
        found = self.model.llm.generate([p for p in prompts for _ in range(num)], asked)
        hypotheses = [_hypothesis(one) for one in found]
        return [
            sorted(hypotheses[i * num : (i + 1) * num], key=lambda h: -h.score)
            for i in range(len(prompts))
        ]

    def stream(self, prompt: Prompt, search: SearchOptions) -> Iterator[int]:
        """The ids of one greedy or sampled answer, each as it is found, without the end."""
        asked = generate_options(search, self.model.stop_ids, limit=search.max_new_tokens)
        return (token for token, _ in self.model.llm.stream(prompt, asked))

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids, special ones left out."""
        return self.model.llm.decode(ids)

    def num_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.model.llm.encode(text, special=False))


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


def _adjust(
    search: SearchOptions, ends: list[int]
) -> Callable[[Sequence[int], Floats], None] | None:
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
