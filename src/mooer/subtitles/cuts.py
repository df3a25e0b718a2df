"""Where to cut a long text into cues, and a cue into lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from mooer.subtitles.atoms import Atom
from mooer.subtitles.options import SubtitleOptions, count_chars, line_load

_SENTENCE_END = frozenset(".!?。！？…｡")
_CLAUSE_END = frozenset(",;:，；：、—–")
_CLOSERS = "\"'”’」』）》〉】〕)]}»"
_PAUSE_S = 0.5  # a silence between two words that a cut may fall into


@dataclass(frozen=True, slots=True)
class Part:
    """Lines of one cue, with the times of what they say."""

    start_s: float
    end_s: float
    lines: tuple[str, ...]


def make_parts(atoms: Sequence[Atom], options: SubtitleOptions, num: int) -> list[Part]:
    """Cut atoms into parts that each fit a cue; `num` of them (0: as few as read well)."""
    if not atoms:
        return []
    cuts = _best_cuts(atoms, options, min(num, len(atoms)))
    return [
        Part(atoms[i].start_s, atoms[j - 1].end_s, _wrap(atoms[i:j], options))
        for i, j in pairwise(cuts)
    ]


def _best_cuts(atoms: Sequence[Atom], options: SubtitleOptions, num: int) -> list[int]:
    """Positions of the cuts by dynamic programming over (atoms used, parts made)."""
    total = len(atoms)
    even = sum(sum(count_chars(a.text)) for a in atoms) / num if num else 0.0
    # best[j][k] = (cost, previous cut); without a wanted number every k is folded into 0.
    best: list[dict[int, tuple[float, int]]] = [{} for _ in range(total + 1)]
    best[0][0] = (0.0, -1)
    for i in range(total):
        if not best[i]:
            continue
        for j, size in _reach(atoms, i, options):
            cost = _cut_cost(atoms, i, j, options)
            if num:
                cost += 4.0 * ((size - even) / max(even, 1.0)) ** 2
            for k, (before, _) in best[i].items():
                key = k + 1 if num else 0
                if key > num:
                    continue
                if key not in best[j] or before + cost < best[j][key][0]:
                    best[j][key] = (before + cost, i)
    cuts, k = [total], num
    if k not in best[total]:  # more parts are needed than wanted: take the fewest possible
        return _best_cuts(atoms, options, 0) if num else list(range(total + 1))
    while cuts[-1]:
        cuts.append(best[cuts[-1]][k][1])
        k -= bool(num)
    return cuts[::-1]


def _reach(atoms: Sequence[Atom], i: int, options: SubtitleOptions) -> list[tuple[int, int]]:
    """Every j for which atoms[i:j] fits one cue, with the size of its text."""
    reach: list[tuple[int, int]] = []
    num_lines, line, size = 1, "", 0
    for j in range(i, len(atoms)):
        atom = atoms[j]
        if atom.end_s - atoms[i].start_s > options.max_duration_s and reach:
            break
        longer = line + (" " if atom.spaced and line else "") + atom.text
        if line and line_load(longer, options) > 1:
            num_lines, longer = num_lines + 1, atom.text
            if num_lines > options.max_lines:
                break
        line, size = longer, size + sum(count_chars(atom.text))
        reach.append((j + 1, size))
    return reach


def _cut_cost(atoms: Sequence[Atom], i: int, j: int, options: SubtitleOptions) -> float:
    """How much a reader minds a cue of atoms[i:j]: less is better."""
    cost = 2.0  # each cue more
    duration_s = atoms[j - 1].end_s - atoms[i].start_s
    whole = j == len(atoms) and i == 0
    if not whole and duration_s < options.min_duration_s:
        cost += 3.0 * (1 - duration_s / options.min_duration_s)
    # Convex, so that two cues of equal length beat a full one and a scrap.
    cost += 1.5 * (1 - min(1.0, line_load(_join(atoms[i:j]), options) / options.max_lines)) ** 2
    if j < len(atoms):
        gap_s = atoms[j].start_s - atoms[j - 1].end_s
        cost += _break_cost(atoms[j - 1].text, gap_s)
    return cost


def _break_cost(before: str, gap_s: float) -> float:
    last = before.rstrip(_CLOSERS)[-1:]
    if last in _SENTENCE_END and last:
        return -1.0
    cost = 0.5 if last in _CLAUSE_END and last else 3.0
    return min(cost, 0.5) - 0.5 if gap_s >= _PAUSE_S else cost


def _wrap(atoms: Sequence[Atom], options: SubtitleOptions) -> tuple[str, ...]:
    """As few lines as hold the atoms; two lines are cut after a mark, or near the middle."""
    text = _join(atoms)
    if line_load(text, options) <= 1:
        return (text,)
    pairs = [(_join(atoms[:i]), _join(atoms[i:])) for i in range(1, len(atoms))]
    fitting = [p for p in pairs if max(line_load(line, options) for line in p) <= 1]
    if fitting and options.max_lines >= 2:

        def cost(pair: tuple[str, str]) -> float:
            loads = [line_load(line, options) for line in pair]
            return abs(loads[0] - loads[1]) + 0.2 * _break_cost(pair[0], 0.0)

        return min(fitting, key=cost)
    lines: list[str] = []
    line = ""
    for atom in atoms:
        longer = line + (" " if atom.spaced and line else "") + atom.text
        if line and line_load(longer, options) > 1:
            lines.append(line)
            longer = atom.text
        line = longer
    return (*lines, line)


def _join(atoms: Sequence[Atom]) -> str:
    return "".join((" " if a.spaced and i else "") + a.text for i, a in enumerate(atoms))
