"""N-gram models: back-off, states, and the files they come from."""

import itertools
import math

import numpy as np
import pytest
from tests.decoding.lm.models import ARPA, brute_force, random_tables

from mooer.decoding.lm.arpa import read_arpa
from mooer.decoding.lm.trie import trie_of
from mooer.errors import DecodeError, ModelError


def test_probabilities_are_those_of_the_definition():
    for seed in range(4):
        tables = random_tables(seed, order=3)
        model, wanted = trie_of(tables), brute_force(tables)
        ids = range(len(tables.units))
        for length in range(4):
            for history in itertools.product(ids, repeat=length):
                state = ()
                for word in history:
                    _, state = model.score(state, word)
                for word in ids:
                    found, _ = model.score(state, word)
                    assert found == pytest.approx(wanted(history, word), abs=1e-5)


def test_states_are_as_short_as_the_model_allows():
    tables = random_tables(1, order=3)
    model, wanted = trie_of(tables), brute_force(tables)
    ids = range(len(tables.units))
    states = {}
    for history in itertools.product(ids, repeat=3):
        state = ()
        for word in history:
            _, state = model.score(state, word)
        assert history[len(history) - len(state) :] == state
        states.setdefault(state, []).append(history)
    assert any(len(state) < 2 for state in states)
    for histories in states.values():  # what is one state has the same future
        for word in ids:
            assert len({round(wanted(one, word), 4) for one in histories}) == 1


def test_a_state_may_be_made_by_hand(tmp_path):
    model = trie_of(read_arpa(written(tmp_path, ARPA)))
    a, b = model.unit("a"), model.unit("b")
    assert model.score((b, a), b)[0] == pytest.approx(model.score((a,), b)[0])
    assert model.score((99, 7, a), b) == model.score((a,), b)


def test_a_sentence_with_and_without_its_ends(tmp_path):
    model = trie_of(read_arpa(written(tmp_path, ARPA)))
    ln10 = math.log(10)
    assert model.logprob(["a", "b"]) == pytest.approx(ln10 * (-0.2 - 0.1 - 0.3 - 1.0))
    assert model.logprob(["a", "b"], bos=False) == pytest.approx(ln10 * (-0.5 - 0.1 - 0.3 - 1.0))
    assert model.logprob(["a"], eos=False) == pytest.approx(ln10 * -0.2)
    assert model.logprob(["zebra"], bos=False, eos=False) == pytest.approx(ln10 * -2)
    assert model.logprob([], bos=False, eos=False) == 0.0


def test_an_id_of_no_unit():
    model = trie_of(random_tables(0, order=2))
    for word in (-1, 5):
        with pytest.raises(DecodeError, match=f"{word} is the id of no unit"):
            model.score((3,), word)


def test_nothing_in_the_arrays_can_be_written():
    model = trie_of(random_tables(0, order=2))
    with pytest.raises(ValueError, match="read-only"):
        model.nodes.probs[0] = 0


def test_remembered_states_are_forgotten_in_time(monkeypatch):
    monkeypatch.setattr("mooer.decoding.lm.trie._MAX_KNOWN", 2)
    tables = random_tables(2, order=3)
    small, large = trie_of(tables), trie_of(tables)
    words = np.random.default_rng(0).choice(tables.units[3:], 200).tolist()
    found = small.logprob(words)
    monkeypatch.undo()
    assert found == large.logprob(words)
    assert len(small._known) <= 3


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[3, 3], [3, 3]], "has twice the n-gram 'a a'"),
        ([[3, 4], [3, 3], [3, 4]], "has twice the n-gram 'a b'"),
    ],
)
def test_an_ngram_that_is_there_twice(rows, sentence):
    tables = random_tables(0, order=2)
    wrong = type(tables)(
        tables.units,
        (tables.ngrams[0], np.array(rows, np.int32)),
        (tables.probs[0], np.zeros(len(rows), np.float32)),
        tables.backoffs,
    )
    with pytest.raises(ModelError, match=sentence):
        trie_of(wrong)


def test_an_ngram_whose_context_is_missing(tmp_path):
    text = ARPA.replace("ngram 2=2", "ngram 2=2\nngram 3=1").replace(
        "\\end\\", "\\3-grams:\n-0.1\tb\ta\tb\n\n\\end\\"
    )
    with pytest.raises(ModelError, match="has no context of the n-gram 'b a b'"):
        trie_of(read_arpa(written(tmp_path, text)))


def written(tmp_path, text):
    path = tmp_path / "lm.arpa"
    path.write_text(text, "utf-8")
    return path
