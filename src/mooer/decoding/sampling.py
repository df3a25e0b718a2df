"""Adjust the scores of the next id, choose or draw one, and stop what has ended: row by row.

Greedy decoding and sampling keep rows apart: what is drawn for one does not depend on what else
is in the batch. The order of adjustments is that of transformers' `generate`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mooer.decoding.generation import Hypothesis, SearchOptions, State, StepModel
from mooer.decoding.hotwords import Boost
from mooer.errors import ConfigError, DecodeError

if TYPE_CHECKING:
    from torch import Generator, Tensor

_MANY_SAMPLES = 1 << 16  # of one utterance; then the next seed begins


def adjust(
    scores: Tensor, said: Sequence[Sequence[int]], options: SearchOptions, eos_ids: Sequence[int]
) -> Tensor:
    """Scores [R, V] changed in place by what the options say of the end and of repetition.

    `said` are the ids of each row so far.
    """
    import torch

    ends = list(eos_ids)
    if options.eos_bias:
        scores[:, ends] += options.eos_bias
    for row, ids in enumerate(said):
        if options.repetition_penalty != 1.0 and ids:
            known = torch.tensor(sorted(set(ids)), device=scores.device)
            old = scores[row, known]
            penalty = options.repetition_penalty
            scores[row, known] = torch.where(old < 0, old * penalty, old / penalty)
        if options.no_repeat_ngram:
            scores[row, repeating(ids, options.no_repeat_ngram)] = float("-inf")
        if len(ids) < options.min_new_tokens:
            scores[row, ends] = float("-inf")
    return scores


def attract(
    scores: Tensor, said: Sequence[Sequence[int]], boost: Boost, *, takes_back: bool
) -> Tensor:
    """Scores [R, V] changed in place by what draws each row towards hotwords."""
    import torch

    for row, ids in enumerate(said):
        bias = boost.bias(ids, takes_back=takes_back)
        if bias.others:
            scores[row] += bias.others
        if bias.units:
            values = torch.tensor([v - bias.others for v in bias.values], dtype=scores.dtype)
            scores[row, torch.tensor(bias.units)] += values.to(scores.device)
    return scores


def repeating(ids: Sequence[int], size: int) -> list[int]:
    """Ids with which a run of `size` would come a second time.

    >>> repeating([1, 2, 3, 1, 2], 3)
    [3]
    """
    tail = tuple(ids[len(ids) - size + 1 :])
    return [
        ids[i + size - 1]
        for i in range(len(ids) - size + 1)
        if tuple(ids[i : i + size - 1]) == tail
    ]


def warp(scores: Tensor, options: SearchOptions, min_kept: int = 1) -> Tensor:
    """Scores [R, V] by temperature, and -inf for all but the likeliest, at least `min_kept`."""
    import torch

    if options.temperature != 1.0:
        scores = scores / options.temperature
    if options.top_k:
        num = min(max(options.top_k, min_kept), scores.shape[-1])
        least = scores.topk(num).values[:, -1:]
        scores = scores.masked_fill(scores < least, float("-inf"))
    if options.top_p < 1.0:
        ranked, order = torch.sort(scores)
        unlikely = ranked.softmax(-1).cumsum(-1) <= 1 - options.top_p
        unlikely[:, -min_kept:] = False
        scores = scores.masked_fill(unlikely.scatter(1, order, unlikely), float("-inf"))
    return scores


class Noise:
    """Gumbel noise: the largest of log-probability + noise is a draw, the k largest are k draws.

    Of one seed on every device, and of one row whatever the others are (Kool et al. 2019,
    arXiv:1903.06059, for draws without replacement).
    """

    def __init__(self, seed: int, sample: int = 0) -> None:
        import torch

        self._generator: Generator = torch.Generator().manual_seed(seed * _MANY_SAMPLES + sample)

    def like(self, scores: Tensor) -> Tensor:
        """Noise [..., V] for scores of this shape."""
        import torch

        waits = torch.empty(scores.shape).exponential_(generator=self._generator)
        return -waits.clamp_(min=1e-30).log_().to(scores.device)


def decode_rows(
    model: StepModel[State],
    embeds: Tensor,
    mask: Tensor,
    options: SearchOptions,
    *,
    eos_ids: Sequence[int],
    limits: Sequence[int],
    boost: Boost | None = None,
) -> list[list[Hypothesis]]:
    """Greedy or sampled hypotheses of each prompt [B, L, W], the likeliest first.

    `limits` are the most new tokens of each.
    """
    num_best = options.num_best
    tokens: list[list[int]] = [[] for _ in range(len(limits) * num_best)]
    logprobs: list[list[float]] = [[] for _ in tokens]
    walk = _walk(model, embeds, mask, options, eos_ids=eos_ids, limits=limits, boost=boost)
    for row, token, logprob in walk:
        tokens[row].append(token)
        logprobs[row].append(logprob)
    found = [
        _hypothesis(ids, probs, options, eos_ids)
        for ids, probs in zip(tokens, logprobs, strict=True)
    ]
    return [
        sorted(found[i * num_best : (i + 1) * num_best], key=lambda h: -h.score)
        for i in range(len(limits))
    ]


def stream_ids(
    model: StepModel[State],
    embeds: Tensor,
    mask: Tensor,
    options: SearchOptions,
    *,
    eos_ids: Sequence[int],
    boost: Boost | None = None,
) -> Iterator[tuple[int, float]]:
    """Ids and log-probabilities of one prompt [1, L, W], each as it is found; not the end.

    ConfigError for several beams: which of them wins is known only at the end.
    """
    if options.num_beams != 1 or options.num_best != 1:
        raise ConfigError(
            f"tokens come one by one from one beam alone, not {options.num_beams}: set num_beams "
            "and num_best to 1"
        )
    assert len(embeds) == 1, "one utterance at a time"
    limits = [options.max_new_tokens]
    walk = _walk(model, embeds, mask, options, eos_ids=eos_ids, limits=limits, boost=boost)
    for _, token, logprob in walk:
        if token not in eos_ids:
            yield token, logprob


def _walk(
    model: StepModel[State],
    embeds: Tensor,
    mask: Tensor,
    options: SearchOptions,
    *,
    eos_ids: Sequence[int],
    limits: Sequence[int],
    boost: Boost | None = None,
) -> Iterator[tuple[int, int, float]]:
    """(row, id, log-probability) of every row at every step; rows that ended leave the batch."""
    import torch

    logits, state = model.start(embeds, mask)
    limits = [limit for limit in limits for _ in range(options.num_best)]
    rows = list(range(len(limits)))
    if options.num_best > 1:
        first = torch.arange(len(embeds)).repeat_interleave(options.num_best)
        logits, state = logits[first.to(logits.device)], model.reorder(state, first)
    said: list[list[int]] = [[] for _ in rows]
    noises = [Noise(options.seed, row % options.num_best) for row in rows]
    while True:
        ids, logprobs = _choose(
            logits, [said[r] for r in rows], [noises[r] for r in rows], options, eos_ids, boost
        )
        going: list[int] = []
        for place, (row, token, logprob) in enumerate(zip(rows, ids, logprobs, strict=True)):
            yield row, token, logprob
            said[row].append(token)
            if token not in eos_ids and len(said[row]) < limits[row]:
                going.append(place)
        if not going:
            return
        if len(going) < len(rows):
            state = model.reorder(state, torch.tensor(going))
            rows, ids = [rows[i] for i in going], [ids[i] for i in going]
        logits, state = model.step(torch.tensor(ids), state)


def _choose(
    logits: Tensor,
    said: Sequence[Sequence[int]],
    noises: Sequence[Noise],
    options: SearchOptions,
    eos_ids: Sequence[int],
    boost: Boost | None = None,
) -> tuple[list[int], list[float]]:
    import torch

    logits = logits.float()
    scores = adjust(logits.clone(), said, options, eos_ids)
    if boost is not None:
        attract(scores, said, boost, takes_back=False)
    if options.sample:
        scores = warp(scores, options)
        scores = torch.stack(
            [row + noise.like(row) for row, noise in zip(scores, noises, strict=True)]
        )
    ids = _largest(scores)
    chosen = logits.gather(1, ids) - logits.logsumexp(-1, keepdim=True)
    logprobs: list[float] = chosen[:, 0].tolist()
    if any(map(math.isnan, logprobs)):
        raise no_numbers()
    return ids[:, 0].tolist(), logprobs


def _largest(scores: Tensor) -> Tensor:
    """The place [R, 1] of the first largest of each row of float32 scores [R, V]."""
    import torch

    if scores.device.type != "cpu":
        return scores.argmax(-1, keepdim=True)
    # On a processor numpy finds it in a tenth of torch's time.
    return torch.from_numpy(scores.numpy().argmax(-1))[:, None]


def no_numbers() -> DecodeError:
    """What to raise when a model gives NaN."""
    return DecodeError(
        "the model gives NaN instead of probabilities: its weights or the features are damaged, "
        "or its number type is too small (try float32)"
    )


def _hypothesis(
    ids: Sequence[int], logprobs: Sequence[float], options: SearchOptions, eos_ids: Sequence[int]
) -> Hypothesis:
    ended = ids[-1] in eos_ids
    score = sum(logprobs) / len(logprobs) ** options.length_penalty
    return Hypothesis(tuple(ids[:-1] if ended else ids), tuple(logprobs), score, ended)
