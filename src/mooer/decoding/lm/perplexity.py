"""How well a language model expects texts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from mooer.decoding.lm.text_lm import NGramText, TextLM
from mooer.decoding.lm.units import units_of

_TEXTS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class SentenceScore:
    """Of one text with its end."""

    text: str
    logprob: float  # natural, with the end
    num_units: int  # without the end
    num_unknown: int
    unknown_logprob: float  # what of `logprob` is of unknown units


@dataclass(frozen=True, slots=True)
class TextScore:
    """Of many texts; a perplexity counts their ends as units."""

    num_sentences: int
    num_units: int
    num_unknown: int
    logprob: float
    perplexity: float
    perplexity_known: float  # of the units that the model knows


def sentence_scores(lm: NGramText, texts: Iterable[str]) -> Iterator[SentenceScore]:
    """The score of every text that has a unit."""
    model = lm.model
    for text in texts:
        units = [lm.unit(unit) for unit in units_of(text, lm.kind)]
        if not units:
            continue
        state = model.start()
        total = unknown = 0.0
        for unit in units:
            log_prob, state = model.score(state, unit)
            total += log_prob
            unknown += log_prob if unit == model.unknown else 0.0
        total += model.finish(state)
        yield SentenceScore(text, total, len(units), units.count(model.unknown), unknown)


def scores_by_text(lm: TextLM[Any], texts: Iterable[str]) -> Iterator[SentenceScore]:
    """The same of any language model, for which no unit is unknown.

    Units are counted as characters of Chinese and words of other scripts, so that perplexities can
    be compared with those of n-gram models.
    """
    lines = iter(texts)
    while some := list(islice(lines, _TEXTS_AT_ONCE)):
        counted = [(text, len(units_of(text))) for text in some]
        counted = [(text, number) for text, number in counted if number]
        found = lm.logprobs([text for text, _ in counted])
        for (text, number), logprob in zip(counted, found, strict=True):
            yield SentenceScore(text, logprob, number, 0, 0.0)


def text_score(sentences: Iterable[SentenceScore]) -> TextScore:
    """All together; perplexities of no text are 1."""
    found = list(sentences)
    logprob = math.fsum(one.logprob for one in found)
    unknown = math.fsum(one.unknown_logprob for one in found)
    num_units = sum(one.num_units for one in found)
    num_unknown = sum(one.num_unknown for one in found)
    num_scored = num_units + len(found)
    return TextScore(
        len(found),
        num_units,
        num_unknown,
        logprob,
        math.exp(-logprob / max(1, num_scored)),
        math.exp(-(logprob - unknown) / max(1, num_scored - num_unknown)),
    )
