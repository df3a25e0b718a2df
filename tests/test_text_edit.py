"""Alignments against the textbook."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooer.text import edit
from mooer.text.edit import align

TOKENS = st.lists(st.sampled_from("abcd"), max_size=14)


def textbook(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (x != y)))
    return row[-1]


def replay(a, b, ops):
    """The hypothesis that the operations make of the reference."""
    i = j = 0
    for op in ops:
        if op == "=":
            assert a[i] == b[j]
        elif op == "S":
            assert a[i] != b[j]
        i += op != "I"
        j += op != "D"
    assert (i, j) == (len(a), len(b))


@given(TOKENS, TOKENS)
def test_the_distance_is_the_least(a, b):
    alignment = align(a, b)
    assert alignment.distance == textbook(a, b)
    replay(a, b, alignment.ops)


@settings(max_examples=50)
@given(TOKENS, TOKENS)
def test_dividing_finds_the_same_distance(a, b):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edit, "_BLOCK_CELLS", 4)
        alignment = align(a, b)
    assert alignment.distance == textbook(a, b)
    replay(a, b, alignment.ops)


@pytest.mark.parametrize(
    ("a", "b", "ops"),
    [
        ("", "", ""),
        ("abc", "", "DDD"),
        ("", "ab", "II"),
        ("abc", "abc", "==="),
        ("abc", "axc", "=S="),
        ("abcd", "acd", "=D=="),
        ("abd", "abcd", "==I="),
    ],
)
def test_known_alignments(a, b, ops):
    assert "".join(align(a, b).ops) == ops


def test_counts_are_known():
    alignment = align("cat sat on the mat", "cat sit on mat!")
    assert (alignment.substitutions, alignment.deletions, alignment.insertions) == (1, 4, 1)


def test_long_sequences_take_little():
    draw = np.random.default_rng(0)
    a = draw.integers(0, 2000, 4000).tolist()
    b = [x for x in a if draw.random() > 0.1]
    alignment = align(a, b)
    assert (alignment.distance, alignment.deletions) == (len(a) - len(b), len(a) - len(b))
