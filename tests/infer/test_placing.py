"""Where translated sentences are put."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooer.errors import ConfigError
from mooer.infer.placing import Pace, PlaceOptions, Placer, usual_s


def placed(sentences, **options):
    """(start, speed, end) of (place, natural seconds), None for one that is left out."""
    placer = Placer(PlaceOptions(**options))
    found = []
    for i, (place_s, natural_s) in enumerate(sentences):
        next_s = sentences[i + 1][0] if i + 1 < len(sentences) else None
        slot = placer.slot(place_s, next_s)
        if slot.is_late:
            found.append(None)
            continue
        speed = placer.speed(slot, natural_s)
        end_s = placer.put(slot, natural_s / speed)
        found.append((round(slot.start_s, 3), round(speed, 3), round(end_s, 3)))
    return found


def test_what_fits_is_heard_where_it_belongs():
    assert placed([(1.0, 2.0), (4.0, 1.0)]) == [(1.0, 1.0, 3.0), (4.0, 1.0, 5.0)]


def test_a_little_too_long_is_spoken_a_little_faster():
    [(_, speed, end_s), (start_s, _, _)] = placed([(0.0, 3.0), (2.5, 1.0)], slack_s=0.0)
    assert speed == pytest.approx(3.0 / 2.35, abs=1e-3)
    assert end_s == pytest.approx(2.35)
    assert start_s == 2.5


def test_much_too_long_delays_the_next_and_silence_makes_up_for_it():
    found = placed([(0.0, 5.2), (2.0, 1.0), (10.0, 1.0)])
    assert found[0] == (0.0, 1.3, 4.0)
    assert found[1][0] == 4.15
    assert found[2] == (10.0, 1.0, 11.0)


def test_a_small_delay_is_no_reason_to_hurry():
    assert placed([(0.0, 2.3), (2.0, 1.0)])[0] == (0.0, 1.0, 2.3)


def test_the_last_has_all_the_time_there_is():
    assert placed([(0.0, 60.0)]) == [(0.0, 1.0, 60.0)]


def test_who_is_far_behind_hurries_and_at_last_leaves_out():
    found = placed([(float(i), 3.0) for i in range(40)], max_lag_s=8.0)
    assert {one[1] for one in found if one} == {1.3, 1.6}
    assert None in found
    lags = [one[0] - i for i, one in enumerate(found) if one]
    assert max(lags) <= 8.0


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 20)), min_size=1, max_size=30),
    st.floats(0.5, 20),
)
def test_sounds_never_overlap_and_none_is_early(gaps, max_lag_s):
    place_s, sentences = 0.0, []
    for gap_s, natural_s in gaps:
        place_s += gap_s
        sentences.append((place_s, natural_s))
    end_before_s = 0.0
    for (place_s, _), one in zip(sentences, placed(sentences, max_lag_s=max_lag_s), strict=True):
        if one is None:
            continue
        start_s, speed, end_s = one
        assert start_s >= place_s - 1e-3
        assert start_s >= end_before_s - 1e-3
        assert start_s - place_s <= max_lag_s + 1e-3
        assert 1.0 <= speed <= 1.6
        end_before_s = end_s


def test_only_what_helps_is_spoken_again():
    placer = Placer()
    slot = placer.slot(0.0, 2.0)  # room for 2.35 s
    assert placer.is_too_long(slot, 3.0, 1.0)
    assert not placer.is_too_long(slot, 2.39, 1.0)
    assert not placer.is_too_long(slot, 3.0, 1.3)  # it cannot be faster


def test_a_voice_is_known_better_and_better():
    pace = Pace()
    text = "one two three four five"
    for _ in range(20):
        pace.learn(text, usual_s(text) * 1.5 / 1.2, 1.2)
    assert pace.natural_s(text) == pytest.approx(1.5 * usual_s(text), rel=0.01)
    pace.learn("...", 1.0, 1.0)  # nothing to learn from
    assert pace.natural_s(text) == pytest.approx(1.5 * usual_s(text), rel=0.01)


@pytest.mark.parametrize(
    "wrong", [{"align": "middle"}, {"max_speed": 0.9}, {"hurry_speed": 3.0}, {"max_lag_s": 0.0}]
)
def test_what_makes_no_sense(wrong):
    with pytest.raises(ConfigError):
        PlaceOptions(**wrong)
