"""Words to expect, and how a search is drawn towards them.

    hotwords = read_hotwords(Path("names.txt"))
    boost = Boost.of(hotwords, lambda phrase: [tokenizer.encode(phrase)], strength=2.0)
    prefix_search(log_probs, blank, scorers=[boost])

A list has a phrase a line, after it a tab or a space and a weight if that is not 1; a line that
begins with # is a remark:

    MooER   2
    摩尔线程
    New York	1.5

Phrases become a prefix tree over the units of a decoder (Aho and Corasick 1975). Each unit that
goes on with a phrase adds to the score; what was added for a beginning that does not become the
phrase is taken back, as by the failure arcs of contextual biasing (Zhao et al. 2019, "Shallow-
fusion end-to-end contextual biasing"). A phrase inside another one counts beside it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooer.errors import ConfigError
from mooer.text import display_width

MAX_WEIGHT = 10.0
_MAX_NAME_BYTES = 250  # file systems allow 255; what is longer are phrases
MAX_LINE_COLUMNS = 300  # of a line for a prompt: about 150 tokens
_SEPARATORS = re.compile(r"[,，、;；\n]")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")


@dataclass(frozen=True, slots=True)
class Hotword:
    """A word or phrase to expect."""

    phrase: str
    weight: float = 1.0  # times the strength of the decoder; below 0 it is avoided

    def __post_init__(self) -> None:
        if not self.phrase.strip():
            raise ConfigError("a hotword must have letters: it is empty")
        if not abs(self.weight) <= MAX_WEIGHT or self.weight == 0:
            raise ConfigError(
                f"the weight of the hotword {self.phrase!r} must be between -{MAX_WEIGHT:g} and "
                f"{MAX_WEIGHT:g} and not 0, got {self.weight:g}"
            )


def parse_hotwords(text: str) -> tuple[Hotword, ...]:
    """Phrases between commas.

    >>> [one.phrase for one in parse_hotwords("MooER, 摩尔线程、New York")]
    ['MooER', '摩尔线程', 'New York']
    """
    return tuple(Hotword(part.strip()) for part in _SEPARATORS.split(text) if part.strip())


def given_hotwords(text: str) -> str | tuple[Hotword, ...]:
    """What a person names: a file of phrases, else the phrases themselves, as they are.

    ConfigError for the name of a list that is not there.
    """
    path = Path(text)
    if len(text.encode()) < _MAX_NAME_BYTES and path.is_file():
        return read_hotwords(path)
    if path.suffix in (".txt", ".tsv", ".list"):
        raise ConfigError(f"no such file of hotwords: {text!r}; check the path")
    return text


def read_hotwords(path: Path) -> tuple[Hotword, ...]:
    """The phrases of a list. ConfigError names the line that cannot be read, or an empty list."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error}): convert it") from None
    except OSError as error:
        raise ConfigError(f"cannot read the hotwords {path}: {error.strerror}") from None
    found: dict[str, Hotword] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            one = _hotword(line)
        except ConfigError as error:
            raise ConfigError(f"{path} line {number}: {error}") from None
        if one.phrase in found:
            raise ConfigError(f"{path} line {number}: {one.phrase!r} comes twice, remove one")
        found[one.phrase] = one
    if not found:
        raise ConfigError(f"{path} lists no hotwords: write one a line")
    return tuple(found.values())


def _hotword(line: str) -> Hotword:
    """A line: the last field is a weight if a tab is before it, or if it is a number."""
    phrase, tab, weight = line.strip("\r\n ").rpartition("\t")
    if not tab:
        phrase, _, weight = line.strip().rpartition(" ")
        if not phrase or not _NUMBER.fullmatch(weight):
            return Hotword(line.strip())
    if not weight.strip():
        return Hotword(phrase.strip())
    if not _NUMBER.fullmatch(weight.strip()):
        raise ConfigError(f"{weight.strip()!r} after the tab is no weight: write a number")
    return Hotword(phrase.strip(), float(weight))


def prompt_line(hotwords: Iterable[Hotword], max_columns: int = MAX_LINE_COLUMNS) -> str:
    """Phrases for a prompt, the heaviest ones if not all have room, and those last.

    >>> prompt_line([Hotword("MooER", 2.0), Hotword("Paraformer"), Hotword("Mower", -1.0)])
    'Paraformer, MooER'
    """
    shown: list[str] = []
    columns = 0
    for one in sorted(hotwords, key=lambda one: -one.weight):
        columns += display_width(one.phrase) + 2
        if one.weight < 0 or columns > max_columns:
            break
        shown.append(one.phrase)
    return ", ".join(reversed(shown))


class Bias(NamedTuple):
    """What to add to the scores of the next unit."""

    others: float  # to every unit that is not named
    units: list[int]
    values: list[float]


class Boost:
    """A prefix tree over units; a `Scorer` whose states are its nodes.

    `pending` is what was added on the way to a node and is taken back unless a phrase comes of it.
    """

    def __init__(self, spellings: Iterable[tuple[Sequence[int], float]]) -> None:
        """Units of phrases, and what each unit adds (natural log)."""
        self._children: list[dict[int, int]] = [{}]
        self._pending: list[float] = [0.0]
        self._kept: list[float] = [0.0]  # added for good once a node is entered
        self._fails: list[int] = [0]  # the node of the longest end of its text that is in the tree
        weights: list[float] = [0.0]
        ends: set[int] = set()
        for units, weight in spellings:
            node = 0
            for unit in units:
                if unit not in self._children[node]:
                    self._children[node][unit] = len(weights)
                    for column in (self._pending, self._kept, weights):
                        column.append(0.0)
                    self._children.append({})
                    self._fails.append(0)
                node = self._children[node][unit]
                weights[node] = max(weights[node], weight, key=abs)
            if node:
                ends.add(node)
        self._settle(weights, ends)

    @classmethod
    def of(
        cls,
        hotwords: Iterable[Hotword],
        spell: Callable[[str], Iterable[Sequence[int]]],
        strength: float,
    ) -> Boost:
        """By all the ways in which a decoder writes each phrase."""
        return cls(
            (units, one.weight * strength) for one in hotwords for units in spell(one.phrase)
        )

    @property
    def num_nodes(self) -> int:
        """How many beginnings of phrases there are, the empty one included."""
        return len(self._children)

    def start(self) -> int:
        """The node of no units."""
        return 0

    def advance(self, state: int, unit: int) -> tuple[float, int]:
        """What a unit adds, less what it takes back, and the node after it."""
        after = self._next(state, unit)
        return self._kept[after] + self._pending[after] - self._pending[state], after

    def finish(self, state: int) -> float:
        """What a beginning at the end takes back."""
        return -self._pending[state]

    def bias(self, said: Sequence[int], *, takes_back: bool = True) -> Bias:
        """What each unit would add after those that were said.

        Without `takes_back` a beginning is not taken back: for a decoder of one text, in which
        nothing that was chosen can be regretted.
        """
        state = 0
        for unit in said:
            state = self._next(state, unit)
        named: dict[int, float] = {}
        node = state
        while True:
            for unit, child in self._children[node].items():
                if unit not in named:
                    pending = self._kept[child] + self._pending[child]
                    before = self._pending[state if takes_back else node]
                    named[unit] = pending - before
            if node == 0:
                break
            node = self._fails[node]
        others = -self._pending[state] if takes_back else 0.0
        return Bias(others, list(named), list(named.values()))

    def add_to(self, scores: NDArray[np.float32], said: Sequence[int], *, takes_back: bool) -> None:
        """Change the scores [V] of the next unit in place."""
        bias = self.bias(said, takes_back=takes_back)
        if bias.others:
            values = [value - bias.others for value in bias.values]
            scores += np.float32(bias.others)
        else:
            values = bias.values
        scores[bias.units] += np.asarray(values, np.float32)

    def _next(self, node: int, unit: int) -> int:
        while unit not in self._children[node] and node:
            node = self._fails[node]
        return self._children[node].get(unit, 0)

    def _settle(self, weights: Sequence[float], ends: set[int]) -> None:
        """What is pending and kept at each node, and where it fails to; from the root outwards."""
        waiting = deque([0])
        while waiting:
            node = waiting.popleft()
            for unit, child in self._children[node].items():
                self._fails[child] = self._next(self._fails[node], unit) if node else 0
                self._kept[child] = self._kept[self._fails[child]]  # a phrase inside another one
                pending = self._pending[node] + weights[child]
                if child in ends:
                    self._kept[child] += pending
                else:
                    self._pending[child] = pending
                waiting.append(child)
