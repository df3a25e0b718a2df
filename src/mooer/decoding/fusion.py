r"""How an acoustic model and language models are joined: one formula, and a method for each part.

Of a text y that is heard in x, with natural logarithms, the end of the sentence scored, and |y| the
number of words (Chinese: of characters):

    score(y) = log p(y|x) + λ log p_LM(y) - λ_S log p_S(y) - λ_I log p_I(y) + β |y|

| method  | what it takes of the formula            | where it is applied                        |
|---------|------------------------------------------|--------------------------------------------|
| shallow | λ log p_LM + β abs(y)                    | in the search, unit by unit                |
| rescore | λ log p_LM + β abs(y)                    | to the n-best of a search without any LM   |
| density | λ log p_LM - λ_S log p_S + β abs(y)      | in the search; p_S: of training transcripts |
| lodr    | the same, with p_S of order 2            | in the search                              |
| ilme    | λ log p_LM - λ_I log p_I + β abs(y)      | in the search; p_I: the model's own habit  |
| wfst    | as ilme, of the best path alone          | in the graph T ∘ L ∘ G (`decoding.wfst`)   |

Shallow fusion: Gulcehre et al. 2015, arXiv:1503.03535. Density ratio: McDermott et al. 2019,
arXiv:2002.11268. LODR: Zheng et al. 2022, arXiv:2203.16776. ILME: Meng et al. 2020,
arXiv:2011.01991; of CTC, p_I is the prior of its units. In a graph it is that of every frame of the
path, blanks included, as the posteriors of a hybrid model are divided (Miao et al. 2015,
arXiv:1507.08240).

Of Whisper, p_I is its decoder with a cross-attention context of zero (Meng et al. 2020, section 3;
`engines.whisper_search`). Units of a decoder (characters, pieces, bytes) and of an LM differ, so
LMs score text: that of a word comes with what begins after it (`decoding.lm.text_lm`).
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.lm.text_lm import TextLM
from mooer.errors import ConfigError, did_you_mean
from mooer.text import is_cjk

LM, SOURCE, ILM, LENGTH = "lm", "source", "ilm", "length"  # parts of the formula
FRAMES = "frames"  # p_I of a graph: of the frames of a path
MAX_WEIGHT = 10.0
_MAX_KNOWN = 100_000  # states with units: about 40 MB
_LEAST_PRIOR = 1e-4
Piece: TypeAlias = "str | bytes"


@dataclass(frozen=True)
class Method:
    """What of the formula a method takes."""

    parts: tuple[str, ...]
    in_search: bool = True  # else only to what a search has found


METHODS: Mapping[str, Method] = {
    "shallow": Method((LM, LENGTH)),
    "rescore": Method((LM, LENGTH), in_search=False),
    "density": Method((LM, SOURCE, LENGTH)),
    "lodr": Method((LM, SOURCE, LENGTH)),
    "ilme": Method((LM, ILM, LENGTH)),
    "wfst": Method((LM, FRAMES, LENGTH)),
}


@dataclass(frozen=True)
class FusionOptions:
    """A method and its weights, as they stand in the formula."""

    method: str = "shallow"
    lm_weight: float = 0.4  # λ
    source_weight: float = 0.0  # λ_S, of density and lodr
    ilm_weight: float = 0.0  # λ_I, of ilme and wfst
    length_bonus: float = 0.0  # β, natural log a word

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"unknown fusion {self.method!r}: {did_you_mean(self.method, METHODS)}"
            )
        for name in ("lm_weight", "source_weight", "ilm_weight"):
            if not 0 <= getattr(self, name) <= MAX_WEIGHT:
                raise ConfigError(
                    f"{name} must be from 0 to {MAX_WEIGHT:g}, got {getattr(self, name):g}: the "
                    "formula itself subtracts where a method does"
                )
        if not abs(self.length_bonus) <= MAX_WEIGHT:
            raise ConfigError(
                f"length_bonus must be between -{MAX_WEIGHT:g} and {MAX_WEIGHT:g}, got "
                f"{self.length_bonus:g}"
            )
        for name, parts in (("source_weight", {SOURCE}), ("ilm_weight", {ILM, FRAMES})):
            if getattr(self, name) and parts.isdisjoint(METHODS[self.method].parts):
                takers = [known for known, one in METHODS.items() if parts & {*one.parts}]
                raise ConfigError(
                    f"the fusion {self.method} has no use for {name}: leave it out, or take "
                    f"{' or '.join(takers)}"
                )

    @property
    def weights(self) -> dict[str, float]:
        """What each part of the formula is multiplied by; those that are 0 are left out."""
        signed = {
            LM: self.lm_weight,
            SOURCE: -self.source_weight,
            ILM: -self.ilm_weight,
            FRAMES: -self.ilm_weight,
            LENGTH: self.length_bonus,
        }
        parts = METHODS[self.method].parts
        return {name: weight for name, weight in signed.items() if weight and name in parts}


class Length:
    """The number of words of a text, Chinese characters one by one, as a `TextLM` of it.

    >>> length_of("我用 Python, don't")
    4
    """

    def start(self) -> tuple[bool, bytes]:
        """Whether a word is open, and the bytes of a character that is not whole yet."""
        return False, b""

    def advance(self, state: tuple[bool, bytes], piece: Piece) -> tuple[float, tuple[bool, bytes]]:
        """How many words begin in a piece; half a character begins none."""
        is_open, rest = state
        if isinstance(piece, bytes):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            decoder.setstate((rest, 0))
            piece = decoder.decode(piece)
            rest = decoder.getstate()[0]
        count = 0
        for character in piece:
            if is_cjk(character):
                count += 1
                is_open = False
            elif character.isalnum():
                count += not is_open
                is_open = True
            elif character not in "'’":
                is_open = False
        return float(count), (is_open, rest)

    def finish(self, state: tuple[bool, bytes]) -> float:
        """The end is no word."""
        return 0.0

    def logprobs(self, texts: Sequence[str]) -> list[float]:
        """The lengths of whole texts."""
        return [float(length_of(text)) for text in texts]


def length_of(text: str) -> int:
    """|y| of the formula."""
    return int(Length().advance((False, b""), text)[0])


class TextScorer:
    """Language models over the units of a decoder: a `Scorer`.

    `pieces` says what each unit writes, spaces included: a sequence or a mapping by unit. What a
    unit adds in a state is remembered: many texts of a beam end in the same words.
    """

    def __init__(
        self,
        terms: Sequence[tuple[TextLM[Any], float]],
        pieces: Sequence[Piece] | Mapping[int, Piece],
    ) -> None:
        self._terms = tuple(terms)
        self._pieces = pieces
        self._known: dict[tuple[tuple[Any, ...], int], tuple[float, tuple[Any, ...]]] = {}

    def start(self) -> tuple[Any, ...]:
        """The states of all models at the beginning of a sentence."""
        return tuple(lm.start() for lm, _ in self._terms)

    def advance(self, state: tuple[Any, ...], unit: int) -> tuple[float, tuple[Any, ...]]:
        """What is known once this unit stands there, each model at its weight."""
        key = state, unit
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[key] = self._advance(state, unit)
        return found

    def _advance(self, state: tuple[Any, ...], unit: int) -> tuple[float, tuple[Any, ...]]:
        piece = self._pieces[unit]
        total = 0.0
        after = []
        for (lm, weight), before in zip(self._terms, state, strict=True):
            added, new = lm.advance(before, piece)
            if added:
                total += weight * added
            after.append(new)
        return total, tuple(after)

    def finish(self, state: tuple[Any, ...]) -> float:
        """The last words, and the end of the sentence."""
        terms = zip(self._terms, state, strict=True)
        return sum(weight * lm.finish(before) for (lm, weight), before in terms)


def frame_prior(posterior: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Natural log [V] of the mean posterior, the blank included: p_I of a frame.

    A class that is rarer than one frame in ten thousand counts as if it were not: what was hardly
    ever heard says nothing of how often it is.
    """
    found: NDArray[np.float32] = np.log(np.maximum(posterior, _LEAST_PRIOR)).astype(np.float32)
    return found


class UnitPrior:
    """How often a CTC model says each unit whatever is heard: its internal LM, as a `Scorer`.

    The mean posterior over frames of some speech, the blank left out and the rest made to sum up
    to 1, is a unigram of units.
    """

    def __init__(self, posterior: NDArray[np.floating[Any]], blank: int, weight: float) -> None:
        """The mean posterior [V]. ConfigError if it is none."""
        known = np.asarray(posterior, np.float64)
        if known.ndim != 1 or not np.isfinite(known).all() or (known < 0).any():
            raise ConfigError(
                f"a prior is a list of probabilities, got an array {list(known.shape)} with "
                "other numbers in it: estimate it again"
            )
        spoken = np.delete(known, blank)
        if not spoken.sum() > 0:
            raise ConfigError("the prior says that nothing is ever said: estimate it on speech")
        # A unit that was never heard is as rare as the rarest that was.
        seen = np.maximum(known, spoken[spoken > 0].min())
        seen[blank] = 0.0
        with np.errstate(divide="ignore"):
            self.log_probs: list[float] = np.log(seen / seen.sum()).tolist()
        self.weight = weight

    def start(self) -> None:
        """A unigram remembers nothing."""

    def advance(self, state: None, unit: int) -> tuple[float, None]:
        """The unit's own, at its weight."""
        return self.weight * self.log_probs[unit], None

    def finish(self, state: None) -> float:
        """CTC has no end of a sentence."""
        return 0.0

    def logprob(self, units: Sequence[int]) -> float:
        """Natural log of units, unweighted."""
        return math.fsum(self.log_probs[unit] for unit in units)
