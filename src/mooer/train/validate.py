"""Validation as users will hear it: the loss of the answers, and real decoding that is scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch.distributed.fsdp import FSDPModule

from mooer.batch import Batch
from mooer.decoding.generation import SearchOptions
from mooer.decoding.search import decode
from mooer.models.ctc import collapse
from mooer.models.step_model import step_model
from mooer.train.losses import Objective
from mooer.train.parallel import sums
from mooer.train.parameters import set_modes


class Score(Protocol):
    """A metric over a set: `wer`, `cer` and `mer` are rates, `bleu` is from 0 to 100."""

    def __call__(
        self, metric: str, references: list[str], hypotheses: list[str], language: str | None
    ) -> float:
        """Score of hypotheses."""
        ...


@dataclass(frozen=True)
class Portion:
    """A few utterances of a validation set: made into a batch by both functions."""

    with_answers: Callable[[], Any]  # for the loss, padded to the right
    prompts: Callable[[], Any]  # for decoding, padded to the left
    references: tuple[str, ...]


@dataclass(frozen=True)
class ScoredSet:
    """A validation set, cut into portions."""

    name: str
    metric: str
    language: str | None
    portions: tuple[Portion, ...]
    decode: bool
    read: Callable[[str], str]  # from what the model wrote to what is compared
    by_ctc: bool = False  # the CTC head writes, and the LLM is not asked


def validate(
    scored: ScoredSet,
    objective: Objective,
    accelerator: Accelerator,
    tokenizer: Any,
    options: SearchOptions,
    score: Score,
) -> dict[str, float]:
    """Loss per token, accuracy and, if it is decoded, the score under the name of its metric.

    All processes take part, each with its share of the portions, and all get the result.
    """
    count = len(scored.portions)
    mine = range(accelerator.process_index, count, accelerator.num_processes)
    totals = [0.0, 0.0, 0.0]
    heard: list[tuple[int, list[str]]] = []
    objective.eval()
    with _whole(objective), torch.no_grad(), accelerator.autocast():
        for i in mine:
            batch = scored.portions[i].with_answers().to(accelerator.device)
            if scored.by_ctc:
                heard.append((i, _spell(objective.model, batch, tokenizer)))
                continue
            answer: Any = objective.model(batch)
            parts = (answer.loss, answer.num_tokens, answer.num_correct)
            totals = [total + float(part) for total, part in zip(totals, parts, strict=True)]
            if scored.decode:
                prompts = scored.portions[i].prompts().to(accelerator.device)
                heard.append((i, _decode(objective.model, prompts, tokenizer, options)))
        if _in_step(objective) and len(mine) * accelerator.num_processes < count:
            objective.model(scored.portions[0].with_answers().to(accelerator.device))
    set_modes(objective)
    entropy, tokens, correct = sums(totals, accelerator)
    result = {"loss": entropy / tokens, "accuracy": correct / tokens} if tokens else {}
    if scored.decode:
        everything = gather_object(heard) if accelerator.num_processes > 1 else heard
        texts = [scored.read(text) for _, said in sorted(everything) for text in said]
        references = [text for portion in scored.portions for text in portion.references]
        result[scored.metric] = score(scored.metric, references, texts, scored.language)
    return result


def badness(results: Sequence[tuple[ScoredSet, dict[str, float]]]) -> float:
    """One number to choose a checkpoint by, smaller is better: the mean over decoded sets.

    Error rates count as they are, BLEU as what is missing to 100 %. Without a decoded set, the
    mean loss.
    """
    decoded = [(s.metric, values[s.metric]) for s, values in results if s.decode]
    if decoded:
        rates = [1 - value / 100 if metric == "bleu" else value for metric, value in decoded]
    else:
        rates = [values["loss"] for _, values in results]
    return sum(rates) / len(rates)


def _decode(model: Any, prompts: Batch, tokenizer: Any, options: SearchOptions) -> list[str]:
    embeds = model.embed(prompts)
    eos = model.llm.generation_config.eos_token_id
    eos_ids = [eos] if isinstance(eos, int) else list(eos)
    steps: Any = step_model(model.llm)
    best = decode(steps, embeds, prompts.mask, options, eos_ids=eos_ids)
    return [str(tokenizer.decode(list(one[0].tokens), skip_special_tokens=True)) for one in best]


def _spell(model: Any, batch: Batch, tokenizer: Any) -> list[str]:
    """The best path of the CTC head."""
    heard, lengths = model.embed_audio(batch.features, batch.feature_lengths)
    paths = model.ctc(heard).argmax(-1)
    said = [
        collapse(path[:length].tolist())
        for path, length in zip(paths, lengths.tolist(), strict=True)
    ]
    return [str(tokenizer.decode(model.ctc.tokens(classes))).strip() for classes in said]


def _in_step(objective: Objective) -> bool:
    """Whether processes share each layer when it is used (ZeRO-3), so that all must use it."""
    return any(hasattr(parameter, "ds_id") for parameter in objective.parameters())


@contextmanager
def _whole(objective: Objective) -> Iterator[None]:
    """FSDP's shards gathered for the time of a validation, so that processes need not keep step."""
    shards = [module for module in objective.modules() if isinstance(module, FSDPModule)]
    root: object = objective
    for shard in shards:
        if shard is not root:
            shard.set_reshard_after_forward(False, recurse=False)
        shard.unshard()
    try:
        yield
    finally:
        for shard in shards:
            shard.reshard()
            if shard is not root:
                shard.set_reshard_after_forward(True, recurse=False)
