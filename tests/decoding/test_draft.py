"""Where an answer stands in its draft."""

import numpy as np
import pytest

from mooer.decoding.draft import Follow
from mooer.infer.native_network import _following

DRAFT = [5, 6, 7, 8]


@pytest.mark.parametrize(
    ("said", "going_on"),
    [
        ([], {5}),
        ([5, 6], {7}),
        ([5, 9], {6, 7}),  # another id in the place of 6, or before it
        ([5, 9, 6], {7}),
        ([5, 7], {8}),  # one is left out
        ([5, 6, 7, 8], set()),
    ],
)
def test_the_draft_goes_on_where_the_answer_is(said, going_on):
    assert Follow(DRAFT).next_ids(said) == going_on


def test_order_of_questions_changes_nothing():
    follow = Follow(DRAFT)
    paths = [[5, 6, 7], [5], [9, 9], [5, 6]]
    assert [follow.next_ids(p) for p in paths] == [Follow(DRAFT).next_ids(p) for p in paths]


def test_an_empty_draft_prefers_nothing():
    assert Follow([]).next_ids([1, 2]) == set()


def test_scores_change_until_the_transcript_ends():
    change = _following(Follow([3, 4]), 2.0, frozenset({9}), None)
    scores = np.zeros(10, np.float32)
    change([3], scores)
    assert scores[4] == 2.0
    assert scores.sum() == 2.0
    change([3, 9], scores)  # after the line break comes a translation
    assert scores.sum() == 2.0
