"""Binary files of KenLM: its own numbers, and files that are damaged."""

import json
import math
import random

import numpy as np
import pytest
from tests.conftest import ROOT

from mooer.decoding.lm import load
from mooer.decoding.lm.kenlm import PackedTrieNGram
from mooer.decoding.lm.load import file_kind, read_ngram, tables_of
from mooer.decoding.lm.trie import trie_of
from mooer.errors import ModelError

GOLDEN = ROOT / "tests" / "golden" / "lm"  # by make_golden.py
NAMES = ["pruned.arpa.gz", "pruned.probing", "pruned.trie"]


@pytest.fixture(params=["unpacked", "mapped"])
def trees(request, monkeypatch):
    """Whether trees are unpacked, or asked where they lie as very large ones are."""
    if request.param == "mapped":
        monkeypatch.setattr(load, "_MAX_UNPACKED", 0)
        assert isinstance(read_ngram(GOLDEN / "pruned.trie"), PackedTrieNGram)


@pytest.fixture(scope="module")
def scores():
    return json.loads((GOLDEN / "scores.json").read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_are_those_of_kenlm(name, scores, trees):
    model = read_ngram(GOLDEN / name)
    for line in scores:
        state, found = model.start(), []
        for word in line["text"].split():
            log_prob, state = model.score(state, model.unit(word))
            found.append(log_prob)
        found.append(model.finish(state))
        wanted = [10**log10 for log10 in line["log10"]]
        assert np.exp(found) == pytest.approx(wanted, rel=1e-6)


def test_states_are_the_same_words_in_all_formats(scores, trees):
    models = [read_ngram(GOLDEN / name) for name in NAMES]
    for line in scores:
        seen = []
        for model in models:
            state, states = model.start(), []
            for word in line["text"].split():
                _, state = model.score(state, model.unit(word))
                states.append([model.units[i] for i in state])
            seen.append(states)
        assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("name", ["pruned.probing", "pruned.trie"])
def test_a_state_may_be_longer_than_any_that_is_known(name, trees):
    model = read_ngram(GOLDEN / name)
    a, b = model.unit("the"), model.unit("zebra")
    for word in (a, model.unit("看")):
        long = model.score((a, b, a, b, a), word)
        assert long[0] == pytest.approx(model.score((b, a), word)[0])


def test_a_tree_gives_its_ngrams(trees):
    found, wanted = tables_of(GOLDEN / "pruned.trie"), tables_of(GOLDEN / "pruned.arpa.gz")
    assert set(map(found.text, found.ngrams[3])) == set(map(wanted.text, wanted.ngrams[3]))
    one, other = trie_of(found), trie_of(wanted)
    rng = random.Random(0)
    for _ in range(50):
        words = rng.choices([*wanted.units[3:], "zebra"], k=6)
        assert one.logprob(words) == pytest.approx(other.logprob(words), abs=1e-5)


def test_hash_tables_hold_no_ngrams():
    with pytest.raises(ModelError, match="take the ARPA file"):
        tables_of(GOLDEN / "pruned.probing")


def test_what_is_not_read_is_said():
    assert file_kind(GOLDEN / "pruned.quantised") == "KenLM binary"
    with pytest.raises(ModelError, match="of trie with quantization, version 1, which is not read"):
        read_ngram(GOLDEN / "pruned.quantised")
    with pytest.raises(ModelError, match="is no n-gram model"):
        read_ngram(ROOT / "tests" / "golden" / "features.npz")


@pytest.mark.parametrize("name", ["pruned.probing", "pruned.trie"])
def test_a_file_that_is_cut_short(tmp_path, name, trees):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "lm.bin"
    for end in (*range(60, 120, 7), *range(120, len(whole), len(whole) // 40), len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=r"lm\.bin is no whole binary file of KenLM"):
            read_ngram(path)


@pytest.mark.parametrize("name", ["pruned.probing", "pruned.trie"])
def test_no_damage_does_more_than_give_wrong_numbers(tmp_path, name, trees):
    whole = (GOLDEN / name).read_bytes()
    path = tmp_path / "lm.bin"
    rng = random.Random(3)
    num_refused = 0
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(20):
            data[rng.randrange(48, len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            model = read_ngram(path)
            for words in (["the", "a"], ["river", "don't", "go", "see"]):
                assert isinstance(model.logprob(words), float)
        except ModelError:
            num_refused += 1
    assert 0 < num_refused < 150


def test_a_version_that_is_not_known(tmp_path):
    path = tmp_path / "lm.bin"
    whole = (GOLDEN / "pruned.trie").read_bytes()
    path.write_bytes(whole.replace(b"version 5", b"version 6"))
    with pytest.raises(ModelError, match="another version"):
        read_ngram(path)


def test_a_word_that_is_unknown_has_its_probability():
    model = read_ngram(GOLDEN / "pruned.probing")
    log_prob, state = model.score((), model.unknown)
    assert state == ()
    assert -math.inf < log_prob < -3
