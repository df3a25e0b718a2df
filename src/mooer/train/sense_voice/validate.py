"""Validation of SenseVoice: the error rate of its text, accuracy and macro-F1 of its labels."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch

from mooer.batch import IGNORE, Batch
from mooer.models.sense_voice_labels import NUM_QUERIES
from mooer.train.losses import Scales
from mooer.train.parameters import set_modes
from mooer.train.rich.validate import macro_f1
from mooer.train.sense_voice.losses import SenseVoiceGoal
from mooer.train.validate import Score, ScoredSet

HEADS = ("language", "emotion", "event", "style")


def validate(
    scored: ScoredSet,
    goal: SenseVoiceGoal,
    accelerator: Any,
    tokenizer: Any,
    options: Any,
    score: Score,
) -> dict[str, float]:
    """Loss and accuracy of the labels, and the score under the name of its metric.

    `labels` is what is missing to 1 of the mean macro-F1 of language, emotion and event. Tokenizer
    and search options are those of a speech LLM, and not used. Every process scores everything.
    """
    goal.eval()
    totals = [0.0, 0.0, 0.0]
    texts: list[str] = []
    pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    with torch.no_grad(), accelerator.autocast():
        for portion in scored.portions:
            batch: Batch = portion.with_answers()
            known = goal.counts(batch).tokens
            batch = batch.to(accelerator.device)
            _, entropy, correct, _ = goal(batch, Scales(1.0))
            totals = [
                total + float(part)
                for total, part in zip(totals, (entropy, correct, known), strict=True)
            ]
            logits, lengths = goal.hear(batch)
            said = logits[:, :NUM_QUERIES].argmax(-1)
            for place, name in enumerate(HEADS):
                told = zip(batch.labels[:, place].tolist(), said[:, place].tolist(), strict=True)
                pairs[name] += [pair for pair in told if pair[0] != IGNORE]
            for row, length in zip(logits.float().cpu().numpy(), lengths.tolist(), strict=True):
                texts.append(goal.vocabulary.read(row[:length]).text)
    set_modes(goal)
    result = {"loss": totals[0] / totals[2], "accuracy": totals[1] / totals[2]} if totals[2] else {}
    f1s = {f"{name}_f1": macro_f1(pairs[name]) for name in HEADS[:3] if pairs[name]}
    result |= f1s
    if scored.metric == "labels":
        result["labels"] = 1 - sum(f1s.values()) / max(1, len(f1s))
    elif scored.decode:
        references = [text for portion in scored.portions for text in portion.references]
        result[scored.metric] = score(scored.metric, references, texts, scored.language)
    return result
