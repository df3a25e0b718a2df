"""Language models as scorers of text, whatever units they or a decoder have.

    lm = NGramText(model)
    log_prob, state = lm.advance(lm.start(), "he")       # 0.0: the word may go on
    log_prob, state = lm.advance(state, "llo wor")       # that of "hello"
    log_prob = lm.finish(state)                          # that of "wor" and of the end

Text comes in pieces of any length, and what is given back is what can be said for sure: the score
of a word comes when something follows that is no part of it, that of a Chinese character at once,
half a character (bytes of a byte-level BPE) adds nothing until it is whole. The sum of all that was
given back, with `finish`, is the natural log of the probability of the whole text and its end.

An n-gram model has one probability for all words that it does not know, be they a name or forty
letters of nonsense. Here one of more than six letters costs as many times more as it is longer, and
it costs that as soon as no word begins so: else a search would fill its beams with words that never
end. A number in digits that a model of Chinese does not know is asked as characters, one by one.
"""

from __future__ import annotations

import bisect
import codecs
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

from mooer.decoding.lm.ngram import NGram, State
from mooer.decoding.lm.units import UnitKind, kind_of, letters, spread, words_in
from mooer.text import is_cjk, to_simplified, to_traditional

S = TypeVar("S")

_MAX_REMEMBERED = 500_000  # words whose ids are kept
_USUAL_LETTERS = 6  # of a word
_DIGITS = "零一二三四五六七八九"


class TextLM(Protocol[S]):
    """Scores of texts, piece by piece; natural logarithms. States are hashable and kept outside."""

    def start(self) -> S:
        """The state of an empty text, which begins a sentence."""
        ...

    def advance(self, state: S, piece: str | bytes) -> tuple[float, S]:
        """What a piece more adds to the score, and the state after it.

        Bytes may end within a character.
        """
        ...

    def finish(self, state: S) -> float:
        """What the end adds: the last unit, if it is still open, and the end of the sentence."""
        ...

    def logprobs(self, texts: Sequence[str]) -> list[float]:
        """Natural logs of the probabilities of whole texts, with their ends."""
        ...


class TextState(NamedTuple):
    """Of an n-gram model: what was scored, and what may still go on."""

    ngram: State
    open: str  # the beginning of a word
    broken: bytes  # the beginning of a character
    after_letters: bool  # whether the word before is one of letters; of characters alone


class NGramText:
    """An n-gram model as a `TextLM`.

    Its units are found by their looks where `kind` is not given, and so is the case of its letters:
    a model in capitals is asked in capitals. A word with accents that it does not know is asked
    without them, Chinese that it does not know in the other script.
    """

    def __init__(self, model: NGram, kind: UnitKind | None = None) -> None:
        self.model = model
        self.kind = kind or kind_of(model.vocabulary)
        self._capitals = _in_capitals(model.vocabulary)
        self._ids: dict[str, int] = {}
        self._begun: dict[str, bool] = {}

    def start(self) -> TextState:
        """See `TextLM`."""
        return TextState(self.model.start(), "", b"", False)

    def advance(self, state: TextState, piece: str | bytes) -> tuple[float, TextState]:
        """See `TextLM`."""
        text, broken = whole_characters(state.broken, piece)
        text = state.open + spread(text, self.kind)
        done, space, rest = text.rpartition(" ")
        score, ngram, after_letters = 0.0, state.ngram, state.after_letters
        if space:
            score, ngram, after_letters = self._score(state, words_in(done))
        new = TextState(ngram, rest, broken, after_letters)
        return score + self._foreseen(new) - self._foreseen(state), new

    def finish(self, state: TextState) -> float:
        """See `TextLM`; what is no whole character by then does not count."""
        score, ngram, _ = self._score(state, words_in(state.open))
        return score - self._foreseen(state) + self.model.finish(ngram)

    def logprobs(self, texts: Sequence[str]) -> list[float]:
        """See `TextLM`."""
        found = []
        for text in texts:
            score, state = self.advance(self.start(), text)
            found.append(score + self.finish(state))
        return found

    def unit(self, text: str) -> int:
        """The id of a unit, as it is written or in the case, accents or script of the model."""
        found = self._ids.get(text)
        if found is None:
            known = self.model.vocabulary
            forms = self._forms(text)
            found = next((known[form] for form in forms if form in known), self.model.unknown)
            if len(self._ids) < _MAX_REMEMBERED:
                self._ids[text] = found
        return found

    def _forms(self, text: str) -> list[str]:
        cased = text.upper() if self._capitals else text
        forms = [cased, _unaccented(cased)]
        if any(map(is_cjk, text)):  # Whisper writes either script, as it likes
            forms += [to_simplified(text), to_traditional(text)]
        return forms

    def _foreseen(self, state: TextState) -> float:
        """What the open word costs at least, if it can be none that the model knows."""
        word = state.open.strip("'")
        if not word or self.kind == "characters" or self._may_begin(word):
            return 0.0
        return self._scored(state.ngram, word)[0]

    def _scored(self, ngram: State, unit: str) -> tuple[float, State]:
        """A unit's log-probability, and the state behind it."""
        known = self.unit(unit)
        if known == self.model.unknown and self._numerals and unit.isdecimal():
            total = 0.0
            for digit in unit:
                log_prob, ngram = self.model.score(ngram, self._numerals[int(digit)])
                total += log_prob
            return total, ngram
        log_prob, after = self.model.score(ngram, known)
        if known == self.model.unknown:
            log_prob *= max(1.0, len(unit) / _USUAL_LETTERS)
        return log_prob, after

    @cached_property
    def _numerals(self) -> tuple[int, ...]:
        """The ids of Chinese digits, 0 first; () of a model that lacks one."""
        known = self.model.vocabulary
        return tuple(known[one] for one in _DIGITS) if known.keys() >= set(_DIGITS) else ()

    def _may_begin(self, text: str) -> bool:
        """Whether a known word begins so."""
        found = self._begun.get(text)
        if found is None:
            found = any(map(self._is_beginning, self._forms(text)))
            if len(self._begun) < _MAX_REMEMBERED:
                self._begun[text] = found
        return found

    def _is_beginning(self, text: str) -> bool:
        place = bisect.bisect_left(self._sorted, text)
        return place < len(self._sorted) and self._sorted[place].startswith(text)

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted(self.model.vocabulary)

    def _score(self, state: TextState, words: list[str]) -> tuple[float, State, bool]:
        units: Iterable[str] = words
        if self.kind == "characters":
            units = letters(words, after_letters=state.after_letters)
        total, ngram = 0.0, state.ngram
        for unit in units:
            log_prob, ngram = self._scored(ngram, unit)
            total += log_prob
        return total, ngram, not is_cjk(words[-1][0]) if words else state.after_letters


def whole_characters(broken: bytes, piece: str | bytes) -> tuple[str, bytes]:
    """The whole characters of bytes so far, and the bytes that are left; text is whole."""
    if isinstance(piece, str):
        return piece, b""
    data = broken + piece
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    return decoder.decode(data), decoder.getstate()[0]


def _unaccented(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char for char in plain if not unicodedata.combining(char))


def _in_capitals(units: Iterable[str]) -> bool:
    words = [unit for unit in units if unit.isalpha() and unit.lower() != unit.upper()]
    return 2 * sum(word.isupper() for word in words) > len(words)
