"""Beam search against every text there is, and against transformers' `generate`."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.decoding.talker import EOS, TableModel, prompts, talker

from mooer.decoding.generation import SearchOptions
from mooer.decoding.hotwords import Boost
from mooer.decoding.search import decode
from mooer.engines.token_search import start
from mooer.errors import ConfigError, DecodeError
from mooer.infer.native_network import _attracted, generate_options
from mooer.models.step_model import CachedSteps, SharedSteps, step_model

NOTHING = torch.zeros(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
PLAIN = SearchOptions(eos_bias=0.0)


def every_text(model, limit, end, options):
    """Score and ids of all that can be said, the best first."""
    found = []
    for length in range(1, limit + 1):
        for ids in itertools.product(range(model.num_ids), repeat=length):
            if end in ids[:-1] or (ids[-1] != end and length < limit):
                continue
            logprobs = [
                model.logits(ids[:i]).log_softmax(-1)[token].item() for i, token in enumerate(ids)
            ]
            bias = options.eos_bias * (ids[-1] == end)
            found.append(((sum(logprobs) + bias) / length**options.length_penalty, ids))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("length_penalty", "eos_bias"), [(0.0, 0.0), (0.8, -0.2), (1.0, 0.0), (2.0, 0.5)]
)
def test_a_beam_as_wide_as_everything_finds_the_best(seed, length_penalty, eos_bias):
    model, limit, end = TableModel(4, seed), 5, 3
    options = replace(
        PLAIN,
        num_beams=4**5,
        num_best=5,
        max_new_tokens=limit,
        length_penalty=length_penalty,
        eos_bias=eos_bias,
    )
    [found] = decode(model, *NOTHING, options, eos_ids=[end])
    wanted = every_text(model, limit, end, options)[:5]
    assert [h.tokens + (end,) * h.ended for h in found] == [ids for _, ids in wanted]
    assert [h.score for h in found] == pytest.approx([s for s, _ in wanted], abs=1e-4)


def worth(boost, ids):
    state, added = boost.start(), 0.0
    for token in ids:
        bonus, state = boost.advance(state, token)
        added += bonus
    return added + boost.finish(state)


@pytest.mark.parametrize("seed", range(3))
def test_hotwords_weigh_whole_texts(seed):
    model, limit, end = TableModel(4, seed), 5, 3
    boost = Boost([((0, 1), 0.7), ((1, 2, 2), 1.0), ((2, 0), -0.5)])
    options = replace(PLAIN, num_beams=4**5, num_best=4, max_new_tokens=limit, length_penalty=0.0)
    # What is cut at the limit is never finished: nothing is taken back.
    scored = [
        (score + worth(boost, ids), ids)
        for score, ids in every_text(model, limit, end, options)
        if ids[-1] == end
    ]
    [found] = decode(model, *NOTHING, options, eos_ids=[end], boost=boost)
    ended = [h for h in found if h.ended]
    assert ended
    wanted = sorted(scored, reverse=True)[: len(ended)]
    assert [(*h.tokens, end) for h in ended] == [ids for _, ids in wanted]
    assert [h.score for h in ended] == pytest.approx([s for s, _ in wanted], abs=1e-4)


def test_numpy_finds_the_same_with_hotwords():
    model, end = TableModel(6, seed=4), 5
    boost = Boost([((0, 1, 2), 2.0), ((3, 4), 1.5)])
    for num_beams in (1, 3):
        options = replace(PLAIN, num_beams=num_beams, max_new_tokens=9)
        [[wanted]] = decode(model, *NOTHING, options, eos_ids=[end], boost=boost)
        [[plain]] = decode(model, *NOTHING, options, eos_ids=[end])
        assert wanted.tokens != plain.tokens
        asked = generate_options(options, frozenset([end]), limit=9)
        asked = replace(asked, adjust=_attracted(boost, None, takes_back=num_beams > 1))
        search, said = start(asked), [()]
        while steps := search.advance(np.stack([model.logits(s).numpy() for s in said])):
            said = [(*said[step.parent], step.token) for step in steps]
        found = search.result()
        assert found.tokens == wanted.tokens
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)


def test_greedy_takes_the_likeliest_each_time():
    model = TableModel(6, seed=3)
    said: list[int] = []
    while len(said) < 7 and 5 not in said:
        said.append(int(model.logits(said).argmax()))
    options = replace(PLAIN, num_beams=1, max_new_tokens=7)
    [[best]] = decode(model, *NOTHING, options, eos_ids=[5])
    assert best.tokens + (5,) * best.ended == tuple(said)


def test_logprobs_are_those_of_the_model_whatever_the_options():
    model = TableModel(6, seed=1)
    options = SearchOptions(
        num_beams=3, eos_bias=-1.0, repetition_penalty=1.5, no_repeat_ngram=3, max_new_tokens=8
    )
    for one in (options, replace(options, num_beams=1)):
        [[best]] = decode(model, *NOTHING, one, eos_ids=[5])
        ids = best.tokens + (5,) * best.ended
        raw = [model.logits(ids[:i]).log_softmax(-1)[t].item() for i, t in enumerate(ids)]
        assert best.logprobs == pytest.approx(raw, abs=1e-5)
        assert best.avg_logprob == pytest.approx(sum(raw) / len(raw), abs=1e-5)
        assert 0 < best.confidence < 1


@pytest.mark.parametrize("num_beams", [1, 3])
def test_each_utterance_has_its_limit_and_leaves_when_it_is_done(num_beams):
    model = TableModel(6, seed=2)
    model.table[..., 5] = -50.0  # nothing ends by itself
    embeds, mask = torch.zeros(3, 1, 1), torch.ones(3, 1, dtype=torch.bool)
    options = replace(PLAIN, num_beams=num_beams, max_new_tokens=6)
    found = decode(model, embeds, mask, options, eos_ids=[5], limits=[2, 9, 4])
    assert [len(best.tokens) for [best] in found] == [2, 6, 4]
    assert model.rows_read == [3, *(n * num_beams for n in (3, 2, 2, 1, 1))]


def test_a_batch_says_what_each_says_alone():
    llm = talker()
    embeds, mask = prompts(0, 9, 14, 4, 11)
    steps = step_model(llm)
    for options in (
        SearchOptions(max_new_tokens=12),
        SearchOptions(max_new_tokens=12, num_beams=1),
        SearchOptions(max_new_tokens=12, num_beams=1, num_best=3, sample=True, seed=5),
        SearchOptions(max_new_tokens=12, num_beams=3, sample=True, top_k=20, seed=5),
    ):
        together = decode(steps, embeds, mask, options, eos_ids=[EOS])
        for i in range(4):
            [alone] = decode(
                steps,
                embeds[i : i + 1, mask[i]],
                mask[i : i + 1, mask[i]],
                options,
                eos_ids=[EOS],
            )
            assert [h.tokens for h in alone] == [h.tokens for h in together[i]]
            for a, b in zip(alone, together[i], strict=True):
                assert a.score == pytest.approx(b.score, abs=1e-4)
                assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_both_ways_to_remember_say_the_same():
    llm = talker(2, end=4.0)
    embeds, mask = prompts(0, 9, 14, 4)
    for options in (
        SearchOptions(max_new_tokens=80, num_beams=1),
        SearchOptions(max_new_tokens=40, num_beams=1, num_best=4, sample=True),
        SearchOptions(max_new_tokens=40, num_beams=3),
    ):
        plain, shared = (
            [h.tokens for best in found for h in best]
            for found in (
                decode(steps(llm), embeds, mask, options, eos_ids=[EOS])
                for steps in (CachedSteps, SharedSteps)
            )
        )
        assert shared == plain
        assert len(set(map(len, plain))) > 1, "rows must leave at different times"


@pytest.mark.parametrize("num_beams", [1, 3])
def test_half_precision_is_near(num_beams):
    llm = talker(2)
    embeds, mask = prompts(0, 9, 14, 4)
    options = SearchOptions(max_new_tokens=4, num_beams=num_beams)
    wanted = decode(step_model(llm), embeds, mask, options, eos_ids=[EOS])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = decode(step_model(llm), embeds, mask, options, eos_ids=[EOS])
    llm.to(torch.bfloat16)
    half = decode(step_model(llm), embeds.bfloat16(), mask, options, eos_ids=[EOS])
    for found in (mixed, half):
        for [a], [b] in zip(found, wanted, strict=True):
            assert a.logprobs[0] == pytest.approx(b.logprobs[0], abs=0.1)
            assert a.logprobs[0] != b.logprobs[0]


CASES = {
    "greedy": SearchOptions(num_beams=1),
    "MooER's own": SearchOptions(),
    "longer and more": SearchOptions(num_beams=5, num_best=3, length_penalty=1.6),
    "short": SearchOptions(num_beams=3, length_penalty=0.0, eos_bias=1.0),
    "no repetition": SearchOptions(num_beams=3, repetition_penalty=1.3, no_repeat_ngram=2),
    "greedy, no repetition": SearchOptions(num_beams=1, repetition_penalty=1.3, no_repeat_ngram=2),
    "not too soon": SearchOptions(num_beams=4, min_new_tokens=6),
}


def generated(llm, embeds, mask, options, eos_ids):
    """What transformers says: ids up to the end, and scores for beams."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said = llm.generate(
            inputs_embeds=embeds,
            attention_mask=mask.long(),
            do_sample=False,
            num_beams=options.num_beams,
            num_return_sequences=options.num_best,
            max_new_tokens=options.max_new_tokens,
            min_new_tokens=options.min_new_tokens,
            length_penalty=options.length_penalty,
            repetition_penalty=options.repetition_penalty,
            no_repeat_ngram_size=options.no_repeat_ngram,
            sequence_bias={(i,): options.eos_bias for i in eos_ids},
            eos_token_id=eos_ids,
            pad_token_id=256,
            return_dict_in_generate=True,
            output_scores=True,
        )
    texts = []
    for ids in said.sequences.tolist():
        end = next((i for i, token in enumerate(ids) if token in eos_ids), len(ids))
        texts.append(tuple(ids[:end]))
    scores = said.sequences_scores.tolist() if options.num_beams > 1 else None
    return texts, scores


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("steps", [SharedSteps, CachedSteps])
def test_text_and_scores_of_transformers(name, steps):
    options = replace(CASES[name], max_new_tokens=16)
    lengths = set()
    for seed in range(2):
        llm = talker(seed)
        # Where a prompt is padded, transformers takes the repetition penalty off as many ids.
        embeds, mask = prompts(seed, *((9, 9, 9) if "repetition" in name else (9, 14, 4)))
        for eos_ids in ([EOS], [EOS, 7, 8]):
            texts, scores = generated(llm, embeds, mask, options, eos_ids)
            found = decode(steps(llm), embeds, mask, options, eos_ids=eos_ids)
            found = [h for best in found for h in best]
            assert [h.tokens for h in found] == texts
            if scores:
                assert [h.score for h in found] == pytest.approx(scores, abs=1e-4)
            lengths |= {len(h.tokens) for h in found}
    assert len(lengths) > 1, "the models must end at different lengths"


def test_the_attention_of_the_model_is_left_as_it_was():
    llm = talker()
    before = llm.config._attn_implementation
    decode(step_model(llm), *prompts(0, 5), SearchOptions(max_new_tokens=3), eos_ids=[EOS])
    assert llm.config._attn_implementation == before
    llm(input_ids=torch.tensor([[1, 2]]))


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # peft asks it
def test_models_with_lora_and_models_of_another_attention():
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

    embeds, mask = prompts(1, 9, 5)
    llm = get_peft_model(
        talker(1), LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    )
    llm.eval()
    assert isinstance(step_model(llm), SharedSteps)
    sizes = {
        "vocab_size": 264,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    torch.manual_seed(0)
    window = MistralForCausalLM(MistralConfig(**sizes, sliding_window=4)).eval()
    assert isinstance(step_model(window), CachedSteps)
    old = GPT2LMHeadModel(GPT2Config(vocab_size=264, n_embd=32, n_layer=2, n_head=4)).eval()
    options = SearchOptions(max_new_tokens=10)
    for one in (llm, window, old):
        texts, scores = generated(one, embeds, mask, options, [EOS])
        found = decode(step_model(one), embeds, mask, options, eos_ids=[EOS])
        assert [best.tokens for [best] in found] == texts
        assert [best.score for [best] in found] == pytest.approx(scores, abs=1e-4)


@pytest.mark.parametrize("num_beams", [1, 2])
def test_nan_is_an_error(num_beams):
    llm = talker()
    with torch.no_grad():
        llm.model.norm.weight.fill_(float("nan"))
    options = SearchOptions(num_beams=num_beams)
    with pytest.raises(DecodeError, match="NaN"):
        decode(step_model(llm), *prompts(0, 5), options, eos_ids=[EOS])


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_beams": 0},
        {"num_best": 5},
        {"num_best": 2, "num_beams": 1},
        {"max_new_tokens": 0},
        {"min_new_tokens": 300},
        {"temperature": 0.0, "sample": True},
        {"temperature": 0.7},
        {"top_p": 0.0, "sample": True},
        {"top_k": -1, "sample": True},
        {"repetition_penalty": 0.0},
        {"no_repeat_ngram": -1},
    ],
)
def test_options_that_make_no_sense(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        SearchOptions(**wrong)
