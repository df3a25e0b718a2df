"""Probabilities of texts by transformers."""

from types import SimpleNamespace

import pytest
import torch
from tests.models.folders import byte_level_tokenizer
from tests.tiny import tiny_llm

from mooer.errors import DecodeError, ModelError
from mooer.models import causal_lm
from mooer.models.causal_lm import TorchCausalLM

TEXTS = ["we go to the river", "we go", "你好我们去", "", "we go to the river"]


@torch.no_grad()
def by_hand(network, given, ids, ends):
    """Log-probability of ids after what is given, and of the end."""
    tokens = torch.tensor([[*given, *ids]])
    log_probs = network(input_ids=tokens).logits[0].double().log_softmax(-1)
    total = sum(float(log_probs[len(given) - 1 + i, token]) for i, token in enumerate(ids))
    return total, float(log_probs[-1][ends].logsumexp(0))


@pytest.mark.parametrize("at_once", [1, 30, 2048])
def test_texts_of_all_lengths_together(monkeypatch, at_once):
    monkeypatch.setattr(causal_lm, "_TOKENS_AT_ONCE", at_once)
    network = tiny_llm()
    lm = TorchCausalLM(network, byte_level_tokenizer(), context="我")
    ids = [lm.encode(text) for text in TEXTS]
    with_ends, without = lm.logprobs(ids, ends=True), lm.logprobs(ids, ends=False)
    for one, found, bare in zip(ids, with_ends, without, strict=True):
        total, end = by_hand(network, lm._given, one, lm._ends)
        assert found == pytest.approx(total + end, abs=1e-3)
        assert bare == pytest.approx(total, abs=1e-3)


def test_what_is_asked_again_is_not_read_again(monkeypatch):
    network = tiny_llm()
    lm = TorchCausalLM(network, byte_level_tokenizer())
    found = lm.logprobs([[1, 2], [3]], ends=True)
    monkeypatch.setattr(network, "forward", lambda **_: pytest.fail("read again"))
    assert lm.logprobs([[3], [1, 2]], ends=True) == found[::-1]


def test_models_that_cannot_be_used():
    network = tiny_llm()
    bare = SimpleNamespace(bos_token_id=None, eos_token_id=None, encode=lambda *_, **__: [])
    network.generation_config.eos_token_id = None
    with pytest.raises(ModelError, match="names no id that begins or ends"):
        TorchCausalLM(network, bare)
    with torch.no_grad():
        network.get_input_embeddings().weight[:] = torch.nan
    with pytest.raises(DecodeError, match="gives NaN"):
        TorchCausalLM(network, byte_level_tokenizer()).logprobs([[1]], ends=True)
