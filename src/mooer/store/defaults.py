"""Which model is meant where none is named: the one that measures best, by `defaults.yaml`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from mooer.errors import ConfigError, did_you_mean

DEFAULTS = Path(__file__).with_name("defaults.yaml")
_LESS_IS_BETTER = ("cer", "wer")  # how a column's name ends; of the others more is


class Candidate(NamedTuple):
    """A model, and what it measured."""

    model: str
    figures: Mapping[str, float]


def default_model(task: str) -> str:
    """The name of the model for a task: asr, or ast or ast_zh, translation to English or Chinese.

    Of the candidates in their order, the last that is nowhere worse than the one chosen before.
    ConfigError for another task.
    """
    table = candidates()
    task = task.removeprefix("asr_") if task.startswith("asr_ast") else task
    if task not in table:
        raise ConfigError(
            f"no model is the default for task {task!r}: name one with --model, or "
            + did_you_mean(task, table)
        )
    return best(table[task])


def best(found: Sequence[Candidate]) -> str:
    """The choice among candidates.

    >>> best([Candidate("a", {"zh_cer": 9.0, "bleu": 4.0}), Candidate("b", {"zh_cer": 9.0})])
    Traceback (most recent call last):
    mooer.errors.ConfigError: defaults: b lacks the figure bleu of a: measure it
    """
    chosen = found[0]
    for candidate in found[1:]:
        if not_worse(candidate, chosen):
            chosen = candidate
    return chosen.model


def not_worse(one: Candidate, other: Candidate) -> bool:
    """Whether every figure of `other` is at least reached."""
    for name, value in other.figures.items():
        if name not in one.figures:
            raise ConfigError(
                f"defaults: {one.model} lacks the figure {name} of {other.model}: measure it"
            )
        sign = -1 if name.endswith(_LESS_IS_BETTER) else 1
        if sign * one.figures[name] < sign * value:
            return False
    return True


@functools.lru_cache(maxsize=1)
def candidates() -> Mapping[str, tuple[Candidate, ...]]:
    """The table by task, as it is in `defaults.yaml`."""
    import yaml

    raw = yaml.safe_load(DEFAULTS.read_text("utf-8"))
    return MappingProxyType({task: tuple(map(_candidate, rows)) for task, rows in raw.items()})


def _candidate(row: Mapping[str, object]) -> Candidate:
    figures = {key: float(str(value)) for key, value in row.items() if key != "model"}
    return Candidate(str(row["model"]), figures)
