"""Fusion: every method's search against every text there is, over five units and a word LM."""

import math

import numpy as np
import pytest
from tests.decoding.test_prefixes import EXACT, every_text, log_probs

from mooer.decoding.fusion import (
    METHODS,
    FusionOptions,
    Length,
    TextScorer,
    UnitPrior,
    length_of,
)
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.decoding.prefixes import CtcOptions, PrefixSearch, prefix_search
from mooer.errors import ConfigError
from mooer.infer.ctc_search import CtcSearch, Spelling
from mooer.infer.fusion import Fusion

PIECES = ("", " a", "b", " b", "好")  # a word may be of one piece or of several
TEXT = ["a b ab", "好 ab b", "abb 好 好", "b a 好 ab", "bb a", "ab 好"]
SOURCE = ["b b b a", "好 a b", "ab ab a", "bb"]


def lm_of(texts, order):
    return NGramText(trie_of(train_ngram(texts, TrainOptions(order)).tables))


@pytest.fixture(scope="module")
def models():
    return lm_of(TEXT, 3), lm_of(SOURCE, 2)


def fusion_of(method, models, **weights):
    lm, source = models
    posterior = np.array([0.5, 0.1, 0.2, 0.05, 0.15], np.float32)
    return Fusion(FusionOptions(method, **weights), lm, source, prior=posterior)


def formula(text_units, heard, method, models, weights):
    """The score of a text, term by term."""
    lm, source = models
    text = "".join(PIECES[unit] for unit in text_units)
    prior = np.array([0.1, 0.2, 0.05, 0.15]) / 0.5
    total = heard + weights["lm_weight"] * lm.logprobs([text])[0]
    total += weights.get("length_bonus", 0.0) * len(text.replace("好", " 好 ").split())
    total -= weights.get("source_weight", 0.0) * source.logprobs([text])[0]
    ilm = sum(math.log(prior[unit - 1]) for unit in text_units)
    return total - weights.get("ilm_weight", 0.0) * ilm


CASES = [
    ("shallow", {"lm_weight": 0.7, "length_bonus": 0.8}),
    ("rescore", {"lm_weight": 1.3, "length_bonus": -0.4}),
    ("density", {"lm_weight": 0.9, "source_weight": 0.6, "length_bonus": 0.3}),
    ("lodr", {"lm_weight": 0.5, "source_weight": 0.3}),
    ("ilme", {"lm_weight": 0.8, "ilm_weight": 0.5, "length_bonus": 0.2}),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("method", "weights"), CASES)
def test_an_unbounded_search_finds_the_best_of_all_texts(method, weights, seed, models):
    rows = log_probs(5, 5, seed)
    fusion = fusion_of(method, models, **weights)
    wanted = {
        units: formula(units, math.log(prob), method, models, weights)
        for units, prob in every_text(rows, 0).items()
    }
    best = max(wanted, key=wanted.get)
    if fusion.needs_nbest:
        texts = prefix_search(rows, 0, EXACT)
        assert len(texts) == len(wanted)
        search = CtcSearch(Spelling(PIECES, 0), fusion=fusion)
        place = fusion.best(search.candidate(one) for one in texts)
        assert texts[place].units == best
        return
    found = prefix_search(rows, 0, EXACT, fusion.scorers(PIECES, 0))
    assert {one.units: one.score for one in found} == pytest.approx(wanted, abs=1e-4)
    assert found[0].units == best


def test_every_method_is_in_the_test():
    assert {method for method, _ in CASES} | {"wfst"} == set(METHODS)  # wfst: test_wfst


@pytest.mark.parametrize(("method", "weights"), [c for c in CASES if METHODS[c[0]].in_search])
def test_streams_find_what_the_whole_finds(method, weights, models):
    rows = log_probs(20, 5, seed=11)
    fusion = fusion_of(method, models, **weights)
    options = CtcOptions(beam_size=7)
    search = PrefixSearch(0, options, fusion.scorers(PIECES, 0))
    for part in np.split(rows, [1, 2, 9, 9, 17]):
        search.push(part)
    assert search.found() == prefix_search(rows, 0, options, fusion.scorers(PIECES, 0))


class Moved:
    """An LM with a constant more a word, or a sentence."""

    def __init__(self, lm, word=0.0, sentence=0.0):
        self._lm, self._length = lm, Length()
        self._word, self._sentence = word, sentence

    def start(self):
        return self._lm.start(), self._length.start()

    def advance(self, state, piece):
        added, here = self._lm.advance(state[0], piece)
        count, there = self._length.advance(state[1], piece)
        return added + self._word * count, (here, there)

    def finish(self, state):
        return self._lm.finish(state[0]) + self._sentence


def test_a_constant_of_the_lm_changes_what_it_should_alone(models):
    rows = log_probs(5, 5, seed=3)

    def search(lm, bonus=0.0):
        return prefix_search(rows, 0, EXACT, [TextScorer([(lm, 0.6), (Length(), bonus)], PIECES)])

    plain = search(models[0])
    by_sentence = search(Moved(models[0], sentence=5.0))
    assert [one.units for one in by_sentence] == [one.units for one in plain]
    assert by_sentence[0].score - plain[0].score == pytest.approx(3.0)
    by_word, by_bonus = search(Moved(models[0], word=2.0)), search(models[0], bonus=1.2)
    assert [one.units for one in by_word] == [one.units for one in by_bonus]
    assert by_word[0].score == pytest.approx(by_bonus[0].score)


def test_a_word_is_scored_once_it_is_over(models):
    lm = models[0]
    scorer = TextScorer([(lm, 1.0)], PIECES)
    opened, state = scorer.advance(scorer.start(), 1)  # " a"
    goes_on, state = scorer.advance(state, 2)  # "b"
    closed, state = scorer.advance(state, 4)  # "好"
    assert (opened, goes_on) == (0.0, 0.0)
    total = closed + scorer.finish(state)
    assert total == pytest.approx(lm.model.logprob(["ab", "好"]))


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 0), ("我用 Python, don't", 4), ("a1 b2", 2), ("été 你", 2), ("...", 0)],
)
def test_length_counts_words_and_characters(text, length):
    assert length_of(text) == length
    counter, state, total = Length(), Length().start(), 0.0
    for byte in text.encode():
        added, state = counter.advance(state, bytes([byte]))
        total += added
    assert total == length


def test_a_prior_leaves_the_blank_out_and_no_unit_at_0():
    prior = UnitPrior(np.array([0.6, 0.3, 0.0, 0.1]), 0, 2.0)
    assert prior.advance(None, 1)[0] == pytest.approx(2 * math.log(0.3 / 0.5))
    assert prior.logprob((2, 3)) == pytest.approx(2 * math.log(0.1 / 0.5))
    for wrong in ([[0.1]], [0.5, math.nan], [0.5, -0.1]):
        with pytest.raises(ConfigError, match="list of probabilities"):
            UnitPrior(np.array(wrong), 0, 1.0)
    with pytest.raises(ConfigError, match="nothing is ever said"):
        UnitPrior(np.array([1.0, 0.0]), 0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "shalow"}, "did you mean shallow"),
        ({"lm_weight": -0.1}, "lm_weight must be from 0"),
        ({"lm_weight": math.nan}, "lm_weight must be from 0"),
        ({"length_bonus": 99.0}, "length_bonus must be"),
        ({"source_weight": 0.2}, "density or lodr"),
        ({"method": "density", "ilm_weight": 0.2}, "take ilme"),
    ],
)
def test_weights_of_nonsense_are_told(options, message):
    with pytest.raises(ConfigError, match=message):
        FusionOptions(**options)


def test_what_a_method_needs_is_told(models):
    lm, _ = models
    for method, message in (
        ("wfst", "needs a graph"),
        ("density", "--source-lm"),
        ("lodr", "--source-lm"),
    ):
        with pytest.raises(ConfigError, match=message):
            Fusion(FusionOptions(method), lm)
    with pytest.raises(ConfigError, match="--lm FILE"):
        Fusion(FusionOptions())
    with pytest.raises(ConfigError, match="order 2, not 3"):
        Fusion(FusionOptions("lodr", source_weight=0.1), lm, lm)
    with pytest.raises(ConfigError, match="needs the prior"):
        Fusion(FusionOptions("ilme", ilm_weight=0.1), lm).scorers(PIECES, 0)
