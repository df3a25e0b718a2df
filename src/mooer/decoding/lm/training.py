"""An n-gram model from texts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mooer.decoding.lm.counts import Counts, count_ngrams
from mooer.decoding.lm.kneser_ney import Discounts, estimate, prune_limits
from mooer.decoding.lm.tables import Tables
from mooer.decoding.lm.units import UnitKind, units_of
from mooer.errors import ConfigError

logger = logging.getLogger(__name__)

MAX_ORDER = 8


@dataclass(frozen=True)
class TrainOptions:
    """What model is made of a text."""

    order: int = 4
    prune: tuple[int, ...] = (0,)  # n-grams of each order that come so often or less are left out
    kind: UnitKind = "auto"
    vocabulary: tuple[str, ...] | None = None  # all other units become <unk>

    def __post_init__(self) -> None:
        if not 1 <= self.order <= MAX_ORDER:
            raise ConfigError(f"order {self.order}: use one from 1 to {MAX_ORDER}")
        prune_limits(self.prune, self.order)


@dataclass(frozen=True)
class Trained:
    """A model, and what it was made of."""

    tables: Tables
    counts: Counts
    discounts: tuple[Discounts, ...]  # of each order


def train_ngram(texts: Iterable[str], options: TrainOptions | None = None) -> Trained:
    """A model of sentences, one a text. ConfigError if they hold no unit."""
    options = options or TrainOptions()
    sentences = (units_of(text, options.kind) for text in texts)
    counts = count_ngrams(sentences, options.order, vocabulary=options.vocabulary)
    tables, discounts = estimate(counts, options.prune)
    return Trained(tables, counts, tuple(discounts))


def read_lines(paths: Sequence[Path]) -> Iterator[str]:
    """The lines of text files. ConfigError for one that is not there or no UTF-8."""
    for path in paths:
        number = 0
        try:
            with path.open(encoding="utf-8-sig") as file:
                for line in file:
                    number += 1
                    yield line
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{path} is not UTF-8 after line {number} ({error.reason}): convert it"
            ) from None
        except OSError as error:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None


def read_vocabulary(path: Path, kind: UnitKind) -> tuple[str, ...]:
    """The units of a list, one or more a line. ConfigError if there is none."""
    found = dict.fromkeys(unit for line in read_lines([path]) for unit in units_of(line, kind))
    if not found:
        raise ConfigError(f"{path} lists no words: write one a line")
    return tuple(found)
