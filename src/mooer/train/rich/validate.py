"""Validation of heads: error rates of what is spelled, accuracy and macro-F1 of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mooer.batch import IGNORE, LabelledBatch
from mooer.decoding.ctc import steady
from mooer.engines.rich import Rich
from mooer.models.rich import RichModel
from mooer.text.units import BLANK
from mooer.train.losses import Scales
from mooer.train.parameters import set_modes
from mooer.train.rich.losses import RichGoal
from mooer.train.validate import Score, ScoredSet

Counts = NDArray[np.int64]


def validate(
    scored: ScoredSet, goal: RichGoal, accelerator: Any, tokenizer: Any, options: Any, score: Score
) -> dict[str, float]:
    """Loss, accuracy, and the score under the name of its metric.

    `labels` is what is missing to 1 of the mean macro-F1 of the heads. Tokenizer and search options
    are those of a speech LLM, and not used.
    """
    goal.eval()
    totals = [0.0, 0.0, 0.0]
    texts: list[str] = []
    pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    with torch.no_grad():
        for portion in scored.portions:
            batch: LabelledBatch = portion.with_answers()
            known = goal.counts(batch)
            batch = batch.to(accelerator.device)
            _, entropy, correct, _ = goal(batch, Scales(1.0))
            totals = [
                total + float(part)
                for total, part in zip(totals, (entropy, correct, known.tokens), strict=True)
            ]
            if scored.metric == "labels":
                told(goal.model, batch, pairs)
            else:
                texts += spelled(goal.model, batch)
    set_modes(goal)
    result = {"loss": totals[0] / totals[2], "accuracy": totals[1] / totals[2]} if totals[2] else {}
    if scored.metric == "labels":
        for name, found in pairs.items():
            result[f"{name}_f1"] = macro_f1(found)
        f1s = [value for name, value in result.items() if name.endswith("_f1")]
        result["labels"] = 1 - sum(f1s) / max(1, len(f1s))
    elif scored.decode:
        references = [text for portion in scored.portions for text in portion.references]
        result[scored.metric] = score(scored.metric, references, texts, scored.language)
    return result


def spelled(model: RichModel, batch: LabelledBatch) -> list[str]:
    """What the speller says without wavering."""
    assert model.speller is not None
    assert model.units is not None
    hidden, lengths = model.hear(batch.features, batch.feature_lengths)
    log_probs = model.speller(hidden, lengths).cpu().numpy()
    return [
        model.units.text([one.unit for one in steady(rows[:length], BLANK, Rich.change_cost)])
        for rows, length in zip(log_probs, lengths.tolist(), strict=True)
    ]


def told(model: RichModel, batch: LabelledBatch, pairs: dict[str, list[tuple[int, int]]]) -> None:
    """Add (label, what was told) of each head to `pairs`; of events the first and the highest."""
    assert model.labeller is not None
    found = model.labeller(*model.hear(batch.features, batch.feature_lengths))
    for name, scores in found.classes.items():
        for label, said in zip(
            batch.classes[name].tolist(), scores.argmax(-1).tolist(), strict=True
        ):
            if label != IGNORE:
                pairs[name].append((label, said))
    if found.events is not None:
        for wanted, said in zip(batch.events, found.events.argmax(-1).tolist(), strict=True):
            if not wanted.isnan().any() and wanted.any():
                label = said if wanted[said] else int(wanted.argmax())
                pairs["events"].append((label, said))


def macro_f1(pairs: Sequence[tuple[int, int]]) -> float:
    """Mean F1 over the classes that are among the labels.

    >>> macro_f1([(0, 0), (0, 1), (1, 1), (1, 1)])
    0.7333333333333334
    """
    scores = []
    for one in {label for label, _ in pairs}:
        hits = sum(label == said == one for label, said in pairs)
        wrong = sum((label == one) != (said == one) for label, said in pairs)
        scores.append(2 * hits / (2 * hits + wrong))
    return sum(scores) / len(scores)
