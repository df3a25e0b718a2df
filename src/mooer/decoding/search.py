"""Decode a batch of prompts: beam search here, greedy decoding and sampling by `sampling`.

Beams of all utterances go through the model together; an utterance whose best hypothesis cannot
be overtaken any more leaves the batch. Hypotheses are kept and compared as in transformers'
`generate` (early_stopping=False), so that released models say what they said there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mooer.decoding.generation import Hypothesis, SearchOptions, State, StepModel
from mooer.decoding.hotwords import Boost
from mooer.decoding.sampling import Noise, adjust, attract, decode_rows, no_numbers, warp

if TYPE_CHECKING:
    from torch import Tensor

_NEVER = float("-inf")


def decode(
    model: StepModel[State],
    embeds: Tensor,
    mask: Tensor,
    options: SearchOptions,
    *,
    eos_ids: Sequence[int],
    limits: Sequence[int] | None = None,
    boost: Boost | None = None,
) -> list[list[Hypothesis]]:
    """Hypotheses of each prompt [B, L, W], the best first, at most `options.num_best`.

    `mask` [B, L] is False on the padding, which is to the left. `limits` are the most new tokens
    of each utterance, where that is less than `options.max_new_tokens`. `boost` draws beams towards
    hotwords, and takes back what it gave to beginnings of them; one beam alone it only draws.
    DecodeError if the model gives NaN.
    """
    most = options.max_new_tokens
    limits = [most if limits is None else min(most, limits[i]) for i in range(len(embeds))]
    assert all(limit >= 1 for limit in limits), limits
    if options.num_beams == 1:
        return decode_rows(
            model, embeds, mask, options, eos_ids=eos_ids, limits=limits, boost=boost
        )
    searches = [_Search(options, frozenset(eos_ids), limit) for limit in limits]
    _search(model, embeds, mask, options, searches, boost)
    return [search.best() for search in searches]


@dataclass(frozen=True, slots=True)
class _Node:
    """A token and, through the one before it, a whole hypothesis."""

    token: int
    logprob: float
    before: _Node | None

    def path(self) -> Iterator[_Node]:
        """The tokens from last to first."""
        node: _Node | None = self
        while node is not None:
            yield node
            node = node.before


@dataclass(frozen=True, slots=True)
class _Beam:
    """A hypothesis that may go on, and the row of the model that holds it."""

    score: float
    node: _Node | None
    row: int

    def tokens(self) -> list[int]:
        return [node.token for node in self.node.path()][::-1] if self.node else []


@dataclass(frozen=True, slots=True)
class _Candidate:
    score: float
    beam: int  # which of the beams it continues
    token: int
    logprob: float


class _Search:
    """The beams of one utterance."""

    def __init__(self, options: SearchOptions, eos_ids: frozenset[int], limit: int) -> None:
        self.eos_ids = eos_ids
        self.beams = [_Beam(0.0, None, 0)]
        self.noise = Noise(options.seed) if options.sample else None
        self._options = options
        self._limit = limit
        self._length = 0
        self._done: list[tuple[float, _Node]] = []
        self._hopeless = False

    @property
    def is_over(self) -> bool:
        """Nothing that is still open can become one of the best."""
        return self._hopeless or self._length >= self._limit

    def advance(self, candidates: Sequence[_Candidate]) -> None:
        """Take one step: candidates, the best first, end or become the new beams."""
        num_beams = self._options.num_beams
        self._length += 1
        divisor = self._length**self._options.length_penalty
        going: list[_Beam] = []
        for rank, one in enumerate(candidates):
            if one.score == _NEVER:
                continue
            before = self.beams[one.beam]
            node = _Node(one.token, one.logprob, before.node)
            if one.token in self.eos_ids or self._length >= self._limit:
                if rank < num_beams:
                    self._done.append((one.score / divisor, node))
            else:
                going.append(_Beam(one.score, node, before.row))
        self._done = sorted(self._done, key=lambda pair: -pair[0])[:num_beams]
        self.beams = sorted(going, key=lambda beam: -beam.score)[:num_beams]
        if not self.beams:
            self._hopeless = True
        elif len(self._done) == num_beams:
            self._hopeless = self.beams[0].score / divisor <= self._done[-1][0]

    def best(self) -> list[Hypothesis]:
        """What was found, the best first."""
        return [_finished(score, node, self.eos_ids) for score, node in self._done][
            : self._options.num_best
        ]


def _finished(score: float, node: _Node, eos_ids: frozenset[int]) -> Hypothesis:
    nodes = list(node.path())[::-1]
    ended = node.token in eos_ids
    tokens = [n.token for n in nodes]
    return Hypothesis(
        tuple(tokens[:-1] if ended else tokens), tuple(n.logprob for n in nodes), score, ended
    )


def _search(
    model: StepModel[State],
    embeds: Tensor,
    mask: Tensor,
    options: SearchOptions,
    searches: Sequence[_Search],
    boost: Boost | None = None,
) -> None:
    """Run all searches to their end; each has as many rows as the others, dead ones if need be."""
    import torch

    logits, state = model.start(embeds, mask)
    active = list(searches)
    while True:
        num_rows = len(logits) // len(active)
        ranked = _candidates(logits, active, options, boost)
        for search, candidates in zip(active, ranked, strict=True):
            search.advance(candidates)
        rows: list[int] = []
        tokens: list[int] = []
        for place, search in enumerate(active):
            if search.is_over:
                continue
            # A vocabulary smaller than the beam leaves some without a hypothesis.
            missing = options.num_beams - len(search.beams)
            search.beams += [_Beam(_NEVER, search.beams[0].node, search.beams[0].row)] * missing
            for beam in search.beams:
                assert beam.node is not None
                rows.append(place * num_rows + beam.row)
                tokens.append(beam.node.token)
            search.beams = [_Beam(b.score, b.node, i) for i, b in enumerate(search.beams)]
        active = [search for search in active if not search.is_over]
        if not active:
            return
        state = model.reorder(state, torch.tensor(rows))
        logits, state = model.step(torch.tensor(tokens), state)


def _candidates(
    logits: Tensor,
    active: Sequence[_Search],
    options: SearchOptions,
    boost: Boost | None = None,
) -> list[list[_Candidate]]:
    """The best continuations over all beams of each search: enough if all ends are among them."""
    import torch

    logits = logits.float()
    totals = logits.logsumexp(-1, keepdim=True)
    beams = [beam for search in active for beam in search.beams]
    scores = logits - totals
    adjust(scores, _said(beams, options), options, sorted(active[0].eos_ids))
    if boost is not None:
        attract(scores, [beam.tokens() for beam in beams], boost, takes_back=True)
    num_ends = len(active[0].eos_ids)
    if options.sample:
        scores = warp(scores, options, min_kept=num_ends + 1)
    scores += torch.tensor([[beam.score] for beam in beams], device=scores.device)
    num_beams, vocabulary = len(beams) // len(active), scores.shape[-1]
    scores = scores.view(len(active), num_beams * vocabulary)
    num = min(max(2, 1 + num_ends) * options.num_beams, scores.shape[-1])
    if options.sample:
        drawn = [s + a.noise.like(s) for s, a in zip(scores, active, strict=True) if a.noise]
        places = torch.stack(drawn).topk(num).indices
        best = scores.gather(1, places)
    else:
        best, places = scores.topk(num)
    beam, token = places // vocabulary, places % vocabulary
    rows = beam + num_beams * torch.arange(len(active), device=beam.device)[:, None]
    logprobs = logits[rows, token] - totals[rows, 0]
    if bool(torch.isnan(best).any()):
        raise no_numbers()
    columns = (best.tolist(), beam.tolist(), token.tolist(), logprobs.tolist())
    return [
        [_Candidate(*values) for values in zip(*row, strict=True)]
        for row in zip(*columns, strict=True)
    ]


def _said(beams: Sequence[_Beam], options: SearchOptions) -> list[list[int]]:
    """The ids of each beam; empty rows where no option asks for them."""
    asked = options.no_repeat_ngram or options.repetition_penalty != 1.0 or options.min_new_tokens
    return [beam.tokens() for beam in beams] if asked else []
