"""A speech LLM and data small enough to train in a test, built as a recipe's parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tests.tiny import ByteTokenizer, TinyEncoder, tiny_llm
from torch import Tensor, nn
from torch.nn import functional

from mooer.batch import AUDIO, IGNORE, Batch
from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.llm import LlmConfig
from mooer.models.speech_llm import EncoderConfig, ModelConfig
from mooer.train.recipe import DataPart, Parallel, Recipe, Source, Stage
from mooer.train.run import Parts
from mooer.train.validate import Portion, ScoredSet

PROMPT = "write: "
WORDS = ("ab", "cd", "ef", "gh")


class Answer:
    def __init__(self, loss: Tensor, num_tokens: Tensor, num_correct: Tensor) -> None:
        self.loss, self.num_tokens, self.num_correct = loss, num_tokens, num_correct


class StandIn(nn.Module):
    """Encoder, adapter and LLM as `SpeechLLM` has them, in as few lines as will do."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = TinyEncoder(width=16)
        self.adapter = build_adapter(AdapterConfig(hidden_width=32), 16, 32)
        self.llm = tiny_llm()
        self.dropout = nn.Dropout(dropout)

    def embed(self, batch: Batch) -> Tensor:
        found, lengths = self.adapter(*self.encoder(batch.features, batch.feature_lengths))
        embeds = self.llm.get_input_embeddings()(batch.ids.clamp(min=0))
        real = torch.arange(found.shape[1]) < lengths[:, None]
        heard = self.dropout(found[real]).to(embeds.dtype)
        return embeds.masked_scatter((batch.ids == AUDIO)[..., None], heard)

    def forward(self, batch: Batch) -> Answer:
        positions = (batch.mask.long().cumsum(-1) - 1).clamp(min=0)
        logits = self.llm(
            inputs_embeds=self.embed(batch),
            attention_mask=batch.mask.long(),
            position_ids=positions,
            use_cache=False,
        ).logits[:, :-1]
        labels = batch.labels[:, 1:]
        learned = labels != IGNORE
        loss = functional.cross_entropy(logits[learned].float(), labels[learned], reduction="sum")
        hits = (logits[learned].argmax(-1) == labels[learned]).sum()
        return Answer(loss, learned.sum(), hits)


def utterance(number: int) -> tuple[str, Tensor]:
    """Text and features [F, 4] of one of endlessly many utterances."""
    noise = torch.Generator().manual_seed(number)
    keys = torch.randint(0, 4, (1 + number % 3,), generator=noise)
    features = functional.one_hot(keys, 4).repeat_interleave(8, 0).float()
    features = features + 0.1 * torch.randn(features.shape, generator=noise)
    return " ".join(WORDS[key] for key in keys), features


def collate(items: Sequence[tuple[str, Tensor]], *, answers: bool = True) -> Batch:
    tokenizer = ByteTokenizer()
    rows = []
    for text, features in items:
        prompt = [AUDIO] * (len(features) // 4) + tokenizer.encode(PROMPT)
        answer = [*tokenizer.encode(text), tokenizer.eos_token_id] if answers else []
        rows.append((prompt + answer, [IGNORE] * len(prompt) + answer))
    longest = max(len(ids) for ids, _ in rows)
    num_frames = max(len(features) for _, features in items)

    def pad(row: list[int], value: int) -> list[int]:
        blank = [value] * (longest - len(row))
        return row + blank if answers else blank + row

    return Batch(
        keys=tuple(text for text, _ in items),
        features=torch.stack([functional.pad(f, (0, 0, 0, num_frames - len(f))) for _, f in items]),
        feature_lengths=torch.tensor([len(f) for _, f in items]),
        ids=torch.tensor([pad(ids, tokenizer.pad_token_id) for ids, _ in rows]),
        labels=torch.tensor([pad(labels, IGNORE) for _, labels in rows]),
        mask=torch.tensor([pad([1] * len(ids), 0) for ids, _ in rows]).bool(),
        transcripts=tuple(text for text, _ in items),
    )


def stream(state: Any) -> Iterator[tuple[list[tuple[str, Tensor]], Any]]:
    """Batches of 3, 4 or 5 utterances, forever; the state is the next one's number."""
    number = state or 0
    while True:
        size = 3 + number // 5 % 3
        items = [utterance(number + i) for i in range(size)]
        number += size
        yield items, number


def validation(*, decode: bool) -> ScoredSet:
    texts = [utterance(i) for i in range(100_000, 100_008)]
    portions = tuple(
        Portion(
            lambda part=part: collate(part),
            lambda part=part: collate(part, answers=False),
            tuple(text for text, _ in part),
        )
        for part in (texts[:3], texts[3:6], texts[6:])
    )
    return ScoredSet("dev", "wer", "en", portions, decode=decode, read=str.strip)


def build(recipe: Recipe) -> Parts:
    options = recipe.model.encoder.config
    model = StandIn(dropout=options.get("dropout", 0.0))
    return Parts(
        model,
        ByteTokenizer(),
        model.encoder.width,
        stream,
        lambda batches: ((collate(items), state) for items, state in batches),
        tuple(validation(decode=one.decode) for one in recipe.validation.sets),
    )


def score(metric: str, references: list[str], hypotheses: list[str], language: str | None) -> float:
    """Share of wrong texts."""
    wrong = sum(a != b for a, b in zip(references, hypotheses, strict=True))
    return wrong / len(references)


class Silent:
    def __init__(self) -> None:
        self.losses: list[float] = []
        self.scores: list[dict[str, float]] = []

    def step(self, stage: Stage, step: int, num_steps: int, result: Any) -> None:
        self.losses.append(result.loss)

    def validation(self, name: str, step: int, values: dict[str, float]) -> None:
        self.scores.append(values)


def recipe(folder: Path | str = ".", **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "model": ModelConfig(EncoderConfig("sanm"), LlmConfig("nowhere")),
        "data": DataPart((Source("nowhere"),), num_workers=0),
        "stages": (Stage("all", ("encoder", "adapter", "llm"), 6, lr=3e-3),),
        "parallel": Parallel(device="cpu"),
    }
    return Recipe(**{**values, **changes})
