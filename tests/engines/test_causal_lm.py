"""Probabilities of texts by llama.cpp, beside transformers."""

import random

import pytest
import torch
from tests.models.folders import save_gguf
from tests.tiny import tiny_llm

from mooer.decoding.lm.neural import NeuralText
from mooer.engines.causal_lm import CausalLM
from mooer.errors import DecodeError, ModelError
from mooer.store import fetch

TEXTS = ["we go to the river", "we go to the sea", "we go", "你好我们去", "", "we go to the river"]


@pytest.fixture(scope="module")
def network():
    model = tiny_llm()
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    save_gguf(path, network)
    return path


def opened(path, **options):
    return CausalLM(path, **{"num_threads": 1, "context_tokens": 512, "exact": True, **options})


@torch.no_grad()
def by_hand(network, given, ids, ends):
    """Log-probability of ids after what is given, and of the end."""
    tokens = torch.tensor([[*given, *ids]])
    log_probs = network(input_ids=tokens).logits[0].double().log_softmax(-1)
    total = sum(float(log_probs[len(given) - 1 + i, token]) for i, token in enumerate(ids))
    return total, float(log_probs[-1][ends].logsumexp(0))


@pytest.mark.parametrize("context", ["", "on water: "])
def test_probabilities_are_those_of_transformers(network, path, context):
    with opened(path, context=context) as ours:
        ids = [ours.encode(text) for text in TEXTS]
        ends = sorted(ours._ends.tolist())
        for with_ends in (False, True):
            wanted = []
            for one in ids:
                total, end = by_hand(network, ours._given, one, ends)
                wanted.append(total + end * with_ends)
            found = ours.logprobs(ids, ends=with_ends)
            assert found == pytest.approx(wanted, abs=2e-3)
            assert found[0] == found[-1]


def test_what_was_read_before_changes_nothing(path):
    rng = random.Random(0)
    words = ["a", "b", "ab", "你"]
    with opened(path) as used:
        for size in [1, 1, 1, 3, 20, 1, 1, 12, 2]:
            texts = ["".join(rng.choices(words, k=rng.randint(0, 12))) for _ in range(size)]
            ids = [used.encode(text) for text in texts]
            with opened(path) as fresh:
                wanted = [fresh.logprobs([one], ends=True)[0] for one in ids]
            assert used.logprobs(ids, ends=True) == pytest.approx(wanted, abs=1e-3)


def test_the_oldest_texts_are_forgotten_where_there_is_no_room(path):
    with opened(path, context_tokens=256) as lm:
        texts = [[i] * 40 for i in range(40, 80)]
        found = [lm.logprobs([one], ends=True)[0] for one in texts]
        assert sum(len(held.ids) for held in lm._held.values()) <= 256
        assert lm.logprobs(texts, ends=True) == pytest.approx(found, abs=1e-3)
        with pytest.raises(DecodeError, match="does not fit a quarter of a context of 256"):
            lm.logprobs([[1] * 90], ends=True)


@pytest.mark.parametrize("text", ["we go 你好 ok", "ab a b", "é", " "])
def test_pieces_score_what_the_whole_does(path, text):
    content = text.encode()
    with opened(path) as model:
        lm = NeuralText(model)
        [wanted] = lm.logprobs([text])
        for size in (1, 2, 3, 50):
            state, total = lm.start(), 0.0
            for begin in range(0, len(content), size):
                score, state = lm.advance(state, content[begin : begin + size])
                total += score
            assert total + lm.finish(state) == pytest.approx(wanted, abs=1e-3)


def test_scores_come_at_the_ends_of_units(path):
    with opened(path) as model:
        lm = NeuralText(model)
        state, scores = lm.start(), []
        for piece in ["he", "llo", " wor", "ld 你", "好"]:
            score, state = lm.advance(state, piece)
            scores.append(score != 0.0)
        assert scores == [False, False, True, True, True]
        _, state = lm.advance(lm.start(), "hello wor")
        assert [state.total] == model.logprobs([model.encode("hello")], ends=False)


def test_a_model_that_is_closed(path):
    lm = opened(path)
    lm.close()
    with pytest.raises(ModelError, match="has been closed"):
        lm.encode("a")


@pytest.mark.real
def test_a_real_model_knows_what_is_said():
    with CausalLM(fetch("qwen2.5-0.5b"), num_threads=2) as model:
        lm = NeuralText(model)
        texts = ["今天天气很好", "今天天汽很好", "the sea is blue", "the see is blue"]
        right, wrong, sea, see = lm.logprobs(texts)
        assert right > wrong + 2
        assert sea > see + 2
