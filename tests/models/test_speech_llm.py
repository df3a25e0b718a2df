"""The whole network against a plain reimplementation, padding, counts, widths."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.tiny import ByteTokenizer, TinyEncoder, tiny_llm
from torch.nn.functional import cross_entropy

from mooer.batch import AUDIO, IGNORE, Batch
from mooer.errors import ConfigError, ModelError
from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.llm import LoraConfig, add_lora
from mooer.models.speech_llm import SpeechLLM
from mooer.tasks.layout import lay_out
from mooer.tasks.templates import parts

SAMPLES = (16_000, 7_000, 11_111)
ANSWERS = ("hello there", "no", "天气很好")


def small(llm=None, *, template="mooer", stride=2):
    encoder = TinyEncoder()
    torch.manual_seed(1)
    adapter = build_adapter(AdapterConfig(stride=stride, hidden_width=24), encoder.width, 32)
    return SpeechLLM(encoder, adapter, llm or tiny_llm(), ByteTokenizer(), template).eval()


def pad(rows, fill, *, left=False):
    width = max(map(len, rows))
    padded = [
        [fill] * (width - len(r)) + list(r) if left else list(r) + [fill] * (width - len(r))
        for r in rows
    ]
    return torch.tensor(padded)


def batch_of(model, which=range(3), *, left=False, task="asr", room=0):
    """Utterances laid out as training lays them out; `room` more frames of NaN behind."""
    rng = np.random.default_rng(0)
    waves = [rng.standard_normal(n).astype(np.float32) * 0.1 for n in SAMPLES]
    layouts = [
        lay_out(
            parts(model.template, task, model.num_embeddings(SAMPLES[i]), ANSWERS[i]),
            model.tokenizer,
        )
        for i in which
    ]
    features = [torch.from_numpy(model.encoder.frontend(waves[i])) for i in which]
    lengths = torch.tensor([len(f) for f in features])
    padded = torch.full((len(features), int(lengths.max()) + room, 4), torch.nan if room else 0.0)
    for i, f in enumerate(features):
        padded[i, : len(f)] = f
    return Batch(
        keys=tuple(f"u{i}" for i in which),
        features=padded,
        feature_lengths=lengths,
        ids=pad([x.ids for x in layouts], 256, left=left),
        labels=pad([x.labels for x in layouts], IGNORE, left=left),
        mask=pad([[True] * len(x.ids) for x in layouts], False, left=left),
    )


def straight(model, batch):
    """One utterance after another: look up, concatenate, all logits, cross-entropy."""
    table = model.llm.get_input_embeddings().weight
    loss, tokens, correct = 0.0, 0, 0
    for i in range(len(batch)):
        features = batch.features[i : i + 1, : batch.feature_lengths[i]]
        pairs = features[:, : features.shape[1] // 2 * 2].reshape(1, -1, 8)
        hidden = torch.tanh(pairs @ model.encoder.linear.weight.T + model.encoder.linear.bias)
        groups = hidden[:, : hidden.shape[1] // 2 * 2].reshape(1, -1, 32)
        first, second = model.adapter.linear1, model.adapter.linear2
        audio = torch.relu(groups @ first.weight.T + first.bias) @ second.weight.T + second.bias
        ids, labels = batch.ids[i][batch.mask[i]], batch.labels[i][batch.mask[i]]
        end = int((ids == AUDIO).nonzero()[-1]) + 1
        start = end - audio.shape[1]
        assert (ids[start:end] == AUDIO).all()
        embeds = torch.cat([table[ids[:start]], audio[0], table[ids[end:]]])
        logits = model.llm(inputs_embeds=embeds[None]).logits[0]
        loss += cross_entropy(logits[:-1], labels[1:], ignore_index=IGNORE, reduction="sum")
        learned = labels[1:] != IGNORE
        tokens += int(learned.sum())
        correct += int((logits[:-1].argmax(-1) == labels[1:])[learned].sum())
    return loss, tokens, correct


@pytest.mark.parametrize("template", ["mooer", "qwen2-audio", "osum", "salmonn"])
@pytest.mark.parametrize("left", [False, True])
def test_loss_is_that_of_a_straight_line(template, left):
    model = small(template=template)
    batch = batch_of(model, left=left)
    loss, tokens, correct = straight(model, batch)
    got = model(batch)
    assert (
        int(got.num_tokens)
        == tokens
        == sum(len(a.encode()) for a in ANSWERS)
        + 3
        * (
            len(
                ByteTokenizer().encode(
                    {"osum": "<|endoftext|>", "salmonn": "</s>"}.get(template, ".")
                )
            )
        )
    )
    torch.testing.assert_close(got.loss, loss, rtol=0, atol=1e-4)
    assert int(got.num_correct) == correct


def test_lora_goes_through_the_whole_model():
    llm = add_lora(tiny_llm(), LoraConfig(rank=4, dropout=0.0))
    with torch.no_grad():
        for name, parameter in llm.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.2)
    model = small(llm)
    batch = batch_of(model)
    got = model(batch).loss
    torch.testing.assert_close(got, straight(model, batch)[0], rtol=0, atol=1e-4)
    assert abs(got.item() - small()(batch).loss.item()) > 0.1
    got.backward()
    moved = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()}
    assert {n for n, p in model.llm.named_parameters() if ".lora_" in n} == {
        n.removeprefix("llm.") for n in moved if n.startswith("llm.")
    }
    assert {"adapter.linear1.weight", "encoder.linear.weight"} <= moved


@pytest.mark.parametrize("left", [False, True])
def test_padding_changes_nothing_be_it_nan(left):
    model = small()
    whole = model(batch_of(model, left=left, room=7))
    rows = [model(batch_of(model, [i])) for i in range(3)]
    assert torch.isfinite(whole.loss)
    torch.testing.assert_close(whole.loss, sum(r.loss for r in rows), rtol=0, atol=1e-4)
    assert whole.num_correct == sum(r.num_correct for r in rows)


def test_padding_changes_nothing_for_learned_positions():
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 264, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 512}
    model = small(GPT2LMHeadModel(GPT2Config(**sizes)).eval())
    batches = [batch_of(model, left=left) for left in (False, True)]
    right, left = (model(batch).loss for batch in batches)
    torch.testing.assert_close(left, right, rtol=0, atol=1e-4)
    torch.testing.assert_close(left, straight(model, batches[0])[0], rtol=0, atol=1e-4)


def test_only_answers_reach_the_vocabulary_head():
    model = small()
    seen = []
    model.llm.lm_head.register_forward_hook(lambda m, args, out: seen.append(args[0].shape))
    batch = batch_of(model)
    num_tokens = int(model(batch).num_tokens)
    assert seen == [(num_tokens, 32)]
    assert num_tokens < batch.ids.numel() // 4


def test_embeddings_stand_at_their_places():
    model = small()
    batch = batch_of(model, left=True)
    embeds = model.embed(batch)
    audio, counts = model.embed_audio(batch.features, batch.feature_lengths)
    assert counts.tolist() == [model.num_embeddings(n) for n in SAMPLES]
    for i in range(3):
        assert torch.equal(embeds[i][batch.ids[i] == AUDIO], audio[i, : counts[i]])
    words = batch.ids != AUDIO
    table = model.llm.get_input_embeddings()
    assert torch.equal(embeds[words], table(batch.ids[words]))
    assert model.embedding_ms == 40


def test_a_batch_without_learned_tokens_has_no_loss():
    model = small()
    batch = batch_of(model)
    batch.labels.fill_(IGNORE)
    got = model(batch)
    assert (got.loss.item(), int(got.num_tokens), int(got.num_correct)) == (0, 0, 0)


@pytest.mark.parametrize("change", [AUDIO, 65])
def test_a_count_that_does_not_fit_names_the_utterance(change):
    model = small()
    batch = batch_of(model)
    place = (batch.ids[1] == AUDIO).nonzero()[-1] + (1 if change == AUDIO else 0)
    batch.ids[1, place] = change
    count = model.num_embeddings(SAMPLES[1])
    places = count + (1 if change == AUDIO else -1)
    with pytest.raises(ModelError, match=f"'u1' has {places} places for {count} embeddings"):
        model(batch)


def test_widths_that_differ_are_one_sentence():
    model = small(tiny_llm(width=16))
    with pytest.raises(ModelError, match="embeddings of width 32, but the LLM reads 16"):
        model.embed(batch_of(model))


def test_an_unknown_template_is_refused():
    with pytest.raises(ConfigError, match="did you mean mooer"):
        small(template="moor")


def test_bfloat16_loss_is_near_and_in_float32():
    model = small()
    batch = batch_of(model)
    exact = model(batch).loss
    model.adapter.to(torch.bfloat16)
    model.llm.to(torch.bfloat16)
    rough = model(batch).loss
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0.02, atol=0)
