"""A speech LLM in torch, as `Answerer` asks it: prompts of a batch are padded to one length."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from mooer.batch import Batch
from mooer.data.collate import Collator, Failure, FeatureReader, Features, Heard
from mooer.data.stages import Example
from mooer.data.supervision import Utterance
from mooer.decoding.generation import Hypothesis, SearchOptions
from mooer.decoding.hotwords import Boost, Hotword, prompt_line
from mooer.decoding.sampling import stream_ids
from mooer.decoding.search import decode
from mooer.errors import ModelError
from mooer.infer.boosted import boost_tokens
from mooer.infer.longform import Samples
from mooer.tasks.templates import template, with_hints

if TYPE_CHECKING:
    from torch import Tensor


class SpeechLLM(Protocol):
    """What is asked of the module; `models.speech_llm.SpeechLLM` has it."""

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
class Prompt:
    """An utterance [T] at 16 kHz, and what is asked of it."""

    task: str
    samples: Samples
    draft: str = ""
    hotwords: tuple[Hotword, ...] = ()


class TorchNetwork:
    """An `answering.Network`; the module is in eval mode, and no gradients are kept."""

    def __init__(self, model: SpeechLLM) -> None:
        from mooer.models.step_model import step_model

        self.model = model
        self._steps: Any = step_model(model.llm)
        weights = next(iter(model.encoder.parameters()))
        self._device, self._dtype = weights.device, weights.dtype

    @property
    def template(self) -> str:
        """The name of its prompts' layout."""
        return self.model.template

    @functools.cached_property
    def eos_ids(self) -> list[int]:
        """The id that ends an answer, as the template has it; ModelError if there is none."""
        end = template(self.template).end
        found = self.model.tokenizer.encode(end, add_special_tokens=False)
        if len(found) != 1:
            raise ModelError(
                f"the tokenizer knows no token {end!r}, with which answers of the template "
                f"{self.template} end: it is not the tokenizer of this model"
            )
        return [int(found[0])]

    def require_end(self) -> None:
        """ModelError if the tokenizer has no id that ends answers of the template."""
        _ = self.eos_ids

    def prompts(
        self,
        task: str,
        utterances: Sequence[Samples],
        drafts: Sequence[str] = (),
        hotwords: Sequence[Hotword] = (),
    ) -> list[Prompt]:
        """The utterances, which are heard when they are decoded, together."""
        drafts = drafts or [""] * len(utterances)
        pairs = zip(utterances, drafts, strict=True)
        return [Prompt(task, samples, draft, tuple(hotwords)) for samples, draft in pairs]

    def decode(
        self, prompts: Sequence[Prompt], search: SearchOptions, limits: Sequence[int]
    ) -> list[list[Hypothesis]]:
        """Hypotheses of each prompt, the best first, of one batch."""
        embeds, mask = self.embed(prompts)
        boost = self._boost(prompts[0].hotwords)
        return decode(
            self._steps, embeds, mask, search, eos_ids=self.eos_ids, limits=limits, boost=boost
        )

    def stream(self, prompt: Prompt, search: SearchOptions) -> Iterator[int]:
        """The ids of one greedy or sampled answer, each as it is found, without the end."""
        embeds, mask = self.embed([prompt])
        boost = self._boost(prompt.hotwords)
        ids = stream_ids(self._steps, embeds, mask, search, eos_ids=self.eos_ids, boost=boost)
        return (token for token, _ in ids)

    def _boost(self, hotwords: Sequence[Hotword]) -> Boost | None:
        return boost_tokens(hotwords, self._encode) if hotwords else None

    def _encode(self, text: str) -> list[int]:
        return [int(i) for i in self.model.tokenizer.encode(text, add_special_tokens=False)]

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids, special ones left out."""
        return str(self.model.tokenizer.decode(list(ids), skip_special_tokens=True))

    def num_tokens(self, text: str) -> int:
        """Tokens of a text."""
        return len(self.model.tokenizer.encode(text, add_special_tokens=False))

    def embed(self, prompts: Sequence[Prompt]) -> tuple[Tensor, Tensor]:
        """Embeddings [B, L, W] of prompts of one task and their mask [B, L], padded to the left."""
        import torch

        [task] = {prompt.task for prompt in prompts}
        utterances = [prompt.samples for prompt in prompts]
        shown = prompt_line(prompts[0].hotwords)
        drafts = [prompt.draft for prompt in prompts]
        batch = prompt_batch(self.model, task, utterances, drafts, shown)
        batch = batch.to(self._device)
        batch = replace(batch, features=batch.features.to(self._dtype))
        with torch.no_grad():
            return self.model.embed(batch), batch.mask


def prompt_batch(
    model: SpeechLLM,
    task: str,
    utterances: Sequence[Samples],
    drafts: Sequence[str] = (),
    hotwords: str = "",
) -> Batch:
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
    drafts = drafts or [""] * len(utterances)
    wordings = [
        with_hints(model.template, task, draft=draft, hotwords=hotwords) for draft in drafts
    ]
    examples = [
        Example(Utterance(str(i), audio="", prompt=wording), task)
        for i, wording in enumerate(wordings)
    ]
    heard: list[Heard | Failure] = [
        (Features(frontend(samples), len(samples)),) for samples in utterances
    ]
    batch = collator.join(examples, heard)
    assert batch is not None
    return batch
