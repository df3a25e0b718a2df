"""Language models from folders and GGUF files, LoRA on them, and what is refused."""

from __future__ import annotations

import json
import pickle
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.models.folders import save_gguf, save_llm
from tests.tiny import tiny_llm
from torch import nn

from mooer.errors import ConfigError, ModelError
from mooer.models.llm import (
    LlmConfig,
    LoraConfig,
    add_lora,
    has_lora,
    llm_width,
    load_llm,
    merge_lora,
    plain,
    vocabulary_logits,
)

IDS = torch.tensor([[5, 6, 7, 200], [9, 9, 1, 3]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("llm")
    save_llm(path)
    return path


def load(path, **options):
    return load_llm(LlmConfig(str(path), **options))[0]


def copy_of(folder, path):
    path.mkdir()
    for file in folder.iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    return path


def test_a_folder_is_the_model_that_was_saved(folder):
    model, tokenizer = load_llm(LlmConfig(str(folder)))
    assert torch.equal(model(IDS).logits, tiny_llm()(IDS).logits)
    assert not any(p.requires_grad for p in model.parameters())
    assert not model.training
    assert tokenizer.decode(tokenizer.encode("天气 ok<|im_end|>")) == "天气 ok<|im_end|>"
    assert load(folder, dtype="bfloat16").dtype == torch.bfloat16


def test_a_gguf_file_is_the_same_model(tmp_path, folder):
    save_gguf(tmp_path / "tiny.gguf", tiny_llm())
    model, tokenizer = load_llm(LlmConfig(str(tmp_path / "tiny.gguf")))
    torch.testing.assert_close(model(IDS).logits, tiny_llm()(IDS).logits, rtol=0, atol=1e-5)
    assert tokenizer.encode("hi<|im_end|>", add_special_tokens=False)[-1] == 259


def test_a_pickle_of_tensors_is_read_and_one_with_code_refused(tmp_path, folder):
    path = copy_of(folder, tmp_path / "pickled")
    (path / "model.safetensors").unlink()
    torch.save(load_file(folder / "model.safetensors"), path / "pytorch_model.bin")
    assert torch.equal(load(path)(IDS).logits, tiny_llm()(IDS).logits)

    class Code:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"model.norm.weight": Code()}, path / "pytorch_model.bin")
    with pytest.raises(
        ModelError, match=r"pickled is refused: the pickle asks for print to be run"
    ):
        load(path)
    (path / "pytorch_model.bin").write_bytes(pickle.dumps(Code(), protocol=2))
    with pytest.raises(ModelError, match="pickled"):
        load(path)


def test_safetensors_come_first(tmp_path, folder, capfd):
    path = copy_of(folder, tmp_path / "both")
    (path / "pytorch_model.bin").write_bytes(b"no pickle at all")
    assert torch.equal(load(path)(IDS).logits, tiny_llm()(IDS).logits)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "missing: 1, model.layers.1.mlp"),
        (lambda t: t.update({"model.extra.weight": torch.ones(1)}), "unexpected: 1, model.extra"),
        (
            lambda t: t.update({"model.norm.weight": torch.ones(3)}),
            r"wrong shape: 1, .*norm\.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path, folder, change, message):
    path = copy_of(folder, tmp_path / "bad")
    tensors = load_file(path / "model.safetensors")
    change(tensors)
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=message):
        load(path)


def test_damage_is_one_sentence(tmp_path, folder):
    path = copy_of(folder, tmp_path / "cut")
    data = (path / "model.safetensors").read_bytes()
    (path / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match="cut cannot be loaded"):
        load(path)
    (path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"no readable config\.json"):
        load(path)
    (path / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(path)
    with pytest.raises(ModelError, match="is not there"):
        load(tmp_path / "absent")
    with pytest.raises(ModelError, match=r"no \.gguf"):
        load(path / "config.json")


def test_code_in_a_folder_is_not_run(tmp_path, folder):
    path = copy_of(folder, tmp_path / "code")
    config = json.loads((path / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "theirs.Config"}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "theirs.py").write_text("raise SystemExit('code ran')")
    with pytest.raises(ModelError, match="code cannot be loaded"):
        load(path)


def test_lora_is_nothing_at_first_and_all_that_learns(folder):
    model = load(folder, lora=LoraConfig(rank=4))
    assert has_lora(model)
    assert torch.allclose(model(IDS).logits, tiny_llm()(IDS).logits)
    learning = {n for n, p in model.named_parameters() if p.requires_grad}
    assert learning
    assert all(".lora_" in name for name in learning)
    assert len(learning) == 2 * 7 * 2  # layers, linears, A and B


def test_merged_lora_says_the_same(folder):
    model = load(folder, lora=LoraConfig(rank=4, alpha=16.0))
    before = model(IDS).logits
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
    adapted = model(IDS).logits
    assert (adapted - before).abs().max() > 0.1
    merged = merge_lora(model)
    assert not has_lora(merged)
    torch.testing.assert_close(merged(IDS).logits, adapted, rtol=0, atol=1e-4)
    with pytest.raises(ModelError, match="no LoRA"):
        merge_lora(merged)


def test_lora_of_wrong_targets_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'q_projj' is no linear layer.*did you mean q_proj"):
        add_lora(tiny_llm(), LoraConfig(targets=("q_projj",)))
    with pytest.raises(ConfigError, match="rank 0"):
        LoraConfig(rank=0)
    with pytest.raises(ConfigError, match="no targets"):
        LoraConfig(targets=())


def test_the_vocabulary_head_is_the_models_own():
    model = tiny_llm()
    hidden = model.model(IDS).last_hidden_state
    assert torch.equal(vocabulary_logits(model, hidden), model(IDS).logits)
    lora = add_lora(model, LoraConfig(rank=2))
    assert plain(lora) is model
    assert torch.equal(vocabulary_logits(lora, hidden), model.lm_head(hidden))
    assert llm_width(lora) == 32


def test_heads_that_scale_or_squash():
    head = nn.Linear(3, 5)
    x = torch.randn(2, 3)

    def logits(**config):
        model = SimpleNamespace(
            get_output_embeddings=lambda: head, config=SimpleNamespace(**config)
        )
        return vocabulary_logits(model, x)

    plain_logits = head(x)
    assert torch.equal(logits(logits_scaling=8.0), plain_logits / 8)
    assert torch.equal(logits(logit_scale=0.5), plain_logits * 0.5)
    capped = logits(final_logit_softcapping=0.1)
    assert torch.equal(capped, torch.tanh(plain_logits / 0.1) * 0.1)


def test_gemma2_and_granite_heads_match_transformers():
    from transformers import Gemma2Config, Gemma2ForCausalLM, GraniteConfig, GraniteForCausalLM

    sizes = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "pad_token_id": 0,
    }
    for model in (
        Gemma2ForCausalLM(Gemma2Config(**sizes, head_dim=8, final_logit_softcapping=0.02)),
        GraniteForCausalLM(GraniteConfig(**sizes, logits_scaling=4.0)),
    ):
        hidden = model.eval().model(IDS).last_hidden_state
        torch.testing.assert_close(vocabulary_logits(model, hidden), model(IDS).logits)


def test_a_full_size_lora_has_the_released_number_of_parameters():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    with torch.device("meta"):
        llm = Qwen2ForCausalLM(
            Qwen2Config(
                vocab_size=152064,
                hidden_size=3584,
                intermediate_size=18944,
                num_hidden_layers=28,
                num_attention_heads=28,
                num_key_value_heads=4,
                tie_word_embeddings=False,
            )
        )
        model = add_lora(llm, LoraConfig(rank=64))
    lora = sum(p.numel() for name, p in model.named_parameters() if ".lora_" in name)
    assert lora == 161_480_704
    assert sum(p.numel() for p in llm.parameters()) - lora == 7_615_616_512


def test_an_llm_from_gguf_is_saved_once_its_lora_is_merged(tmp_path):
    save_gguf(tmp_path / "llm.gguf", tiny_llm())
    model, tokenizer = load_llm(LlmConfig(str(tmp_path / "llm.gguf"), lora=LoraConfig(rank=2)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    merged = merge_lora(model)
    merged.save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    again, _ = load_llm(LlmConfig(str(tmp_path / "merged")))
    ids = torch.arange(9)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, merged(ids).logits)
