"""How sure a rate is: utterances drawn again with replacement (Bisani and Ney 2004)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mooer.evaluate.metrics import bleu_metric

_NUM_SAMPLES = 1000
_CHUNK_CELLS = 1 << 22  # draws held at once


@dataclass(frozen=True, slots=True)
class Comparison:
    """System B against system A over the same utterances."""

    difference: float  # rate of B less rate of A
    interval: tuple[float, float]  # 95 %
    p_value: float  # two-sided: how often chance alone would show such a difference


def _draws(num: int, seed: int, num_samples: int) -> Iterator[NDArray[np.int64]]:
    """Weights of the utterances in each sample, in chunks of [samples, utterances]."""
    generator = np.random.default_rng(seed)
    per_chunk = max(1, _CHUNK_CELLS // max(num, 1))
    for start in range(0, num_samples, per_chunk):
        yield generator.integers(0, num, size=(min(per_chunk, num_samples - start), num))


def _rates(
    errors: NDArray[np.float64], tokens: NDArray[np.float64], seed: int, num_samples: int
) -> NDArray[np.float64]:
    found = []
    for draws in _draws(len(errors), seed, num_samples):
        totals = tokens[draws].sum(axis=1)
        found.append(errors[draws].sum(axis=1) / np.where(totals > 0, totals, np.nan))
    return np.concatenate(found)


def _interval(samples: NDArray[np.float64]) -> tuple[float, float] | None:
    kept = samples[np.isfinite(samples)]
    if not len(kept):
        return None
    low, high = np.percentile(kept, [2.5, 97.5])
    return float(low), float(high)


def interval(
    errors: ArrayLike, tokens: ArrayLike, *, seed: int = 0, num_samples: int = _NUM_SAMPLES
) -> tuple[float, float] | None:
    """95 % interval of an error rate from edits and reference tokens of each utterance.

    None for fewer than two utterances, which say nothing of their spread.

    >>> interval([1, 1, 1], [10, 10, 10])
    (0.1, 0.1)
    """
    e, t = np.asarray(errors, dtype=np.float64), np.asarray(tokens, dtype=np.float64)
    return _interval(_rates(e, t, seed, num_samples)) if len(e) >= 2 else None


def compare_systems(
    errors_a: ArrayLike,
    errors_b: ArrayLike,
    tokens: ArrayLike,
    *,
    seed: int = 0,
    num_samples: int = _NUM_SAMPLES,
) -> Comparison:
    """Paired bootstrap of two systems on the same utterances (Koehn 2004)."""
    a, b = np.asarray(errors_a, dtype=np.float64), np.asarray(errors_b, dtype=np.float64)
    t = np.asarray(tokens, dtype=np.float64)
    if not len(a) == len(b) == len(t) or len(t) < 2 or not t.sum():
        raise ValueError(
            f"a comparison needs the same two or more utterances, got {len(a)}, {len(b)}, {len(t)}"
        )
    samples = _rates(b - a, t, seed, num_samples)
    samples = samples[np.isfinite(samples)]
    difference = float((b - a).sum() / t.sum())
    # The samples scatter around the difference; moved to zero they show what chance alone does.
    extreme = np.count_nonzero(np.abs(samples - difference) >= abs(difference) - 1e-12)
    return Comparison(
        difference,
        _interval(samples) or (difference, difference),
        min(1.0, (int(extreme) + 1) / (len(samples) + 1)),
    )


def bleu_interval(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    language: str,
    *,
    seed: int = 0,
    num_samples: int = _NUM_SAMPLES,
) -> tuple[float, float] | None:
    """95 % interval of a corpus BLEU: the n-gram counts of drawn utterances are added up."""
    if len(hypotheses) < 2:
        return None
    metric = bleu_metric(language)
    rows = []
    for hypothesis, several in zip(hypotheses, references, strict=True):
        score = metric.corpus_score([hypothesis], [[reference] for reference in several])
        rows.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    statistics = np.asarray(rows, dtype=np.int64)
    compute: Callable[..., Any] = type(metric).compute_bleu
    samples = [
        float(compute(s[:4].tolist(), s[4:8].tolist(), int(s[8]), int(s[9]), "exp").score)
        for draws in _draws(len(rows), seed, num_samples)
        for draw in draws
        for s in (statistics[draw].sum(axis=0),)
    ]
    return _interval(np.asarray(samples))
