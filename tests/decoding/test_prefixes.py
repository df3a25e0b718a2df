"""Prefix search of CTC against the sum over every path there is."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from mooer.decoding.prefixes import CtcOptions, PrefixSearch, prefix_search
from mooer.errors import ConfigError, DecodeError

EXACT = CtcOptions(
    beam_size=1000, top_k=100, min_logprob=-math.inf, beam_drop=math.inf, blank_skip=1.0
)


def log_probs(num_frames, num_classes, seed, sharpness=2.0):
    logits = np.random.default_rng(seed).normal(size=(num_frames, num_classes)) * sharpness
    return (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float32)


def said(path, blank):
    return tuple(unit for unit, _ in itertools.groupby(path) if unit != blank)


def every_text(rows, blank, cost=0.0):
    """Probability of every text: the sum over all its paths, which begin in silence."""
    totals = {}
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        text = said(path, blank)
        changes = sum(a != b for a, b in itertools.pairwise((blank, *path)))
        prob = math.exp(sum(rows[i, unit] for i, unit in enumerate(path)) - cost * changes)
        totals[text] = totals.get(text, 0.0) + prob
    return totals


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("cost", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_sums_over_every_path(blank, cost, seed):
    rows = log_probs(5, 4, seed)
    wanted = every_text(rows, blank, cost)
    found = prefix_search(rows, blank, replace(EXACT, change_cost=cost))
    assert {one.units: one.logprob for one in found} == pytest.approx(
        {text: math.log(prob) for text, prob in wanted.items()}, abs=1e-4
    )
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


class Bigram:
    """A table of what each unit adds after the one before, and of what ends cost."""

    def __init__(self, num, seed):
        self.table = np.random.default_rng(seed).normal(size=(num + 1, num))
        self.ends = np.random.default_rng(seed + 1).normal(size=num + 1)

    def start(self):
        return -1

    def advance(self, state, unit):
        return float(self.table[state, unit]), unit

    def finish(self, state):
        return float(self.ends[state])

    def score(self, text):
        pairs = itertools.pairwise((-1, *text))
        return sum(self.table[a, b] for a, b in pairs) + self.ends[text[-1] if text else -1]


@pytest.mark.parametrize("seed", range(3))
def test_scorers_weigh_whole_texts(seed):
    rows, scorer = log_probs(5, 4, seed), Bigram(4, seed)
    wanted = {t: math.log(p) + scorer.score(t) for t, p in every_text(rows, 0).items()}
    best = prefix_search(rows, 0, EXACT, [scorer])[0]
    assert best.units == max(wanted, key=wanted.get)
    assert best.score == pytest.approx(wanted[best.units], abs=1e-4)
    assert best.bonus == pytest.approx(scorer.score(best.units))


def test_sure_blanks_are_stepped_over_and_change_nothing():
    rows = log_probs(60, 6, seed=2, sharpness=3.0)
    rows[np.arange(60) % 3 > 0] = np.log([0.9996, *[0.00008] * 5])
    quick = prefix_search(rows, 0, CtcOptions(beam_size=16, blank_skip=0.999))[0]
    slow = prefix_search(rows, 0, CtcOptions(beam_size=16, blank_skip=1.0))[0]
    assert quick.units == slow.units
    assert len(quick.units) > 8
    assert quick.logprob == pytest.approx(slow.logprob, abs=0.05)


def test_what_makes_no_sense_is_told():
    rows = log_probs(4, 3, seed=0)
    rows[2, 1] = np.nan
    with pytest.raises(DecodeError, match="NaN"):
        prefix_search(rows, 0)
    for wrong in ({"beam_size": 0}, {"top_k": 0}, {"blank_skip": 0.0}, {"change_cost": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            CtcOptions(**wrong)


@pytest.mark.parametrize("cuts", [(1, 2, 3, 4), (3,), (0, 0, 5)])
def test_a_stream_finds_what_the_whole_finds(cuts):
    rows, scorer = log_probs(24, 5, seed=4), Bigram(5, 4)
    rows[7:13] = np.log([0.9996, 0.0001, 0.0001, 0.0001, 0.0001])
    options = CtcOptions(beam_size=6, change_cost=0.5)
    search = PrefixSearch(0, options, [scorer])
    for part in np.split(rows, cuts):
        search.push(part)
        search.found()
    assert search.found() == prefix_search(rows, 0, options, [scorer])


def test_scorers_add_up():
    rows = log_probs(5, 4, seed=7)
    first, second = Bigram(4, 1), Bigram(4, 2)
    found = prefix_search(rows, 0, EXACT, [first, second])
    assert len(found) > 50
    for one in found:
        wanted = first.score(one.units) + second.score(one.units)
        assert one.bonus == pytest.approx(wanted)


def test_a_factor_on_all_probabilities_changes_no_order():
    rows = log_probs(30, 6, seed=9)
    options = CtcOptions(beam_size=5, min_logprob=-math.inf, blank_skip=1.0)
    plain = prefix_search(rows, 0, options)
    moved = prefix_search(rows - 3.0, 0, options)
    assert [one.units for one in plain] == [one.units for one in moved]
    assert plain[0].logprob - moved[0].logprob == pytest.approx(90.0, abs=1e-3)


def test_very_long_sounds_do_not_underflow():
    rows = np.tile(log_probs(10, 4, seed=3), (400, 1))
    best = prefix_search(rows, 0, CtcOptions(beam_size=3), [Bigram(4, 0)])[0]
    assert -1e5 < best.logprob < -1000
