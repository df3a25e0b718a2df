"""The error rate, against cases worked out by hand and, if it is there, pyannote.metrics."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from mooer.evaluate.diarization import assignment, diarization_error, match
from mooer.subtitles.rttm import Turn

CASES = json.loads((Path(__file__).parents[1] / "golden" / "diarization.json").read_text())
TALK = (Turn(0, 4, "anna"), Turn(4, 6, "ben"), Turn(6, 10, "anna"))


def parts(error):
    found = (error.total_s, error.missed_s, error.false_alarm_s, error.confusion_s)
    return tuple(round(value, 6) for value in found)


def test_what_is_right_has_no_error():
    found = diarization_error(TALK, TALK)
    assert parts(found) == (10, 0, 0, 0)
    assert found.rate == 0


def test_names_do_not_matter():
    renamed = [Turn(t.start_s, t.end_s, {"anna": "S2", "ben": "S1"}[t.speaker]) for t in TALK]
    assert diarization_error(TALK, renamed).rate == 0


def test_one_speaker_for_all():
    assert parts(diarization_error(TALK, [Turn(0, 10, "S1")])) == (10, 0, 0, 2)


def test_each_kind_of_error():
    # 0-1 missed, 3-4 and 6-7 given to the wrong one, 10-12 said by nobody.
    found = diarization_error(TALK, [Turn(1, 3, "a"), Turn(3, 7, "b"), Turn(7, 12, "a")])
    assert parts(found) == (10, 1, 2, 2)
    assert found.rate == 0.5
    assert parts(diarization_error(TALK, [Turn(10, 12, "a")])) == (10, 10, 2, 0)
    assert parts(diarization_error(TALK, [])) == (10, 10, 0, 0)


def test_overlap_counts_for_each():
    reference = (Turn(0, 6, "anna"), Turn(4, 8, "ben"))
    assert parts(diarization_error(reference, reference)) == (10, 0, 0, 0)
    # One voice where there are two is missed; two where there is one is a false alarm.
    assert parts(diarization_error(reference, [Turn(0, 6, "a"), Turn(6, 8, "b")])) == (10, 2, 0, 0)
    assert parts(diarization_error(reference, [Turn(0, 8, "a"), Turn(4, 8, "b")])) == (10, 0, 2, 0)
    # Three where there are two, one of them right.
    three = [Turn(0, 6, "a"), Turn(4, 6, "c"), Turn(4, 6, "d"), Turn(6, 8, "b")]
    assert parts(diarization_error(reference, three)) == (10, 0, 2, 2)


def test_overlap_can_be_left_out():
    reference = (Turn(0, 6, "anna"), Turn(4, 8, "ben"))
    found = diarization_error(reference, [Turn(0, 8, "a")], skip_overlap=True)
    assert parts(found) == (6, 0, 0, 2)


def test_the_collar_is_left_out_on_both_sides():
    late = [Turn(0.2, 4.2, "a"), Turn(4.2, 5.8, "b"), Turn(5.8, 10.2, "a")]
    assert diarization_error(TALK, late, collar_s=0.25).rate == 0
    assert parts(diarization_error(TALK, late, collar_s=0.25))[0] == 10 - 4 * 0.5 + 0.5
    assert parts(diarization_error(TALK, late, collar_s=0.1)) == (9.4, 0.1, 0.1, 0.2)


def test_scoring_ends_with_the_recording():
    found = diarization_error(TALK, [Turn(0, 10, "a"), Turn(10, 99, "b")], duration_s=10)
    assert parts(found) == (10, 0, 0, 2)
    assert parts(diarization_error(TALK, [], duration_s=5)) == (5, 5, 0, 0)


def test_turns_of_one_speaker_count_once():
    twice = (*TALK, Turn(1, 3, "anna"), Turn(2, 4, "anna"), Turn(5, 5, "carl"))
    assert parts(diarization_error(twice, twice)) == (10, 0, 0, 0)


def test_without_a_reference_there_is_no_rate():
    assert diarization_error([], []).rate is None
    found = diarization_error([], [Turn(0, 1, "a")])
    assert found.rate is None
    assert found.false_alarm_s == 1
    assert (found + diarization_error(TALK, TALK)).rate == 0.1


def test_the_best_match_is_found_among_all():
    generator = np.random.default_rng(0)
    for num in range(1, 6):
        for how in range(20):
            cost = np.round(generator.random((num, num)) * 3, how % 3)
            best = min(
                sum(cost[i, j] for i, j in enumerate(order))
                for order in itertools.permutations(range(num))
            )
            found = assignment(cost)
            assert sorted(found) == list(range(num))
            assert cost[np.arange(num), found].sum() == pytest.approx(best)


def test_some_have_nobody_to_be_matched_with():
    assert match({}) == {}
    found = match({("a", "x"): 1.0, ("b", "x"): 2.0, ("c", "y"): 0.5})
    assert found["b"] == "x"
    assert found["c"] == "y"
    assert "a" not in found


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_pyannote_says(case):
    reference, hypothesis = (
        [Turn(*turn) for turn in case[name]] for name in ("reference", "hypothesis")
    )
    found = diarization_error(reference, hypothesis, **case["options"])
    assert parts(found) == pytest.approx(case["parts"], abs=1e-3)
