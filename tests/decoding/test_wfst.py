"""Graphs: the best path of T ∘ L ∘ G against every path and every reading of it."""

import itertools
import logging
import math
from importlib.util import find_spec

import numpy as np
import pytest
from tests.decoding.test_prefixes import log_probs, said

from mooer.decoding.ctc import along
from mooer.decoding.fusion import FusionOptions
from mooer.decoding.graphs import GraphOptions, Lexicon, spell_words
from mooer.decoding.lm.tables import Tables
from mooer.decoding.wfst import Graph, WfstOptions
from mooer.errors import ConfigError, DecodeError, MissingExtra, ModelError
from mooer.infer.ctc_search import CtcSearch, Spelling
from mooer.infer.fusion import Fusion

has_kaldi = find_spec("kaldifst") is not None and find_spec("kaldi_decoder") is not None
needs_kaldi = pytest.mark.skipif(not has_kaldi, reason="needs mooer[wfst]")

WIDE = WfstOptions(beam=1000.0, lattice_beam=1000.0, max_active=10**6, blank_skip=1.0)
UNITS = ("<unk>", "<s>", "</s>", "a", "b", "ab", "ba")
# Class 0 is the blank. "ab" is spelled like a and b together, "ba" like b but for a symbol.
LEXICON = Lexicon((("a", (1,)), ("b", (2,)), ("ab", (1, 2)), ("ba", (2,))))


def bigrams(seed=0):
    """Every unigram, and some bigrams, each likelier than by back-off."""
    random = np.random.default_rng(seed)
    unigrams = np.array([[i] for i in range(len(UNITS))], np.int32)
    probs = np.log10(random.dirichlet(np.ones(len(UNITS))))
    probs[1] = -99.0
    backs = -random.random(len(UNITS))
    backs[2] = 0.0
    pairs = [(1, 3), (1, 5), (3, 4), (4, 4), (5, 2), (4, 2), (6, 3)]
    likely = [backs[a] + probs[b] + random.random() * 0.6 for a, b in pairs]
    ngrams = (unigrams, np.array(pairs, np.int32))
    floats = tuple(np.asarray(one, np.float32) for one in (probs, likely))
    return Tables(UNITS, ngrams, floats, (backs.astype(np.float32),))


def logprob(tables, words):
    """Natural log of a sentence by the tables, with back-off."""
    known = {
        tuple(gram): prob
        for grams, probs in zip(tables.ngrams, tables.probs, strict=True)
        for gram, prob in zip(grams.tolist(), probs, strict=True)
    }
    ids = [UNITS.index(word) for word in ("<s>", *words, "</s>")]
    total = 0.0
    for one, two in itertools.pairwise(ids):
        found = known.get((one, two))
        total += tables.backoffs[0][one] + known[(two,)] if found is None else found
    return math.log(10) * float(total)


def readings(units):
    """All sentences that are spelled so."""
    if not units:
        yield ()
    for word, spelling in LEXICON.spellings:
        if units[: len(spelling)] == spelling:
            yield from ((word, *rest) for rest in readings(units[len(spelling) :]))


def repeated(path):
    """Every way to read a path in which a run of one unit may be several of it."""
    runs = [(unit, len(list(run))) for unit, run in itertools.groupby(path)]
    counts = [range(1, size + 1) if unit else [0] for unit, size in runs]
    for chosen in itertools.product(*counts):
        # Between two of one unit the class changes twice: out of it, and into it again.
        yield (
            tuple(u for (u, _), n in zip(runs, chosen, strict=True) for _ in range(n)),
            sum(n - 1 for n in chosen if n),
        )


def every_sentence(rows, tables, options):
    """The best path's score of each sentence."""
    best = {}
    for path in itertools.product(range(rows.shape[1]), repeat=len(rows)):
        changes = sum(a != b for a, b in itertools.pairwise((0, *path)))
        heard = sum(rows[i, unit] for i, unit in enumerate(path)) - options.change_cost * changes
        read = [(said(path, 0), 0)] if options.exact_repeats else repeated(path)
        for units, more in read:
            for words in readings(units):
                score = heard + options.lm_weight * logprob(tables, words)
                score += options.length_bonus * len(words) - more * options.change_cost
                best[words] = max(best.get(words, -math.inf), score)
    return best


@needs_kaldi
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "options",
    [
        GraphOptions(exact_repeats=True),
        GraphOptions(lm_weight=0.7, length_bonus=2.0),
        GraphOptions(length_bonus=2.0, change_cost=0.4),
        GraphOptions(lm_weight=0.4, length_bonus=0.9, exact_repeats=True),
        GraphOptions(lm_weight=1.5, length_bonus=0.3, change_cost=1.2, exact_repeats=True),
    ],
)
def test_the_best_path_is_the_best_of_all(options, seed, tmp_path):
    rows, tables = log_probs(6, 3, seed), bigrams(seed)
    wanted = every_sentence(rows, tables, options)
    graph = Graph.build(tables, LEXICON, 3, 0, options)
    [found] = graph.decode(rows, WIDE)
    best = max(wanted, key=wanted.get)
    assert found.words == best
    assert found.score == pytest.approx(wanted[best], abs=1e-2)
    assert found.units == sum((dict(LEXICON.spellings)[w] for w in best), ())
    graph.save(tmp_path)
    assert Graph.load(tmp_path).decode(rows, WIDE) == [found]


@needs_kaldi
def test_the_n_best_are_in_order_and_are_the_best():
    rows, tables, options = log_probs(6, 3, 5), bigrams(5), GraphOptions(exact_repeats=True)
    wanted = every_sentence(rows, tables, options)
    found = Graph.build(tables, LEXICON, 3, 0, options).decode(
        rows, WfstOptions(1000.0, 10**6, 1000.0, num_best=4, blank_skip=1.0)
    )
    best = sorted(wanted, key=wanted.get, reverse=True)[:4]
    assert [one.words for one in found] == best
    assert [one.score for one in found] == pytest.approx([wanted[w] for w in best], abs=1e-2)


@needs_kaldi
def test_a_constant_on_all_classes_moves_the_score_alone():
    rows, graph = log_probs(8, 3, 2), Graph.build(bigrams(), LEXICON, 3, 0)
    [plain], [moved] = graph.decode(rows, WIDE), graph.decode(rows - 2.0, WIDE)
    assert plain.words == moved.words
    assert plain.score - moved.score == pytest.approx(16.0, abs=1e-3)


@needs_kaldi
def test_runs_of_sure_blanks_are_walked_once():
    options = GraphOptions(lm_weight=0.1, exact_repeats=True)
    graph = Graph.build(bigrams(), LEXICON, 3, 0, options)
    sure = np.log([[0.99, 0.005, 0.005]] * 7).astype(np.float32)
    one = np.log([[0.02, 0.97, 0.01]]).astype(np.float32)
    rows = np.concatenate([sure, one, sure, one, sure])
    assert graph.decode(rows, WIDE)[0].words == ("a", "a")
    [quick] = graph.decode(rows)
    assert quick.words == ("a", "a")
    assert quick.logprob == pytest.approx(2 * math.log(0.97) + 3 * math.log(0.99), abs=1e-4)


def test_words_that_cannot_be_spelled_are_listed(caplog):
    with caplog.at_level(logging.WARNING):
        lexicon = spell_words(("<s>", "a", "ж", "<unk>"), lambda w: (1,) if w == "a" else ())
    assert lexicon == Lexicon((("a", (1,)),), ("ж",))
    assert "1, ж" in caplog.text
    with pytest.raises(ConfigError, match=r"1, ж.*language"):
        spell_words(("ж",), lambda word: ())


@needs_kaldi
def test_what_does_not_fit_is_told(tmp_path):
    graph = Graph.build(bigrams(), LEXICON, 3, 0)
    with pytest.raises(ModelError, match="graph is of 3 classes"):
        graph.decode(log_probs(4, 5, 0))
    with pytest.raises(DecodeError, match="NaN"):
        graph.decode(np.full((4, 3), np.nan, np.float32))
    assert graph.decode(log_probs(1, 3, 0)[:0]) == []
    with pytest.raises(ModelError, match="holds no TLG"):
        Graph.load(tmp_path)
    graph.save(tmp_path)
    (tmp_path / "words.txt").write_text("a b c\n")
    with pytest.raises(ModelError, match="damaged"):
        Graph.load(tmp_path)
    for wrong in ({"beam": 0.0}, {"max_active": 1}, {"blank_skip": 2.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            WfstOptions(**wrong)
    with pytest.raises(ConfigError, match="lm_weight"):
        GraphOptions(lm_weight=-1.0)


@pytest.mark.skipif(has_kaldi, reason="mooer[wfst] is installed")
def test_the_extra_is_named_where_it_is_missing():
    with pytest.raises(MissingExtra, match=r"mooer\[wfst\]"):
        Graph.build(bigrams(), LEXICON, 3, 0)


@needs_kaldi
@pytest.mark.parametrize("seed", range(3))
def test_a_path_is_that_of_the_frames_and_says_the_text(seed):
    rows = log_probs(8, 3, seed)
    [found] = Graph.build(bigrams(seed), LEXICON, 3, 0).decode(rows, WIDE)
    assert rows[np.arange(8), list(found.path)].sum() == pytest.approx(found.logprob, abs=1e-3)
    heard = along(found.path, found.units, rows, 0)
    assert tuple(one.unit for one in heard) == found.units
    assert all(a.end <= b.start and a.start < a.end for a, b in itertools.pairwise(heard))
    skipped = np.log([[0.99, 0.005, 0.005]] * 5).astype(np.float32)
    [longer] = Graph.build(bigrams(seed), LEXICON, 3, 0).decode(
        np.concatenate([skipped, rows]), WfstOptions(beam=1000.0)
    )
    assert longer.path == (0,) * 5 + found.path


@needs_kaldi
def test_where_a_narrow_beam_loses_every_end_a_wider_one_is_tried():
    options = GraphOptions(lm_weight=4.0, exact_repeats=True)
    graph = Graph.build(bigrams(1), LEXICON, 3, 0, options)
    rows = log_probs(8, 3, 4)
    [wide] = graph.decode(rows, WIDE)
    narrow = [graph.decode(rows, WfstOptions(beam=beam)) for beam in (0.5, 1.0, 2.0, 4.0)]
    assert all(found for found in narrow[2:])
    assert narrow[-1][0].words == wide.words


@needs_kaldi
@pytest.mark.parametrize("seed", range(6))
def test_with_the_prior_it_is_the_best_by_the_formula(seed):
    rows, tables, options = log_probs(6, 3, seed), bigrams(seed), GraphOptions(exact_repeats=True)
    prior = np.array([0.7, 0.1, 0.2], np.float32)
    wanted = every_sentence(rows - np.float32(0.6) * np.log(prior), tables, options)
    best = max(wanted, key=wanted.get)
    graph = Graph.build(tables, LEXICON, 3, 0, options)
    asked = FusionOptions("wfst", 1.0, ilm_weight=0.6)
    search = CtcSearch(Spelling(("", "a", "b"), 0), fusion=Fusion(asked, prior=prior, graph=graph))
    assert search.units(rows) == sum((dict(LEXICON.spellings)[word] for word in best), ())
