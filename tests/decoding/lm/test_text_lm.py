"""Text as it is scored: units, and pieces of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.decoding.lm.models import random_tables

from mooer.decoding.lm.perplexity import sentence_scores, text_score
from mooer.decoding.lm.text_lm import NGramText
from mooer.decoding.lm.trie import trie_of
from mooer.decoding.lm.units import kind_of, unit_kind, units_of
from mooer.errors import ConfigError

SPECIAL = ("<unk>", "<s>", "</s>")
UNITS = (*SPECIAL, "我", "用", "we", "don't", "caf", "s")
LETTERS = (*SPECIAL, "我", "w", "e", "▁", "d", "'")


def lm_of(units=UNITS, kind=None):
    return NGramText(trie_of(random_tables(5, 3, units)), kind)


def whole(lm, text):
    score, state = lm.advance(lm.start(), text)
    return score + lm.finish(state)


def test_units_of_each_kind():
    text = "我用Ｐython，don't 'we'? 漢語 3.5"
    assert units_of(text) == ["我", "用", "python", "don't", "we", "汉", "语", "3", "5"]
    assert units_of(text, "words") == ["我用python", "don't", "we", "汉语", "3", "5"]
    assert units_of("don’t we 去 go", "characters") == [*"don't", "▁", *"we", "去", *"go"]
    assert units_of("हिन्दी é 한국어") == ["हिन्दी", "é", "한국어"]
    with pytest.raises(ConfigError, match="did you mean words"):
        unit_kind("word")


def test_kinds_by_their_looks():
    assert kind_of([*SPECIAL, "你", "好", "a"]) == "auto"
    assert kind_of([*SPECIAL, "hello", "you"]) == "auto"
    assert kind_of([*SPECIAL, "你好", "吗"]) == "words"
    assert kind_of([*SPECIAL, *"abc▁"]) == "characters"


@pytest.mark.parametrize("units", [UNITS, LETTERS])
@given(st.text(st.sampled_from("我用wed'tcafs ,。éＷ漢"), max_size=12), st.data())
def test_pieces_score_what_the_whole_does(units, text, data):
    lm = lm_of(units)
    content = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    state, total = lm.start(), 0.0
    for begin, end in itertools.pairwise([0, *cuts, len(content)]):
        score, state = lm.advance(state, content[begin:end])
        total += score
    assert total + lm.finish(state) == pytest.approx(whole(lm, text))
    assert whole(lm, text) == pytest.approx(by_units(lm, units_of(text, lm.kind)))
    assert lm.logprobs([text]) == [whole(lm, text)]


def by_units(lm, units):
    model, total = lm.model, 0.0
    state = model.start()
    for unit in units:
        log_prob, after = model.score(state, lm.unit(unit))
        long = max(1, len(unit) / 6) if lm.unit(unit) == model.unknown else 1
        total, state = total + log_prob * long, after
    return total + model.finish(state)


def test_an_unknown_word_costs_as_soon_as_it_is_one_and_the_more_the_longer():
    lm = lm_of()
    model = lm.model
    unknown, _ = model.score(model.start(), model.unknown)
    found, state = [], lm.start()
    for piece in ("w", "e", "t", "wetw", "e" * 20):
        added, state = lm.advance(state, piece)
        found.append(added)
    assert found[:2] == [0, 0]  # it may be "we"
    assert found[2:4] == pytest.approx([unknown, unknown / 6])
    assert sum(found) == pytest.approx(unknown * 27 / 6)
    taken_back, state = lm.advance(lm.start(), "caf")
    assert taken_back == 0
    added, _ = lm.advance(state, "\u0301 ")  # with its accent it is known as it is without
    assert added == pytest.approx(model.score(model.start(), lm.unit("caf"))[0])


def test_a_score_comes_when_the_unit_is_whole():
    lm = lm_of()
    state = lm.start()
    for piece in ("w", "e"):
        score, state = lm.advance(state, piece)
        assert score == 0.0
    score, ended = lm.advance(state, " ")
    assert score == pytest.approx(lm.model.logprob(["we"], eos=False))
    assert lm.finish(ended) == pytest.approx(lm.finish(state) - score)
    data = "我".encode()
    score, state = lm.advance(lm.start(), data[:1])
    assert score == 0.0
    score, state = lm.advance(state, data[1:2])
    assert score == 0.0
    score, state = lm.advance(state, data[2:])
    assert score == pytest.approx(lm.model.logprob(["我"], eos=False))
    assert len({state, state}) == 1  # a state can be kept in sets


def test_digits_are_asked_as_chinese_says_them():
    lm = lm_of((*SPECIAL, *"零一二三四五六七八九我"))
    assert whole(lm, "我103") == pytest.approx(whole(lm, "我一零三"))
    some, state = lm.advance(lm.start(), "10")
    more, state = lm.advance(state, "3 我")
    assert some < 0
    assert some + more + lm.finish(state) == pytest.approx(whole(lm, "一零三我"))
    english = lm_of()
    model = english.model
    assert whole(english, "103") == pytest.approx(model.logprob(["<unk>"]))


def test_half_a_character_at_the_end_does_not_count():
    lm = lm_of()
    _, state = lm.advance(lm.start(), "我".encode()[:2])
    assert lm.finish(state) == lm.finish(lm.start())


def test_the_case_and_accents_of_the_model():
    capitals = lm_of((*SPECIAL, "WE", "DON'T", "CAF", "I"))
    assert capitals.unit("we") == 3
    assert capitals.unit("don't") == 4
    plain = lm_of()
    assert plain.unit("we") == 5
    assert plain.unit("çaf") == plain.unit("caf")
    assert plain.unit("zebra") == plain.model.unknown


def test_perplexity():
    lm = lm_of()
    lines = ["we don't", "", "我 zebra", "。"]
    found = list(sentence_scores(lm, lines))
    assert [one.text for one in found] == ["we don't", "我 zebra"]
    assert [one.num_unknown for one in found] == [0, 1]
    assert [one.logprob for one in found] == pytest.approx(lm.logprobs(["we don't", "我 zebra"]))
    total = text_score(found)
    assert (total.num_sentences, total.num_units, total.num_unknown) == (2, 4, 1)
    logprob = sum(lm.logprobs(["we don't", "我 zebra"]))
    assert total.perplexity == pytest.approx(2.718281828 ** (-logprob / 6))
    unknown = found[1].unknown_logprob
    assert unknown < 0
    assert total.perplexity_known == pytest.approx(2.718281828 ** (-(logprob - unknown) / 5))
    assert text_score([]).perplexity == 1
