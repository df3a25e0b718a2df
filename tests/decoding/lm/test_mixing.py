"""Models mixed: what every sum and every probability must be."""

import itertools
import math

import pytest

from mooer.decoding.lm.mixing import mix, shares
from mooer.decoding.lm.training import TrainOptions, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.errors import ConfigError


def trained(texts, order):
    return train_ngram(texts, TrainOptions(order)).tables


DOMAIN = trained(["a b a", "a b b a c", "b a d"], 3)
GENERAL = trained(["c c b", "a c", "b b c e", "e e a"], 2)


def probability(model, history, word):
    """By its own words; one that it does not know has none."""
    if word not in model.vocabulary:
        return 0.0
    state = tuple(model.unit(unit) for unit in history)
    return math.exp(model.score(state, model.vocabulary[word])[0])


def test_what_is_held_is_the_mean_and_sums_stay_one():
    tables = mix([DOMAIN, GENERAL], [0.3, 0.7])
    model, parts = trie_of(tables), [trie_of(DOMAIN), trie_of(GENERAL)]
    for rows in tables.ngrams:
        for row in rows.tolist():
            *history, word = (tables.units[i] for i in row)
            wanted = 0.3 * probability(parts[0], history, word)
            wanted += 0.7 * probability(parts[1], history[-1:], word)
            if word != "<s>":
                assert probability(model, history, word) == pytest.approx(wanted, rel=1e-4), row
    words = [unit for unit in tables.units if unit != "<s>"]
    for history in itertools.product(tables.units, repeat=2):
        total = sum(probability(model, history, word) for word in words)
        assert total == pytest.approx(1, abs=1e-4), history


def test_a_model_by_itself_stays_as_it_is():
    model, same = trie_of(DOMAIN), trie_of(mix([DOMAIN, GENERAL], [1.0, 0.0]))
    for text in ("a b a", "b b", "d a c"):
        assert same.logprob(text.split()) == pytest.approx(model.logprob(text.split()), abs=1e-4)


def test_shares_are_those_that_make_the_text_likeliest():
    text = ["a b a c", "c c b", "b a", "e a"]
    found = shares([DOMAIN, GENERAL], text)
    assert sum(found) == pytest.approx(1)

    def log_likelihood(share):
        total = 0.0
        for line in text:
            words = ["<s>", *line.split(), "</s>"]
            for end in range(1, len(words)):
                parts = (trie_of(DOMAIN), trie_of(GENERAL))
                first = probability(parts[0], words[max(0, end - 2) : end], words[end])
                second = probability(parts[1], words[end - 1 : end], words[end])
                total += math.log(share * first + (1 - share) * second)
        return total

    best = max((k / 50 for k in range(1, 50)), key=log_likelihood)
    assert found[0] == pytest.approx(best, abs=0.03)


def test_what_are_no_shares_is_told():
    with pytest.raises(ConfigError, match="as many weights"):
        mix([DOMAIN, GENERAL], [1.0])
    with pytest.raises(ConfigError, match="sum up to 1"):
        mix([DOMAIN, GENERAL], [0.5, 0.6])
    with pytest.raises(ConfigError, match="knows"):
        shares([DOMAIN, GENERAL], [])
