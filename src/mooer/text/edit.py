"""Levenshtein alignment of two token sequences, in little memory.

One row of the table of distances is one pass of numpy; Hirschberg's division (1975) finds the
path itself without keeping the table, so that two transcripts of 20,000 tokens need seconds and
a few megabytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Op = Literal["=", "S", "D", "I"]  # same, substituted, deleted, inserted
_BLOCK_CELLS = 1 << 20  # a table this large is kept whole: 4 MB


@dataclass(frozen=True, slots=True)
class Alignment:
    """The operations that turn a reference into a hypothesis, in order."""

    ops: tuple[Op, ...]

    @property
    def substitutions(self) -> int:
        """Tokens replaced."""
        return self.ops.count("S")

    @property
    def deletions(self) -> int:
        """Reference tokens missed."""
        return self.ops.count("D")

    @property
    def insertions(self) -> int:
        """Hypothesis tokens too many."""
        return self.ops.count("I")

    @property
    def distance(self) -> int:
        """Edit distance."""
        return len(self.ops) - self.ops.count("=")


def align(reference: Sequence[Hashable], hypothesis: Sequence[Hashable]) -> Alignment:
    """Shortest alignment; among equally short ones a substitution wins over two other edits.

    >>> align("kitten", "sitting").ops
    ('S', '=', '=', '=', 'S', '=', 'I')
    """
    ops: list[Op] = []
    _align(*_numbered(reference, hypothesis), ops)
    return Alignment(tuple(ops))


def distance(one: Sequence[Hashable], two: Sequence[Hashable]) -> int:
    """Edit distance alone (Levenshtein 1966).

    >>> distance("kitten", "sitting")
    3
    """
    return int(_last_row(*_numbered(one, two))[-1])


def _numbered(
    one: Sequence[Hashable], two: Sequence[Hashable]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Tokens as numbers, the same for the same token."""
    codes: dict[Hashable, int] = {}
    a = np.array([codes.setdefault(token, len(codes)) for token in one], dtype=np.int32)
    b = np.array([codes.setdefault(token, len(codes)) for token in two], dtype=np.int32)
    return a, b


def _align(a: NDArray[np.int32], b: NDArray[np.int32], ops: list[Op]) -> None:
    """Append the operations from `a` to `b`; both shrink by half in each call."""
    short = min(len(a), len(b))
    differ = np.flatnonzero(a[:short] != b[:short])
    head = int(differ[0]) if len(differ) else short
    ops.extend(["="] * head)
    a, b = a[head:], b[head:]
    if (len(a) + 1) * (len(b) + 1) <= _BLOCK_CELLS or len(a) < 2:
        ops.extend(_trace(a, b))
        return
    middle = len(a) // 2
    left = _last_row(a[:middle], b)
    right = _last_row(a[middle:][::-1], b[::-1])[::-1]
    cut = int(np.argmin(left + right))
    _align(a[:middle], b[:cut], ops)
    _align(a[middle:], b[cut:], ops)


def _next_row(
    row: NDArray[np.int32], token: np.int32, b: NDArray[np.int32], steps: NDArray[np.int32]
) -> NDArray[np.int32]:
    """Distances after one more reference token; the insertions along the row are a running min."""
    best = row + 1
    np.minimum(best[1:], row[:-1] + (b != token), out=best[1:])
    best -= steps
    np.minimum.accumulate(best, out=best)
    best += steps
    return best


def _last_row(a: NDArray[np.int32], b: NDArray[np.int32]) -> NDArray[np.int32]:
    """Distances from the whole of `a` to every beginning of `b`."""
    steps = np.arange(len(b) + 1, dtype=np.int32)
    row: NDArray[np.int32] = steps.copy()
    for i in range(len(a)):
        row = _next_row(row, a[i], b, steps)
    return row


def _trace(a: NDArray[np.int32], b: NDArray[np.int32]) -> list[Op]:
    """Operations from the whole table, read backwards."""
    steps = np.arange(len(b) + 1, dtype=np.int32)
    rows = [steps]
    for token in a:
        rows.append(_next_row(rows[-1], token, b, steps))
    ops: list[Op] = []
    i, j = len(a), len(b)
    while i or j:
        here = rows[i][j]
        if i and j and here == rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]):
            ops.append("=" if a[i - 1] == b[j - 1] else "S")
            i, j = i - 1, j - 1
        elif i and here == rows[i - 1][j] + 1:
            ops.append("D")
            i -= 1
        else:
            ops.append("I")
            j -= 1
    return ops[::-1]
