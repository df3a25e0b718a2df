"""Conversations with several recordings: from a manifest to a batch, and learned from."""

from dataclasses import replace

import pytest
from tests.data.sets import recorded

from mooer.batch import AUDIO, IGNORE
from mooer.data.collate import Collator, FeatureReader
from mooer.data.pack import PackOptions, pack
from mooer.data.stages import Example
from mooer.data.supervision import Turn, Utterance, from_row, read_manifest, write_manifest
from mooer.data.validate import validate
from mooer.errors import AudioError, ConfigError, ManifestError

pytest.importorskip("torch")
import torch
from tests.tiny import ByteTokenizer, TinyEncoder, tiny_llm

from mooer.models.adapter import AdapterConfig, build_adapter
from mooer.models.speech_llm import SpeechLLM


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One conversation of three recordings, one of one, and a plain question."""
    folder = tmp_path_factory.mktemp("talk")
    _, plain = recorded(folder, 5)
    first, second, third, fourth, fifth = plain
    long = Utterance(
        "long",
        first.audio,
        duration_s=sum(u.duration_s for u in plain[:3]),
        conversation=(
            Turn("system", "Be brief."),
            Turn("user", "<audio>What?"),
            Turn("assistant", "A tone."),
            Turn("user", "And <audio> or <audio>?"),
            Turn("assistant", "Two more."),
        ),
        more_audio=(second.audio, third.audio),
    )
    short = Utterance(
        "short",
        fourth.audio,
        duration_s=fourth.duration_s,
        conversation=(Turn("user", "<audio>Say."), Turn("assistant", "Low.")),
    )
    single = replace(fifth, id="single", prompt="Heard?", answer="Yes.")
    write_manifest(folder / "talk.jsonl", [long, short, single])
    return read_manifest(folder / "talk.jsonl"), folder


def network():
    encoder = TinyEncoder()
    torch.manual_seed(1)
    adapter = build_adapter(AdapterConfig(stride=2, hidden_width=24), encoder.width, 32)
    return SpeechLLM(encoder, adapter, tiny_llm(), ByteTokenizer(), "qwen2-audio").eval()


def collator(model, **options):
    read = FeatureReader(model.encoder.frontend)
    known = (read, model.num_embeddings, model.tokenizer, model.template)
    return Collator(*known, pad_id=256, **options)


def examples(utterances):
    return [Example(utterance, "chat") for utterance in utterances]


def test_a_batch_holds_a_row_of_features_for_each_recording(made):
    (long, short, single), _ = made
    model = network()
    batch = collator(model)(examples([long, short, single]))
    assert batch.num_recordings == (3, 1, 1)
    assert batch.features.shape[0] == len(batch.feature_lengths) == 5
    assert batch.ids.shape[0] == len(batch) == 3
    whole = collator(model)(examples([short, single]))
    assert whole.num_recordings is None
    num = whole.feature_lengths[0]
    assert torch.equal(batch.features[3, :num], whole.features[0, :num])
    tokenizer = ByteTokenizer()
    learned = [tokenizer.decode(row[row != IGNORE]) for row in batch.labels]
    assert learned == ["A tone.<|im_end|>Two more.<|im_end|>", "Low.<|im_end|>", "Yes.<|im_end|>"]
    asked = collator(model, side="left", with_answers=False)(examples([long]))
    assert tokenizer.decode([i for i in asked.ids[0] if i != AUDIO]).endswith("assistant\n")
    assert (asked.labels == IGNORE).all()


def test_each_recording_stands_at_its_own_place(made):
    (long, short, single), _ = made
    model = network()
    batch = collator(model)(examples([short, long, single]))
    embeds = model.embed(batch)
    audio, counts = model.embed_audio(batch.features, batch.feature_lengths)
    alone = [audio[i, : counts[i]] for i in range(5)]
    for row, those in enumerate(([0], [1, 2, 3], [4])):
        wanted = torch.cat([alone[i] for i in those])
        assert torch.equal(embeds[row][batch.ids[row] == AUDIO], wanted)
    rows = [model(collator(model)(examples([one]))).loss for one in (short, long, single)]
    torch.testing.assert_close(model(batch).loss, sum(rows), rtol=0, atol=1e-3)


def test_a_few_steps_lower_the_loss(made):
    model = network().train()
    batch = collator(model)(examples(made[0]))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    losses = []
    for _ in range(12):
        found = model(batch)
        loss = found.loss / found.num_tokens
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]
    assert model.encoder.linear.weight.grad.abs().sum() > 0


def test_what_does_not_fit_is_told(made):
    long, short, _ = made[0]
    collate = collator(network())
    with pytest.raises(ManifestError, match=r"^long: it has 3 recordings, which only a conversat"):
        collate([Example(replace(long, text="x"), "asr")])
    with pytest.raises(ManifestError, match=r"^short: it has 1 <audio> in its turns for 2 rec"):
        collate(examples([replace(short, more_audio=(long.audio,))]))
    with pytest.raises(AudioError, match=r"^long: "):
        collate(examples([replace(long, more_audio=(long.audio, "gone.wav"))]))
    with pytest.raises(ConfigError, match="template salmonn has one question"):
        replace(collate, template="salmonn")(examples([short]))
    with pytest.raises(ManifestError, match=r'"more_audio", which are whole files'):
        from_row({"audio": "a.wav", "start": 1, "more_audio": ["b.wav"]}, "line 1")
    with pytest.raises(ManifestError, match=r"must be a list of paths, got 'b.wav'"):
        from_row({"audio": "a.wav", "more_audio": "b.wav"}, "line 1")


def test_the_whole_of_it_is_validated_and_no_shard_holds_it(made):
    _, folder = made
    assert validate(folder / "talk.jsonl").problems == []
    with pytest.raises(ManifestError, match="long: it has several recordings, and a shard holds"):
        pack(folder / "talk.jsonl", folder / "shards", PackOptions())
