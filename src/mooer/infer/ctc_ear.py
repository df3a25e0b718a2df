"""A CTC model as the ear of a stream: its steady units as words, or those of a search with scorers.

It is quick, knows neither capitals nor marks, and never invents a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

from mooer.decoding.ctc import CtcModel, Heard
from mooer.decoding.hotwords import Hotword
from mooer.engines.whisper import TimedWord
from mooer.errors import ModelError
from mooer.infer.answering import language_of
from mooer.infer.boosted import boost_units
from mooer.infer.ctc_search import CtcSearch, Spelling
from mooer.infer.ear import OnePassEar, Samples
from mooer.infer.fusion import Fusion
from mooer.infer.one_pass import held
from mooer.text import find_language, is_cjk
from mooer.text.units import START, Units


class Speller(CtcModel, Protocol):
    """A CTC model whose units are known by name: `mooer.engines.rich.Rich`."""

    @property
    def units(self) -> Units | None:
        """Its units; None if it spells nothing."""
        ...

    @property
    def change_cost(self) -> float:
        """What a change of class costs a steady path; 0 for a model that does not waver."""
        ...


def ctc_ear(
    model: Speller,
    *,
    language: str | None = None,
    hotwords: Sequence[Hotword] = (),
    fusion: Fusion | None = None,
) -> OnePassEar:
    """The ear. ModelError if the model spells nothing."""
    units = model.units
    if units is None:
        raise ModelError("this model has no speller, and so hears no words: take another")
    search = CtcSearch(
        Spelling.of_units(units, model.change_cost),
        fusion=fusion,
        boost=boost_units(hotwords, model) if hotwords else None,
    )
    known = find_language(language) if language else None

    def listen(samples: Samples) -> tuple[list[TimedWord], str]:
        heard = search.heard(model.log_probs(samples), model.frame_s)
        words = words_of(heard, units, model.frame_s)
        words = held(words) if words else []
        text = "".join(word.text for word in words)
        return words, known or (language_of(text) if text else "und")

    return OnePassEar(listen)


def words_of(heard: Iterable[Heard], units: Units, frame_s: float) -> list[TimedWord]:
    """Units as words, in seconds; the probability is the geometric mean over their units."""
    words: list[TimedWord] = []
    logprobs: list[list[float]] = []
    for one in heard:
        name = units.names[one.unit - 1]
        begins = name.startswith(START) or is_cjk(name[0])
        start_s, end_s = one.start * frame_s, one.end * frame_s
        if begins or not words or is_cjk(words[-1].text[-1]):
            glued = is_cjk(name[0]) and words and is_cjk(words[-1].text[-1])
            text = name.removeprefix(START)
            words.append(TimedWord(text if glued else f" {text}", start_s, end_s, 0.0))
            logprobs.append([one.logprob])
        else:
            last = words[-1]
            words[-1] = TimedWord(last.text + name, last.start_s, end_s, 0.0)
            logprobs[-1].append(one.logprob)
    return [
        TimedWord(w.text, w.start_s, w.end_s, math.exp(sum(logs) / len(logs)))
        for w, logs in zip(words, logprobs, strict=True)
        if w.text.strip()
    ]
