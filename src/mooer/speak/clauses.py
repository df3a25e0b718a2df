"""A text that is still being written, cut into clauses to be spoken one after the other.

    cutter = ClauseCutter()
    for piece in mind.answer(...):
        for clause in cutter.push(piece): ...
    for clause in cutter.flush(): ...

The first clause is short, so that sound comes soon; later ones are longer, since a voice that knows
more of a sentence says it better. Where the text is cut does not depend on how it came in pieces.
Nothing is cut inside a number, an address, an abbreviation or a block of code; a clause that grows
too long is cut between phrases if it may be (`soon`), else at a space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mooer.errors import ConfigError
from mooer.speak.phrases import gaps
from mooer.speak.speakable import FENCE
from mooer.text import CJK, is_cjk

_MARK = re.compile(r"```|[.。．｡!！?？…,，;；:：—\n]")
_RUN = re.compile(r"[.。．｡!！?？…,，;；:：—~～]+(?:[\"”’'」』》）)\]】*_]|`(?!``))*")
_ENDS = frozenset("。．｡!！?？;；")
_UNIT = re.compile(rf"[{CJK}]|\d|[^\W\d_{CJK}]+(?:['’][^\W\d_{CJK}]+)*")
_RUN_OF_LETTERS = re.compile(rf"[{CJK}]|[^\s{CJK}]+")  # what is not cut, but between Han
_WORD_UNITS, _DIGIT_UNITS = 4 / 3, 0.75  # an English word, beside a Chinese character: 1
_LONGEST_RUN = 1000  # characters without a space: no word is so long
_LONGEST = 4000  # characters of a clause, whether or not they say anything; but a block of code
_SLICE = 4096
_AHEAD = 2.7  # how much must be known behind a phrase, so that the rest of it is no single word
_FIRST_AHEAD = 1.35  # behind the first, for which somebody waits
_GROWTH = 1.6  # from one phrase to the next: it is made while the one before plays
_SHORTEST = 0.6  # of the length that is wanted
_FENCE_SIGN = "```"
_LIST = re.compile(r"[-*+•#>|]|\d+[.)、]")

# A full stop behind these ends no sentence: always, or before a number.
_TITLES = "mr mrs ms dr prof st sr jr gen col capt lt sgt rev hon pres gov sen rep mt ft messrs mme"
_LATIN = "vs e.g i.e eg ie cf al approx est dept inc ltd co corp ca viz ph.d a.k.a"
_NUMBERED = "no nos fig figs vol eq sec ch p pp jan feb mar apr jun jul aug sep sept oct nov dec"
_ALWAYS = frozenset((_TITLES + " " + _LATIN).split())
_BEFORE_NUMBERS = frozenset(_NUMBERED.split())
_CLOSING = frozenset("\"”’'」』》）)]】")
_LAST_WORD = re.compile(rf"(?:[^\W\d_{CJK}]\.)*[^\W\d_{CJK}]+\Z")

Kind = Literal["end", "pause", ""]


@dataclass(frozen=True)
class ClauseOptions:
    """How long clauses are at least, in Chinese characters; an English word counts 4/3 of one.

    Each may ask for twice as much as the one before, until the later ones' length is reached: a
    clause plays while the next is made.
    """

    first_pause: float = 4.0  # of the first, where it ends at a comma
    first_sentence: float = 1.3  # where its sentence ends: "Sure!"
    pause: float = 16.0  # of later ones, where they end at a comma
    sentence: float = 8.0  # where their sentence ends
    most: float = 60.0  # of any: then it is cut at its last comma, else at a space
    first_most: float | None = None  # of the first: then it is cut between phrases; None: `most`

    def __post_init__(self) -> None:
        least = (self.first_pause, self.first_sentence, self.pause, self.sentence)
        if min(least) < 0 or max(least) > self.most or self.most < 2:
            raise ConfigError(f"clauses must be 0 to `most` long, and that 2 or more, not {self}")
        if self.first_most is not None and not 2 <= self.first_most <= self.most:
            raise ConfigError(f"first_most must be from 2 to {self.most:g}, not {self.first_most}")

    def least(self, kind: Kind, num_before: int) -> float:
        """The length at which the next clause may end."""
        growth = 2.0 ** min(num_before, 10)
        if kind == "end":
            return min(self.sentence, self.first_sentence * growth)
        return min(self.pause, self.first_pause * growth)

    def phrase(self, num_before: int) -> float:
        """The length from which the next clause is cut between phrases; `most`: it is not."""
        if self.first_most is None:
            return self.most
        return min(self.most, self.first_most * _GROWTH ** min(num_before, 10))


# In a conversation somebody waits for the first sound: about a second of it is made at first.
SOON = ClauseOptions(first_pause=2.0, first_most=4.0)


class ClauseCutter:
    """Takes pieces of text, gives clauses; joined, these are the text."""

    def __init__(self, options: ClauseOptions | None = None) -> None:
        self._options = options or ClauseOptions()
        self._begin()

    def _begin(self) -> None:
        self._held = ""
        self._seen = 0  # of it; what stands before has no place to cut any more
        self._pause = 0  # the last place in it where a clause could end if need be
        self._num_cut = 0

    def push(self, piece: str) -> list[str]:
        """Clauses that are whole now."""
        found = []
        for start in range(0, len(piece), _SLICE):  # so that a book takes time by its length alone
            self._held += piece[start : start + _SLICE]
            while cut := self._next_cut():
                found.append(self._held[:cut])
                self._held = self._held[cut:]
                self._seen = self._pause = 0
                self._num_cut += 1
        return found

    def flush(self) -> list[str]:
        """The rest, at the end of the text; the next text begins anew."""
        rest = self._held
        self._begin()
        return [rest] if rest else []

    def _next_cut(self) -> int:
        """Where the next clause ends; 0 if that is not known yet."""
        held = self._held
        while match := _MARK.search(held, self._seen):
            start = match.start()
            if cut := self._too_long(start):
                return cut
            if match[0] == _FENCE_SIGN:
                end = held.find(_FENCE_SIGN, match.end())
                if end < 0:
                    self._seen = start
                    return 0
                self._seen = end + 3
                continue
            end, kind = _place(held, start)
            if kind is None:
                self._seen = start
                return 0
            if cut := self._take(end, kind):
                return cut
            self._seen = max(end, start + 1)
        # The last two may be the beginning of a fence.
        self._seen = max(self._seen, len(held) - 2)
        return self._too_long(len(held))

    def _take(self, end: int, kind: Kind) -> int:
        if not kind:
            return 0
        size = size_of(self._held[:end])
        if not size:
            return 0
        if size >= self._options.least(kind, self._num_cut):
            return end
        self._pause = end
        return 0

    def _too_long(self, end: int) -> int:
        """Where a clause that has grown beyond all measure by `end` is cut; 0 if it has not."""
        most, phrase = self._options.most, self._options.phrase(self._num_cut)
        is_long = phrase < most and end >= (phrase + _FIRST_AHEAD) / 2
        if is_long and (cut := self._phrase_end(end, phrase)):
            return cut
        if end < most / 2:  # a character counts 4/3 at most
            return 0
        cut = _crossing(self._held[:end], most)
        return (self._pause or cut) if cut else 0

    def _phrase_end(self, end: int, wanted: float) -> int:
        """Where a clause that is longer than `wanted` by `end` is cut between phrases; 0: not yet.

        The first place that was good enough when it was reached, however the text came.
        """
        held = self._held[:end]
        ahead = _AHEAD if self._num_cut else _FIRST_AHEAD
        if not (known := _crossing(held, wanted + ahead)):
            return 0
        if self._pause and size_of(held[: self._pause]) >= wanted * _SHORTEST:
            return self._pause
        starts = [run.start() for run in _RUN_OF_LETTERS.finditer(held, known)]
        cuts = (between_phrases(held[:start], wanted, ahead) for start in starts)
        return next(filter(None, cuts), 0)


def clauses(pieces: Iterable[str], options: ClauseOptions | None = None) -> Iterator[str]:
    """The clauses of a text that comes in pieces, each as soon as it is whole.

    >>> list(clauses(["Sure, it is 3", ".5 degrees", " now, Dr. Wang. B", "ye!"]))
    ['Sure, it is 3.5 degrees now,', ' Dr. Wang.', ' Bye!']
    """
    cutter = ClauseCutter(options)
    for piece in pieces:
        yield from cutter.push(piece)
    yield from cutter.flush()


def size_of(text: str) -> float:
    """How much there is to say, in Chinese characters; code does not count.

    >>> size_of("你好"), size_of("one two three")
    (2.0, 4.0)
    """
    if _FENCE_SIGN in text:
        text = FENCE.sub(" ", text)
    return sum(map(_units, _UNIT.findall(text)), 0.0)


def _units(unit: str) -> float:
    if unit[0].isdecimal():
        return _DIGIT_UNITS
    return 1.0 if is_cjk(unit[0]) else _WORD_UNITS


def _place(held: str, start: int) -> tuple[int, Kind | None]:
    """The end of the marks that begin at `start`, and what they are; None if more must be known."""
    if held[start] == "\n":
        return _line_end(held, start)
    run = _RUN.match(held, start)
    assert run is not None
    marks, end = run[0], run.end()
    follows = held[end:].lstrip()
    if not follows:  # what follows decides
        return end, None
    if not _stands_free(held, start, marks, follows[0]):
        return end, ""
    is_end = not _ENDS.isdisjoint(marks) or _is_full_stop(marks)
    if marks[-1] in _CLOSING and not held[end].isspace():
        is_end = False  # “好！”他说
    return end, "end" if is_end else "pause"


def _stands_free(held: str, start: int, marks: str, follows: str) -> bool:
    """Whether marks are more than a part of a number, an address or an abbreviation."""
    before, after = held[start - 1 : start], held[start + len(marks)]
    if marks[0] in "，：．" and before.isdecimal() and after.isdecimal():
        return False
    if after.isspace():
        return not _is_full_stop(marks) or _ends_sentence(held, start, follows)
    if marks[0] in ".,:;!?" and not _is_wide(marks):  # 3.5, a.org, 12:30; but 好,我
        return is_cjk(after) or (is_cjk(before) and not after.isdecimal())
    return True


def _is_full_stop(marks: str) -> bool:
    return marks[0] == "." and marks[1:2] != "."


def _is_wide(marks: str) -> bool:
    return any(mark > "\u2e7f" or mark in "”’…—" for mark in marks)


def _line_end(held: str, start: int) -> tuple[int, Kind | None]:
    """A line that ends without a mark: a line of its own, or one of a paragraph that goes on."""
    rest = held[start:].lstrip()
    if not rest:
        return start, None
    lines = held[start : len(held) - len(rest)].count("\n")
    if lines == 1 and rest[0].islower() and not _LIST.match(rest):
        return start + 1, ""
    return max(start, 1), "end"


def _ends_sentence(held: str, start: int, after: str) -> bool:
    """Whether the full stop at `start`, before a space, is more than that of an abbreviation."""
    if after.islower():
        return False
    line = held.rfind("\n", 0, start) + 1
    if re.fullmatch(r"\s*\d{1,3}", held[line:start]):  # 1. of a list
        return False
    found = _LAST_WORD.search(held, max(0, start - 20), start)
    if found is None:
        return True
    word = found[0]
    if word.lower() in _ALWAYS or (len(word.split(".")[-1]) == 1 and word[-1].isupper()):
        return False  # Dr. Wang, J. Smith, U.S. Army
    return not (after.isdecimal() and word.lower() in _BEFORE_NUMBERS)


def between_phrases(held: str, wanted: float, ahead: float = _AHEAD) -> int:
    """Where a clause without a usable mark is cut so that it counts about `wanted`; 0: nowhere yet.

    Behind that place there is `ahead` more.

    >>> text = "The oldest of all the books were made by hand and bound"
    >>> text[: between_phrases(text, 8.0)]
    'The oldest of all the books '
    """
    if "`" in held:
        return 0
    last = size_of(held) - ahead
    found = [(gap, size_of(held[: gap.at])) for gap in gaps(held)]
    found = [(gap, size) for gap, size in found if wanted * _SHORTEST <= size <= last]
    good = [(abs(size - wanted), gap) for gap, size in found if gap.is_good]
    near = [gap for far, gap in sorted(good, key=lambda pair: pair[0]) if far <= _AHEAD / 2]
    is_seen = last >= wanted + _AHEAD / 2  # all of what is near
    short = [gap for gap, size in found if is_seen and size <= wanted]
    beyond = [gap for gap, size in found if gap.is_good and size > wanted]
    chosen = near[:1] or short[-1:] or beyond[:1]
    return chosen[0].at if chosen else 0


def _crossing(held: str, most: float) -> int:
    """The end of the last run before `held` counts more than `most`; 0 if it does not."""
    if _FENCE_SIGN in held:
        held = FENCE.sub(lambda fence: " " * len(fence[0]), held)
    total = 0.0
    for run in _RUN_OF_LETTERS.finditer(held):
        total += sum(map(_units, _UNIT.findall(run[0])), 0.0)
        if run.start() and (total > most or run.start() > _LONGEST):
            return run.start()
        if len(run[0]) > _LONGEST_RUN:
            return run.start() + _LONGEST_RUN
    return 0
