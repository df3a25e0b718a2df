"""What is searched for in the log-probabilities of a CTC model: its own path, hotwords, an LM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.alignment import align_words
from mooer.decoding.ctc import Heard, along, steady
from mooer.decoding.emissions import keep
from mooer.decoding.fusion import FRAMES, ILM, UnitPrior, frame_prior
from mooer.decoding.nbest import Candidate
from mooer.decoding.prefixes import CtcOptions, Found, prefix_search
from mooer.decoding.scorer import Scorer
from mooer.decoding.wfst import Graph, Walk, WfstOptions
from mooer.infer.fusion import NUM_BEST, WIDE, Fusion
from mooer.text.units import START, Units

Floats = NDArray[np.float32]
_NUM_WALKS = 32  # texts of a lattice that hotwords choose from
_SCALES = tuple(map(np.float32, (0.7, 1.0, 2.0)))  # of the sound in a graph: as 1/λ


@dataclass(frozen=True)
class Spelling:
    """The classes of a CTC model: what each writes, spaces included, and which says nothing."""

    pieces: tuple[str, ...]
    blank: int
    change_cost: float = 0.0  # see `decoding.ctc.steady`

    @classmethod
    def of_units(cls, units: Units, change_cost: float) -> Spelling:
        """Of units whose classes begin at 1; the blank is 0."""
        names = (name.replace(START, " ") for name in units.names)
        return cls(("", *names), 0, change_cost)

    def text(self, units: Sequence[int]) -> str:
        """What classes write one after another."""
        return " ".join("".join(self.pieces[unit] for unit in units).split())


def log_softmax(logits: Floats) -> Floats:
    """Natural logarithms [F, V] of the probabilities that logits stand for."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


class CtcSearch:
    """A search with everything that weighs texts. ConfigError for a fusion that lacks a part."""

    def __init__(
        self,
        spelling: Spelling,
        *,
        fusion: Fusion | None = None,
        boost: Scorer[Any] | None = None,
        beam_size: int | None = None,
    ) -> None:
        self.spelling = spelling
        self._fusion = fusion
        self._boosts = [] if boost is None else [boost]
        self._graph = fusion.graph if fusion and fusion.options.method == "wfst" else None
        self._scorers: list[Scorer[Any]] = list(self._boosts)
        if fusion is not None and not fusion.needs_nbest and self._graph is None:
            self._scorers += fusion.scorers(spelling.pieces, spelling.blank)
        options = CtcOptions() if fusion is None else WIDE
        self._options = replace(
            options,
            beam_size=beam_size or options.beam_size,
            change_cost=spelling.change_cost,
        )

    def heard(self, log_probs: Floats, frame_s: float) -> list[Heard]:
        """What log-probabilities [F, V] say, and where; by its own path if nothing weighs texts."""
        if self._fusion is None and not self._scorers:
            return steady(log_probs, self.spelling.blank, self.spelling.change_cost)
        if self._graph is not None:
            walk = self._walk(self._graph, self._likelihoods(log_probs))
            if walk is None:
                return []
            return along(walk.path, walk.units, log_probs, self.spelling.blank)
        units = self.units(log_probs)
        if not units:
            return []
        [word] = align_words(keep(log_probs, self.spelling.blank, frame_s), [units])
        return [
            Heard(unit, one.start, one.end, one.logprob)
            for unit, one in zip(units, word.units, strict=True)
        ]

    def units(self, log_probs: Floats) -> tuple[int, ...]:
        """The classes [L] that a search finds in log-probabilities [F, V]."""
        if self._graph is not None:
            return tuple(one.unit for one in self.heard(log_probs, 1.0))
        texts = prefix_search(log_probs, self.spelling.blank, self._options, self._scorers)
        if self._fusion is None or not self._fusion.needs_nbest:
            return texts[0].units
        texts = texts[:NUM_BEST]
        return texts[self._fusion.best(map(self.candidate, texts))].units

    def nbest(
        self, log_probs: Floats, num: int, prior: NDArray[np.float32] | None = None
    ) -> list[Candidate]:
        """The best texts of this search, to be rescored or tuned on; with what they sound like.

        What weighs texts chooses them, and is no part of their log-probabilities. With the mean
        posterior [V] of the model they carry its internal LM; from a graph, that of their frames.
        A graph is walked with the sound at several weights: a lattice holds less of what differs.
        """
        if self._graph is not None:
            rows = self._likelihoods(log_probs)
            walks = [self._graph.decode(scale * rows) for scale in _SCALES]
            best = {one.units: one for walk in walks for one in walk}
            return [self.walked(one.units, one.path, log_probs, prior) for one in best.values()]
        wide = replace(self._options, beam_size=max(num, self._options.beam_size))
        found = prefix_search(log_probs, self.spelling.blank, wide, self._scorers)[:num]
        ilm = None if prior is None else UnitPrior(prior, self.spelling.blank, 1.0)
        scores = [{ILM: ilm.logprob(one.units)} if ilm else {} for one in found]
        return [
            Candidate.of(self.spelling.text(one.units), one.logprob, known)
            for one, known in zip(found, scores, strict=True)
        ]

    def first(self, log_probs: Floats, prior: NDArray[np.float32] | None = None) -> Candidate:
        """What the model says by its own path, scored as those of a graph."""
        heard = steady(log_probs, self.spelling.blank, self.spelling.change_cost)
        path = np.full(len(log_probs), self.spelling.blank)
        for one in heard:
            path[one.start : one.end] = one.unit
        return self.walked([one.unit for one in heard], path, log_probs, prior)

    def walked(
        self,
        units: Sequence[int],
        path: Sequence[int] | NDArray[np.integer[Any]],
        log_probs: Floats,
        prior: NDArray[np.float32] | None,
    ) -> Candidate:
        """A text by one path [F] alone, as a line of an n-best list."""
        classes = np.asarray(path)
        changes = np.count_nonzero(np.diff(classes, prepend=self.spelling.blank))
        logprob = log_probs[np.arange(len(classes)), classes].sum(dtype=np.float64)
        logprob -= self.spelling.change_cost * changes
        scores = {}
        if prior is not None:
            scores[FRAMES] = float(frame_prior(prior)[classes].sum(dtype=np.float64))
        return Candidate.of(self.spelling.text(units), float(logprob), scores)

    def _walk(self, graph: Graph, rows: Floats) -> Walk | None:
        """The best path; with hotwords the best of several, which takes ten times as long."""
        several = graph.decode(rows, WfstOptions(num_best=_NUM_WALKS)) if self._boosts else []
        walks = several or graph.decode(rows)
        return max(walks, key=lambda one: one.score + self._boosted(one.units), default=None)

    def _boosted(self, units: Sequence[int]) -> float:
        """What hotwords add to a text."""
        total = 0.0
        for boost in self._boosts:
            state = boost.start()
            for unit in units:
                added, state = boost.advance(state, unit)
                total += added
            total += boost.finish(state)
        return total

    def _likelihoods(self, log_probs: Floats) -> Floats:
        """What a graph is walked by: posteriors [F, V] over the prior at its weight."""
        assert self._fusion is not None
        prior, weight = self._fusion.prior, self._fusion.options.ilm_weight
        if prior is None or not weight:
            return log_probs
        return log_softmax(log_probs - np.float32(weight) * frame_prior(prior))

    def candidate(self, found: Found) -> Candidate:
        """A text that was found, as a line of an n-best list; hotwords are part of its score."""
        return Candidate.of(self.spelling.text(found.units), found.score)
