"""Beams with a scorer against every text that there is."""

import itertools
import math

import numpy as np
import pytest

from mooer.decoding.weighed import Weighed
from mooer.engines import token_search
from mooer.engines.token_search import BeamSearch, GenerateOptions
from mooer.errors import ConfigError

NUM, END, MOST = 5, 4, 4


class Bigrams:
    """A scorer that minds the token before; the end too."""

    def __init__(self, seed=1, constant=0.0):
        self.table = np.random.default_rng(seed).normal(size=(NUM, NUM)) * 2 + constant

    def start(self):
        return END

    def advance(self, state, unit):
        return float(self.table[state, unit]), unit

    def finish(self, state):
        return float(self.table[state, END])


def logits(said):
    """Of a decoder that minds the last two tokens."""
    seed = int("".join(map(str, (9, *said[-2:]))))
    return np.random.default_rng(seed).normal(size=NUM).astype(np.float32) * 2


def log_probs(said):
    row = logits(said).astype(float)
    return row - math.log(np.exp(row).sum())


def every_text(scorer):
    """Each text with its score by the formula, the best first; the longest are cut."""
    found = []
    for length in range(MOST + 1):
        for text in itertools.product(range(END), repeat=length):
            total, state = 0.0, scorer.start()
            for place, token in enumerate(text):
                added, state = scorer.advance(state, token)
                total += log_probs(text[:place])[token] + added
            if length < MOST:
                total += log_probs(text)[END] + scorer.finish(state)
            found.append((total, text))
    return sorted(found, reverse=True)


def searched(scorer):
    options = GenerateOptions(
        max_new_tokens=MOST,
        stop_ids=frozenset({END}),
        num_beams=END**MOST,
        length_penalty=0.0,
        adjust=Weighed(scorer, {END}, NUM),
    )
    search, rows = BeamSearch(options), [()]
    while steps := search.advance(np.stack([logits(row) for row in rows])):
        rows = [(*rows[step.parent], step.token) for step in steps]
    return search.result()


@pytest.mark.parametrize("seed", range(8))
def test_an_unbounded_beam_finds_the_best_of_every_text(seed, monkeypatch):
    monkeypatch.setattr(token_search, "MAX_BEAMS", END**MOST)
    scorer = Bigrams(seed)
    (score, text), *_ = every_text(scorer)
    found = searched(scorer)
    assert found.tokens == text
    assert found.score == pytest.approx(score, abs=1e-4)


def test_what_is_not_among_the_likeliest_is_ruled_out():
    scores = np.array([3.0, 1.0, 2.0, 0.0, -5.0], np.float32)
    Weighed(Bigrams(), {END}, 2)((), scores)
    assert np.isinf(scores[[1, 3]]).all()
    assert np.isfinite(scores[[0, 2, END]]).all()  # the end may always come


def test_what_was_ruled_out_stays_so():
    scores = np.array([3.0, -np.inf, 2.0, 0.0, -np.inf], np.float32)
    Weighed(Bigrams(), {END})((), scores)
    assert np.isinf(scores[[1, END]]).all()


def test_another_search_begins_anew():
    weighed = Weighed(Bigrams(), {END})
    first, again = np.zeros(NUM, np.float32), np.zeros(NUM, np.float32)
    weighed((), first)
    weighed((2, 1), np.zeros(NUM, np.float32))  # nobody asked after (2,)
    weighed((), again)
    np.testing.assert_array_equal(first, again)


def test_top_k_of_none():
    with pytest.raises(ConfigError, match="top_k must be at least 1"):
        Weighed(Bigrams(), {END}, 0)
