"""Local agreement: which words of a stream are final, when it is heard again and again.

A recogniser that was made for whole recordings is shown a stream as it grows, and says each time
what follows the words that are final. What several such hypotheses, one after the other, agree on
becomes final (LocalAgreement-n, Liu et al. 2020, arXiv:2005.11185; for Whisper by Macháček et al.
2023, arXiv:2307.14743). The last word of a hypothesis stays open: the sound may end within it, and
its mark is that of a text that ends.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from mooer.errors import ConfigError
from mooer.text import to_simplified


class Timed(Protocol):
    """A word with its times."""

    @property
    def text(self) -> str:
        """As it is written, marks and the space before it included."""
        ...

    @property
    def start_s(self) -> float:
        """When it begins."""
        ...

    @property
    def end_s(self) -> float:
        """When it ends."""
        ...


W = TypeVar("W", bound=Timed)


class LocalAgreement(Generic[W]):
    """The words that are still open, of the last few hypotheses."""

    def __init__(self, agreeing: int = 2) -> None:
        if agreeing < 1:
            raise ConfigError(f"at least one hypothesis must agree, not {agreeing}")
        self._before: deque[Sequence[W]] = deque(maxlen=agreeing - 1)
        self.open: tuple[W, ...] = ()

    def push(self, words: Sequence[W], until_s: float = math.inf) -> list[W]:
        """Take a hypothesis of what follows the final words; the words of it that are final now.

        They are written as in this, the latest hypothesis. What ends after `until_s` stays open:
        a recogniser knows a word better when it has heard what follows it.
        """
        num = 0
        if len(self._before) == self._before.maxlen:
            num = min([num_agreed(one, words) for one in self._before], default=len(words))
            num = min(num, len(words) - 1)
            num = next((i for i in range(num) if words[i].end_s > until_s), num)
        self.open = tuple(words)
        self._before.append(self.open)
        return self._commit(max(0, num))

    def settle(self, until_s: float) -> list[W]:
        """Make those open words final that end before a time, whether or not they are agreed on."""
        num = 0
        while num < len(self.open) and self.open[num].end_s <= until_s:
            num += 1
        return self._commit(num)

    def finish(self) -> list[W]:
        """Make all open words final: nothing more will be heard."""
        words = self._commit(len(self.open))
        self._before.clear()
        return words

    def drop(self) -> None:
        """Forget the open words: nobody said them."""
        self.open = ()
        self._before.clear()

    def _commit(self, num: int) -> list[W]:
        """The first open words; older hypotheses are believed in what they say after as many."""
        words = list(self.open[:num])
        self.open = self.open[num:]
        self._before = deque((one[num:] for one in self._before), self._before.maxlen)
        return words


def num_agreed(one: Sequence[Timed], other: Sequence[Timed]) -> int:
    """How many words from the first on are the same, marks and case left out."""
    num = 0
    for a, b in zip(one, other, strict=False):
        if bare(a.text) != bare(b.text):
            break
        num += 1
    return num


def bare(text: str) -> str:
    """Letters and digits alone, in lower case and Simplified characters.

    >>> bare(" Don't,"), bare("漢。")
    ('dont', '汉')
    """
    return "".join(c for c in to_simplified(text).casefold() if c.isalnum())
