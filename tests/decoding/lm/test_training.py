"""Training: KenLM's numbers, sums that are 1, and what cannot be trained."""

import itertools
import logging

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.decoding.lm.models import by_text

from mooer.decoding.lm import counts as counts_module
from mooer.decoding.lm.arpa import read_arpa
from mooer.decoding.lm.counts import count_ngrams
from mooer.decoding.lm.kneser_ney import estimate
from mooer.decoding.lm.training import TrainOptions, read_lines, read_vocabulary, train_ngram
from mooer.decoding.lm.trie import trie_of
from mooer.errors import ConfigError

GOLDEN = ROOT / "tests" / "golden" / "lm"  # by make_golden.py
TEXT = ["a b a", "a b b a c", "b a", "c c c", "a b a b a b"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("plain", TrainOptions(order=4)),
        ("pruned", TrainOptions(order=4, prune=(0, 0, 1, 2))),
        ("two", TrainOptions(order=2)),
    ],
)
def test_models_are_those_of_lmplz(name, options):
    found = by_text(train_ngram(read_lines([GOLDEN / "text.txt"]), options).tables)
    wanted = by_text(read_arpa(GOLDEN / f"{name}.arpa.gz"))
    assert found.keys() == wanted.keys()
    for ngram, numbers in wanted.items():
        assert found[ngram] == pytest.approx(numbers, abs=2e-6), ngram


@pytest.mark.parametrize("prune", [(0,), (0, 1), (0, 0, 1), (0, 9, 9)])
@pytest.mark.parametrize("order", [3, 4])
@pytest.mark.parametrize("vocabulary", [None, ("a", "b", "never")])
def test_probabilities_sum_to_one_after_every_history(order, prune, vocabulary):
    tables = train_ngram(TEXT, TrainOptions(order, prune, vocabulary=vocabulary)).tables
    model = trie_of(tables)
    words = [i for i in range(len(tables.units)) if i != model.bos]
    for history in itertools.product(range(len(tables.units)), repeat=order - 1):
        total = sum(np.exp(model.score(history, word)[0]) for word in words)
        assert total == pytest.approx(1, abs=1e-5), history


def test_what_is_left_out_is_what_is_rare():
    texts = ["a b c"] * 3 + ["b c d"] * 2 + ["c d e"]
    found = train_ngram(texts, TrainOptions(3, (0, 1, 2))).tables
    assert {found.text(row) for row in found.ngrams[1]} == {
        *("<s> a", "<s> b", "a b", "b c", "c </s>", "c d", "d </s>")
    }
    assert {found.text(row) for row in found.ngrams[2]} == {"<s> a b", "a b c", "b c </s>"}


def test_counts_are_those_of_a_dictionary():
    found = count_ngrams([text.split() for text in TEXT], 3)
    wanted = {}
    for text in TEXT:
        padded = ["<s>", "<s>", *text.split(), "</s>"]
        for ngram in zip(padded[:-2], padded[1:-1], padded[2:], strict=True):
            wanted[ngram] = wanted.get(ngram, 0) + 1
    rows = [tuple(found.units[i] for i in row) for row in found.ngrams]
    assert dict(zip(rows, found.counts.tolist(), strict=True)) == wanted
    assert (found.num_sentences, found.num_units, found.num_unknown) == (5, 24, 0)


def test_runs_on_the_disk_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    sentences = [rng.choice(list("abcdefgh"), rng.integers(1, 9)).tolist() for _ in range(300)]
    whole = count_ngrams(sentences, 3)
    monkeypatch.setattr(counts_module, "_ROWS_AT_ONCE", 7)
    cut = count_ngrams(sentences, 3, units_at_once=100)
    np.testing.assert_array_equal(cut.ngrams, whole.ngrams)
    np.testing.assert_array_equal(cut.counts, whole.counts)
    assert cut.units == whole.units


def test_a_closed_vocabulary():
    counts = count_ngrams([["a", "x", "b"], ["y"]], 2, vocabulary=("b", "a", "c"))
    assert counts.units == ("<unk>", "<s>", "</s>", "b", "a", "c")
    assert (counts.num_units, counts.num_unknown) == (6, 2)
    model = trie_of(estimate(counts)[0])
    assert model.score((), model.unknown)[0] > model.score((), model.unit("c"))[0]


def test_what_gives_no_discounts_is_said(caplog):
    caplog.set_level(logging.WARNING)
    found = train_ngram(["a b c"], TrainOptions(2))
    assert found.discounts == ((0.5, 1.0, 1.5), (0.5, 1.0, 1.5))
    assert "order 2: 4, 0 and 0 n-grams have the adjusted counts 1, 2 and 3" in caplog.text
    assert "taken are 0.5, 1 and 1.5" in caplog.text


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: TrainOptions(order=0), "order 0: use one from 1 to"),
        (lambda: TrainOptions(prune=(1,)), "would leave out unigrams"),
        (lambda: TrainOptions(prune=()), "would leave out unigrams"),
        (lambda: TrainOptions(prune=(0, 2, 1)), "none below the one before it"),
        (lambda: TrainOptions(2, prune=(0, 0, 0)), "at most one number an order"),
        (lambda: train_ngram(["", " ,。"]), "the text holds no words"),
        (lambda: count_ngrams([["a", "<s>"]], 2), "the text holds <s> or </s>"),
    ],
)
def test_what_cannot_be_trained(make, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make()


def test_texts_that_cannot_be_read(tmp_path):
    (tmp_path / "gbk.txt").write_bytes("好\n你\n".encode("gbk"))
    with pytest.raises(ConfigError, match=r"gbk\.txt is not UTF-8 after line 0"):
        list(read_lines([tmp_path / "gbk.txt"]))
    with pytest.raises(ConfigError, match=r"cannot read .*none\.txt"):
        list(read_lines([tmp_path / "none.txt"]))
    (tmp_path / "empty.txt").write_text("\n ,\n")
    with pytest.raises(ConfigError, match="lists no words"):
        read_vocabulary(tmp_path / "empty.txt", "auto")
    (tmp_path / "words.txt").write_text("Hello, world\n你好 hello\n")
    assert read_vocabulary(tmp_path / "words.txt", "auto") == ("hello", "world", "你", "好")
