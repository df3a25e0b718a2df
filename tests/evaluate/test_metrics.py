"""Error rates, BLEU, chrF and their intervals."""

import sys

import numpy as np
import pytest
import sacrebleu

from mooer.errors import MissingExtra
from mooer.evaluate.bootstrap import bleu_interval, compare_systems, interval
from mooer.evaluate.metrics import Counts, bleu, cer, chrf, compare, mer, metrics_for, wer


def test_rates_are_of_the_corpus():
    counts = wer(["a b c d", "e"], ["a b x", "e e"], "fr")
    assert counts == Counts(1, 1, 1, 5)
    assert counts.rate == 0.6
    assert counts.errors == 3
    assert Counts().rate is None


def test_rates_by_language():
    assert cer(["今天天氣好！"], ["今天天气真好"], "zh") == Counts(0, 0, 1, 5)
    assert mer(["我用Python写代码"], ["我用 java 写代码"], "zh") == Counts(1, 0, 0, 6)
    assert cer(["안녕 하세요"], ["안녕하세요."], "ko").errors == 0
    assert wer(["It's twenty-one colours"], ["it is 21 colors!"], "en").errors == 0
    assert metrics_for("zh") == ("cer", "mer")
    assert metrics_for("ko") == metrics_for("en") == metrics_for(None) == ("cer", "wer")
    assert metrics_for("ja") == ("cer",)


def test_aligned_tokens():
    _, ops = compare("wer", "a b c", "a x c d", "fr")
    assert ops == [("=", "a", "a"), ("S", "b", "x"), ("=", "c", "c"), ("I", None, "d")]


@pytest.mark.parametrize(
    ("language", "tokenize", "text"),
    [("en", "13a", "The cat sat."), ("zh", "zh", "今天天气很好。"), ("ja", "char", "今日は晴れ。")],
)
def test_scores_are_those_of_sacrebleu(language, tokenize, text):
    hypotheses, references = [text, text[:4]], [[text], [text]]
    score = bleu(hypotheses, references, language)
    expected = sacrebleu.corpus_bleu(hypotheses, [[text, text]], tokenize=tokenize)
    assert score.value == expected.score
    assert f"tok:{tokenize}" in score.signature
    assert (
        chrf(hypotheses, references).value == sacrebleu.corpus_chrf(hypotheses, [[text] * 2]).score
    )


def test_a_known_bleu_and_several_references():
    assert bleu(
        ["the cat is on the mat"], [["the cat is on the mat"]], "en"
    ).value == pytest.approx(100)
    references = [["a b c d e", "the cat is on the mat"], ["one two three four five"]]
    hypotheses = ["the cat is on the mat", "one two three four five"]
    assert bleu(hypotheses, references, "en").value == pytest.approx(100)
    assert chrf(hypotheses, references).value == pytest.approx(100)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtra, match=r"mooer\[evaluate\]"):
        chrf(["a"], [["a"]])


def test_intervals_are_repeatable_and_hold_the_rate():
    draw = np.random.default_rng(1)
    tokens = draw.integers(5, 20, 300)
    errors = draw.binomial(tokens, 0.1)
    found = interval(errors, tokens, seed=3)
    assert found == interval(errors, tokens, seed=3)
    assert found != interval(errors, tokens, seed=4)
    assert found[0] < errors.sum() / tokens.sum() < found[1]
    assert found[1] - found[0] < 0.05
    assert interval([1], [2]) is None
    assert interval([0, 0], [0, 0]) is None


def test_paired_comparison():
    tokens = np.full(200, 10)
    a = np.tile([2, 1], 100)
    better = compare_systems(a, a - 1, tokens, seed=0)
    assert better.difference == pytest.approx(-0.1)
    assert better.p_value < 0.01
    same = compare_systems(a, a[::-1], tokens, seed=0)
    assert same.p_value > 0.5
    assert same.interval[0] < 0 < same.interval[1]
    with pytest.raises(ValueError, match="same two or more"):
        compare_systems([1], [1, 2], [3, 3])


def test_bleu_interval():
    hypotheses = ["the cat is on the mat", "a dog sat in the sun", "birds fly over the hill"] * 5
    references = [
        ["the cat is on the mat"],
        ["the dog sat in the sun"],
        ["birds flew over hills"],
    ] * 5
    low, high = bleu_interval(hypotheses, references, "en", seed=1)
    assert (low, high) == bleu_interval(hypotheses, references, "en", seed=1)
    assert low < bleu(hypotheses, references, "en").value < high
    assert bleu_interval(["a"], [["a"]], "en") is None
