"""Language models that are joined with recognisers: loaded once, put into any search, or after it.

    fusion = load_fusion(FusionOptions("shallow", lm_weight=0.5), lm="domain.arpa")
    mooer.load("rich-mini").transcribe("a.wav", fusion=fusion)

What the methods are, and their formula, stands in `decoding.fusion`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.ctc import CtcModel
from mooer.decoding.fusion import (
    ILM,
    LENGTH,
    LM,
    METHODS,
    SOURCE,
    FusionOptions,
    Length,
    Piece,
    TextScorer,
    UnitPrior,
)
from mooer.decoding.lm.text_lm import NGramText, TextLM
from mooer.decoding.nbest import Candidate, NBest
from mooer.decoding.prefixes import CtcOptions
from mooer.decoding.scorer import Scorer
from mooer.decoding.wfst import Graph
from mooer.errors import ConfigError, ModelError
from mooer.files import write_whole
from mooer.infer.language_models import load_language_model

logger = logging.getLogger(__name__)

NUM_BEST = 8  # candidates of a chunk that are rescored
# As wide as language models need it: what they like may be the tenth by sound.
_LENGTH: Any = Length()  # scores as a `TextLM` does
WIDE = CtcOptions(beam_size=32, min_logprob=-7.0, beam_drop=14.0)


@dataclass(frozen=True)
class Fusion:
    """A method with what it needs; ConfigError if something of that is missing."""

    options: FusionOptions
    lm: TextLM[Any] | None = None
    source: TextLM[Any] | None = None  # p_S
    prior: NDArray[np.float32] | None = None  # mean posterior [V] of a CTC model: ilme, wfst
    graph: Graph | None = None  # of wfst, with its weights in it but that of the prior

    def __post_init__(self) -> None:
        method = self.options.method
        if method == "wfst":
            if self.graph is None:
                raise ConfigError(
                    "the fusion wfst needs a graph: build one by `mooer domain build`"
                )
            if self.options.ilm_weight:
                self._checked_prior(self.graph.settings.num_classes)
            return
        if self.lm is None:
            raise ConfigError(f"the fusion {method} needs a language model: name one by --lm FILE")
        if SOURCE in METHODS[method].parts and self.source is None:
            raise ConfigError(
                f"the fusion {method} needs an LM of the recogniser's training texts: name one by "
                "--source-lm FILE"
            )
        if method == "lodr" and (order := _order(self.source)) > 2:
            raise ConfigError(
                f"lodr takes a source LM of order 2, not {order}: train one with --order 2, or "
                "take the fusion density"
            )

    @property
    def needs_nbest(self) -> bool:
        """Whether it is applied to what a search has found."""
        return not METHODS[self.options.method].in_search

    def refuse_graph(self, name: str) -> None:
        """ConfigError for wfst, which is a search for CTC models."""
        if self.options.method == "wfst":
            raise ConfigError(
                f"{name} is searched through no graph: take shallow, rescore, density, lodr or "
                "ilme, or a CTC model (--model rich-mini)"
            )

    def text_scorer(self, pieces: Sequence[Piece]) -> TextScorer | None:
        """What weighs texts in the search of a model whose units write `pieces`, but its habit."""
        weights = self.options.weights
        models = {LM: self.lm, SOURCE: self.source, LENGTH: _LENGTH}
        terms = [
            (model, weights[name])
            for name, model in models.items()
            if name in weights and model is not None
        ]
        return TextScorer(terms, pieces) if terms else None

    def scorers(self, pieces: Sequence[Piece], blank: int) -> list[Scorer[Any]]:
        """The same of a CTC model, and its prior. ConfigError for ilme without one."""
        weights = self.options.weights
        text = self.text_scorer(pieces)
        found: list[Scorer[Any]] = [] if text is None else [text]
        if ILM in weights:
            found.append(UnitPrior(self._checked_prior(len(pieces)), blank, weights[ILM]))
        return found

    def scored(self, one: NBest, ilm: Callable[[Sequence[str]], Sequence[float]] | None) -> NBest:
        """Candidates with every part of the formula that has no score yet.

        `ilm` gives natural logs of texts by the recogniser's own habit; ConfigError if the method
        needs it and there is none.
        """
        parts = METHODS[self.options.method].parts
        known = set(one.candidates[0].scores) if one.candidates else set()
        for name, lm in ((LM, self.lm), (SOURCE, self.source)):
            if name in parts and name not in known and lm is not None:
                one = one.scored(name, lm.logprobs)
        if ILM in parts and ILM not in known:
            if ilm is None:
                raise ConfigError(
                    "this recogniser tells nothing of its internal LM: take density or lodr"
                )
            one = one.scored(ILM, ilm)
        return one

    def best(self, candidates: Iterable[Candidate]) -> int:
        """The place of the best of some candidates."""
        listed = NBest("", tuple(candidates))
        weights = self.options.weights
        scores = [one.score(weights) for one in self.scored(listed, None).candidates]
        return int(np.argmax(scores))

    def _checked_prior(self, num_classes: int) -> NDArray[np.float32]:
        """The prior. ConfigError without one, or with that of another model."""
        if self.prior is None:
            raise ConfigError(
                f"{self.options.method} with an ilm_weight needs the prior of the CTC model: "
                "estimate it by `mooer domain build --dev`, or leave the weight out"
            )
        if len(self.prior) != num_classes:
            raise ConfigError(
                f"the prior is of {len(self.prior)} classes, but the model has {num_classes}: "
                "estimate it with this model"
            )
        return self.prior


def load_fusion(
    options: FusionOptions,
    *,
    lm: str | Path | None = None,
    source: str | Path | None = None,
    prior: str | Path | None = None,
    graph: str | Path | None = None,
) -> Fusion:
    """A fusion by the files of its parts. ConfigError, ModelError."""
    return Fusion(
        options,
        lm=load_language_model(lm) if lm else None,
        source=load_language_model(source) if source else None,
        prior=read_prior(Path(prior)) if prior else None,
        graph=Graph.load(Path(graph)) if graph else None,
    )


def estimate_prior(
    model: CtcModel, utterances: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Mean posterior [V] over the frames of some speech, each utterance [T] of at most 30 s."""
    total: NDArray[np.float64] | None = None
    for samples in utterances:
        posteriors = np.exp(model.log_probs(samples).astype(np.float64)).sum(axis=0)
        total = posteriors if total is None else total + posteriors
    if total is None or not total.sum() > 0:
        raise ConfigError("a prior needs speech to be estimated on: none was given")
    mean: NDArray[np.float32] = (total / total.sum()).astype(np.float32)
    return mean


def read_prior(path: Path) -> NDArray[np.float32]:
    """What `estimate_prior` gave, from a .npy file. ModelError for another file."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is no prior ({error}): estimate it again") from None
    if not isinstance(found, np.ndarray) or found.ndim != 1:
        raise ModelError(f"{path} is no prior: estimate it again")
    prior: NDArray[np.float32] = np.array(found, np.float32)
    return prior


def save_prior(path: Path, prior: NDArray[np.float32]) -> None:
    """The file that `read_prior` reads. OutputError if it cannot be written."""
    buffer = io.BytesIO()
    np.save(buffer, prior, allow_pickle=False)
    write_whole(path, buffer.getvalue())


def _order(lm: TextLM[Any] | None) -> int:
    return lm.model.order if isinstance(lm, NGramText) else 0
