"""Hotwords in the units of each decoder, and how strongly they draw there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mooer.decoding.ctc import CtcModel
from mooer.decoding.hotwords import Boost, Hotword
from mooer.infer.spoken import spell_word, spoken_words

TOKEN_STRENGTH = 2.0  # natural log a token of an LLM, for a weight of 1
CTC_STRENGTH = 3.0  # natural log a unit; docs/align.md


def boost_tokens(hotwords: Iterable[Hotword], encode: Callable[[str], Sequence[int]]) -> Boost:
    """By the tokens of an LLM: at the beginning of a word, and with a space in front."""

    def spell(phrase: str) -> Iterator[Sequence[int]]:
        yield encode(phrase)
        yield encode(f" {phrase}")

    return Boost.of(hotwords, spell, TOKEN_STRENGTH)


def boost_units(
    hotwords: Iterable[Hotword], model: CtcModel, strength: float = CTC_STRENGTH
) -> Boost:
    """By the units of a CTC model, as phrases are read out; what cannot be spelled is left out."""

    def spell(phrase: str) -> Iterator[Sequence[int]]:
        spelled = [spell_word(part, model) for word in spoken_words(phrase) for part in word.spoken]
        if spelled and all(spelled):
            yield [unit for units in spelled for unit in units]

    return Boost.of(hotwords, spell, strength)
