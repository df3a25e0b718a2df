"""Weights of a fusion, by trying all of a grid on n-best lists with references.

Errors of every candidate are counted once; a point of the grid is then one product of arrays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooer.decoding.fusion import FRAMES, ILM, LENGTH, LM, METHODS, SOURCE, FusionOptions
from mooer.decoding.nbest import NBest
from mooer.errors import ConfigError, MissingExtra
from mooer.text import CHARACTER_LANGUAGES, character_tokens, word_tokens
from mooer.text.edit import distance

_FIELDS = {
    LM: "lm_weight",
    SOURCE: "source_weight",
    ILM: "ilm_weight",
    FRAMES: "ilm_weight",
    LENGTH: "length_bonus",
}
MAX_P = 0.1  # above it weights are taken for luck by `mooer lm tune`
_RESAMPLES = 2000
_SIGNS = {LM: 1.0, SOURCE: -1.0, ILM: -1.0, FRAMES: -1.0, LENGTH: 1.0}


@dataclass(frozen=True)
class Grid:
    """What is tried for each weight of `FusionOptions`.

    No more than lists are searched with: beyond that they do not hold what a search would find. As
    it stands, it is for CTC models; `infer.candidates.grid_for` has others.
    """

    lm_weight: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)
    source_weight: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
    ilm_weight: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
    length_bonus: tuple[float, ...] = (-0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
    max_bonus: float = math.inf  # β is at most so many times λ

    def __post_init__(self) -> None:
        if not all(getattr(self, name) for name in _FIELDS.values()):
            raise ConfigError("a grid needs at least one value of every weight")


@dataclass(frozen=True)
class Tuned:
    """The best point of a grid, or no weights at all if it is not surely better; all others."""

    options: FusionOptions
    num_errors: int
    num_tokens: int  # of the references
    first_errors: int  # of what the search itself put first
    oracle_errors: int  # of the candidates nearest to the references
    points: tuple[tuple[FusionOptions, int], ...]  # and their errors
    p_value: float  # of the best point against none: the share of resamples where it is no better

    @property
    def rate(self) -> float:
        """Errors at the best point, a token of the references."""
        return self.num_errors / max(1, self.num_tokens)


def tune(
    lists: Sequence[NBest], method: str, grid: Grid | None = None, *, max_p: float = 1.0
) -> Tuned:
    """Try the weights that a method takes; among equally good ones the smallest.

    Of many points some are better than none by luck: where the best has a p-value above `max_p`,
    all weights are 0. ConfigError without references, or where a list lacks a score that the
    method needs.
    """
    grid = grid or Grid()
    lists = [one for one in lists if one.reference is not None]
    if not lists:
        raise ConfigError("weights are tuned on n-best lists with references: none has one")
    parts = METHODS[FusionOptions(method).method].parts
    for one in lists:
        for part in parts:
            if part != LENGTH and any(part not in c.scores for c in one.candidates):
                raise ConfigError(
                    f"the candidates of {one.id} have no score {part!r}, which {method} needs: "
                    "score them first"
                )
    errors, num_tokens = _errors(lists)
    first, columns = _arrays(lists, parts)
    rows = np.arange(len(lists))
    values = [sorted(getattr(grid, _FIELDS[part]), key=abs) for part in parts]
    points: list[tuple[FusionOptions, int]] = []
    by_sound = errors[rows, first.argmax(axis=1)]
    best, best_errors = FusionOptions(method, lm_weight=0.0), by_sound
    for weights in itertools.product(*values):
        named = {_FIELDS[part]: w for part, w in zip(parts, weights, strict=True)}
        options = FusionOptions(method, **named)
        if options.length_bonus > grid.max_bonus * options.lm_weight:
            continue
        total = first.copy()
        for part, weight in zip(parts, weights, strict=True):
            total += _SIGNS[part] * weight * columns[part]
        chosen = errors[rows, total.argmax(axis=1)]
        points.append((options, int(chosen.sum())))
        if chosen.sum() < best_errors.sum():
            best, best_errors = options, chosen
    p_value = _luck(by_sound - best_errors)
    if p_value > max_p:
        best, best_errors = FusionOptions(method, lm_weight=0.0), by_sound
    return Tuned(
        options=best,
        num_errors=int(best_errors.sum()),
        num_tokens=num_tokens,
        first_errors=int(errors[:, 0].sum()),
        oracle_errors=int(errors.min(axis=1).sum()),
        points=tuple(points),
        p_value=p_value,
    )


def _luck(fewer: NDArray[np.int64]) -> float:
    """The share of resamples of utterances [U] in which there are no fewer errors."""
    drawn = np.random.default_rng(0).integers(len(fewer), size=(_RESAMPLES, len(fewer)))
    return float((fewer[drawn].sum(axis=1) <= 0).mean())


def tokens_of(text: str, language: str | None) -> list[str]:
    """What errors are counted in: characters of languages without spaces, words of others."""
    count: Callable[[str, str | None], list[str]] = (
        character_tokens if language in CHARACTER_LANGUAGES else word_tokens
    )
    return count(text, language)


def draw_tuned(tuned: Tuned, title: str = "") -> bytes:
    """A heat map as PNG: the error rate by λ and by the weight that matters most beside it.

    Of the other weights each cell has the best. MissingExtra without matplotlib.
    """
    try:
        import io

        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "train") from error
    names = [_FIELDS[part] for part in METHODS[tuned.options.method].parts]
    across, down = names[0], names[1]
    best: dict[tuple[float, float], int] = {}
    for options, errors in tuned.points:
        cell = (getattr(options, down), getattr(options, across))
        best[cell] = min(errors, best.get(cell, errors))
    rows, columns = sorted({row for row, _ in best}), sorted({column for _, column in best})
    rates = np.array([[100 * best[r, c] / max(1, tuned.num_tokens) for c in columns] for r in rows])
    figure = Figure(
        figsize=(1.6 + 0.62 * len(columns), 1.4 + 0.42 * len(rows)), layout="constrained"
    )
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    image = axes.imshow(rates, origin="lower", aspect="auto", cmap="viridis_r")
    middle = (rates.min() + rates.max()) / 2
    for (row, column), rate in np.ndenumerate(rates):
        colour = "white" if rate > middle else "black"
        axes.text(column, row, f"{rate:.1f}", ha="center", va="center", fontsize=7, color=colour)
    axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
    axes.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
    axes.set_xlabel(across)
    axes.set_ylabel(down)
    axes.set_title(title or f"{tuned.options.method}: errors a hundred tokens", fontsize=9)
    figure.colorbar(image, ax=axes)
    buffer = io.BytesIO()
    canvas.print_png(buffer)
    return buffer.getvalue()


def _errors(lists: Sequence[NBest]) -> tuple[NDArray[np.int64], int]:
    """Edits [U, N] of every candidate, and the tokens of all references."""
    most = max(len(one.candidates) for one in lists)
    errors = np.full((len(lists), most), np.iinfo(np.int32).max, np.int64)
    num_tokens = 0
    for row, one in zip(errors, lists, strict=True):
        reference = tokens_of(one.reference or "", one.language)
        num_tokens += len(reference)
        for place, candidate in enumerate(one.candidates):
            row[place] = distance(reference, tokens_of(candidate.text, one.language))
    return errors, num_tokens


def _arrays(
    lists: Sequence[NBest], parts: Sequence[str]
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Log-probabilities [U, N] of candidates, -inf where there is none, and each part's scores."""
    most = max(len(one.candidates) for one in lists)
    first = np.full((len(lists), most), -np.inf)
    columns = {part: np.zeros((len(lists), most)) for part in parts}
    for i, one in enumerate(lists):
        for k, candidate in enumerate(one.candidates):
            first[i, k] = candidate.logprob
            for part in parts:
                is_length = part == LENGTH
                columns[part][i, k] = candidate.length if is_length else candidate.scores[part]
    return first, columns
