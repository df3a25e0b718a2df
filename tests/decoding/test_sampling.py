"""What is drawn, how often, and how text streams."""

from dataclasses import replace

import pytest
import torch
from tests.decoding.talker import EOS, TableModel, prompts, talker
from tests.tiny import ByteTokenizer
from transformers.generation import logits_process

from mooer.decoding.generation import SearchOptions
from mooer.decoding.pieces import pieces
from mooer.decoding.sampling import Noise, adjust, stream_ids, warp
from mooer.decoding.search import decode
from mooer.errors import ConfigError
from mooer.models.step_model import step_model

SAMPLE = SearchOptions(num_beams=1, sample=True, eos_bias=0.0, max_new_tokens=3)


def scores(rows=4, vocabulary=50, seed=0):
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (5, 1.0), (0, 0.7), (8, 0.9), (100, 0.01)])
@pytest.mark.parametrize("min_kept", [1, 3])
def test_warping_is_that_of_transformers(temperature, top_k, top_p, min_kept):
    wanted = logits_process.TemperatureLogitsWarper(temperature)(None, scores())
    if top_k:
        wanted = logits_process.TopKLogitsWarper(top_k, min_tokens_to_keep=min_kept)(None, wanted)
    wanted = logits_process.TopPLogitsWarper(top_p, min_tokens_to_keep=min_kept)(None, wanted)
    options = replace(SAMPLE, temperature=temperature, top_k=top_k, top_p=top_p)
    assert torch.equal(warp(scores(), options, min_kept), wanted)


def test_adjusting_is_that_of_transformers():
    said = torch.tensor([[3, 4, 3], [1, 1, 1], [9, 8, 7], [5, 6, 5]])
    wanted = logits_process.RepetitionPenaltyLogitsProcessor(1.4)(said, scores())
    wanted = logits_process.NoRepeatNGramLogitsProcessor(2)(said, wanted)
    options = replace(SAMPLE, repetition_penalty=1.4, no_repeat_ngram=2)
    assert torch.equal(adjust(scores(), said.tolist(), options, [0]), wanted)
    assert adjust(scores(), said.tolist(), options, [0])[1, 1] == float("-inf")


def test_the_end_is_biased_and_forbidden_before_its_time():
    options = replace(SAMPLE, eos_bias=-0.2)
    assert torch.allclose(adjust(scores(), [], options, [2])[:, 2], scores()[:, 2] - 0.2)
    options = replace(SAMPLE, min_new_tokens=2)
    said = [[], [1], [1, 1], [1, 1, 1]]
    banned = adjust(scores(), said, options, [2])[:, 2] == float("-inf")
    assert banned.tolist() == [True, True, False, False]


def test_draws_come_as_often_as_they_are_likely():
    model = TableModel(5, seed=4, sharpness=1.0)
    model.table[..., 4] = -60.0  # no end
    options = replace(SAMPLE, num_best=4000, temperature=0.8, max_new_tokens=1)
    [found] = decode(model, *NOTHING, options, eos_ids=[4])
    counts = torch.bincount(torch.tensor([h.tokens[0] for h in found]), minlength=5) / 4000
    wanted = (model.logits([]) / 0.8).softmax(-1)
    assert counts.tolist() == pytest.approx(wanted.tolist(), abs=0.03)


NOTHING = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)


def test_beams_are_drawn_without_replacement_as_often_as_they_are_likely():
    logprobs = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    noise = Noise(seed=1)
    pairs = torch.stack([(logprobs + noise.like(logprobs)).topk(2).indices for _ in range(5000)])
    assert (pairs[:, 0] != pairs[:, 1]).all()
    both = ((pairs == 0) | (pairs == 1)).all(1).float().mean().item()
    assert both == pytest.approx(0.5 * 0.3 / 0.5 + 0.3 * 0.5 / 0.7, abs=0.03)


def test_a_seed_says_the_same_again_and_another_something_else():
    llm = step_model(talker(end=2.0))
    embeds, mask = prompts(0, 6, 9)
    for options in (
        SearchOptions(num_beams=1, num_best=2, sample=True, max_new_tokens=8),
        SearchOptions(num_beams=3, sample=True, top_p=0.9, top_k=30, max_new_tokens=8),
    ):
        first = decode(llm, embeds, mask, options, eos_ids=[EOS])
        assert decode(llm, embeds, mask, options, eos_ids=[EOS]) == first
        other = decode(llm, embeds, mask, replace(options, seed=1), eos_ids=[EOS])
        assert [h.tokens for hs in other for h in hs] != [h.tokens for hs in first for h in hs]
        for best in first:
            assert [h.score for h in best] == sorted((h.score for h in best), reverse=True)


def test_samples_of_one_utterance_differ():
    options = replace(SAMPLE, num_best=6, max_new_tokens=8)
    [found] = decode(step_model(talker(end=2.0)), *prompts(0, 6), options, eos_ids=[EOS])
    assert len({h.tokens for h in found}) == 6


def test_a_stream_gives_what_decoding_gives():
    llm = step_model(talker())
    embeds, mask = prompts(0, 6)
    for options in (replace(SAMPLE, max_new_tokens=12), SearchOptions(num_beams=1)):
        streamed = list(stream_ids(llm, embeds, mask, options, eos_ids=[EOS]))
        [[best]] = decode(llm, embeds, mask, options, eos_ids=[EOS])
        assert tuple(token for token, _ in streamed) == best.tokens
        assert tuple(logprob for _, logprob in streamed) == best.logprobs[: len(best.tokens)]


def test_a_stream_needs_one_beam():
    stream = stream_ids(step_model(talker()), *prompts(0, 6), SearchOptions(), eos_ids=[EOS])
    with pytest.raises(ConfigError, match="num_beams"):
        next(stream)


@pytest.mark.parametrize(
    "text", ["plain", "你好，世界", "naïve café", "👩‍👩‍👧 family", "𠮷野家 and 🇨🇳", "", "ends 你"]
)
def test_no_piece_is_half_of_a_character(text):
    tokenizer = ByteTokenizer()
    found = list(pieces(tokenizer.encode(text), tokenizer.decode))
    assert "".join(found) == text
    assert found == list(text)


def test_broken_bytes_come_out_at_the_end_or_before_what_follows():
    tokenizer = ByteTokenizer()
    whole = "你".encode()
    assert list(pieces(whole[:2], tokenizer.decode)) == ["\ufffd"]
    assert list(pieces([*whole[:2], 0x21], tokenizer.decode)) == ["\ufffd!"]
