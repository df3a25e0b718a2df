"""Speech LLMs from a config, to a folder and back, and tensor files that are refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tests.models.folders import save_cmvn, save_llm

from mooer.batch import Batch
from mooer.errors import ConfigError, ModelError
from mooer.models.adapter import AdapterConfig
from mooer.models.ctc import CtcConfig
from mooer.models.llm import LlmConfig, LoraConfig, has_lora, llm_width, merge_lora
from mooer.models.load import build, load, save
from mooer.models.released import inspect
from mooer.models.speech_llm import EncoderConfig, ModelConfig, SpeechLLM
from mooer.models.tensors import compare, read_shapes, read_tensors
from mooer.tasks.layout import lay_out
from mooer.tasks.templates import parts

NUM_SAMPLES = 16_000
SANM = {"num_mels": 8, "width": 16, "ffn_width": 24, "num_blocks": 2, "num_heads": 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    save_llm(path / "llm")
    save_cmvn(path / "am.mvn", 56)
    return path


def config(base, *, lora=True):
    return ModelConfig(
        encoder=EncoderConfig("sanm", {**SANM, "cmvn": str(base / "am.mvn")}),
        llm=LlmConfig(str(base / "llm"), lora=LoraConfig(rank=4) if lora else None),
        adapter=AdapterConfig(hidden_width=24),
    )


def made(base, *, lora=True):
    torch.manual_seed(3)
    model = build(config(base, lora=lora))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(std=0.1)
    return model.eval()


def test_a_ctc_head_is_kept(base, tmp_path):
    model = made(base)
    model.config = dataclasses.replace(model.config, ctc=CtcConfig())
    model.set_units([5, 7, 9])
    with torch.no_grad():
        model.ctc.bias.fill_(0.5)
    save(model, tmp_path / "kept")
    again = load(tmp_path / "kept")
    heard = torch.randn(3, llm_width(model.llm))
    assert torch.equal(again.ctc(heard), model.ctc(heard))
    model.set_units([5, 7, 9, 11])
    assert model.ctc.bias.item() == 0.5
    assert model.ctc(heard).shape == (3, 5)


def loss_of(model: SpeechLLM) -> torch.Tensor:
    samples = np.random.default_rng(0).standard_normal(NUM_SAMPLES).astype(np.float32) * 0.1
    features = torch.from_numpy(model.encoder.frontend(samples))[None]
    prompt = parts(model.template, "asr", model.num_embeddings(NUM_SAMPLES), "hello")
    layout = lay_out(prompt, model.tokenizer)
    ids = torch.tensor([layout.ids])
    batch = Batch(
        ("u",),
        features,
        torch.tensor([features.shape[1]]),
        ids,
        torch.tensor([layout.labels]),
        torch.ones_like(ids, dtype=torch.bool),
    )
    return model(batch).loss.detach()


def test_a_saved_model_is_the_same_model(base, tmp_path):
    model = made(base)
    save(model, tmp_path / "a")
    again = load(tmp_path / "a")
    assert torch.equal(loss_of(again), loss_of(model))
    assert has_lora(again.llm)
    assert not again.training
    names = {p.name for p in (tmp_path / "a").iterdir()}
    assert names == {"mooer.yaml", "am.mvn", "encoder.safetensors", "adapter.safetensors", "lora"}
    assert (tmp_path / "a" / "lora" / "adapter_model.safetensors").is_file()
    save(again, tmp_path / "b")
    assert torch.equal(loss_of(load(tmp_path / "b")), loss_of(model))
    shutil.move(tmp_path / "b", tmp_path / "moved")
    assert torch.equal(loss_of(load(tmp_path / "moved")), loss_of(model))


def test_merged_lora_says_the_same_and_is_saved_whole(base, tmp_path):
    model = made(base)
    expected = loss_of(model)
    save(model, tmp_path / "a")
    merged = load(tmp_path / "a", merge=True)
    assert not has_lora(merged.llm)
    torch.testing.assert_close(loss_of(merged), expected, rtol=0, atol=1e-4)
    save(merged, tmp_path / "b")
    assert not (tmp_path / "b" / "lora").exists()
    again = load(tmp_path / "b")
    assert torch.equal(loss_of(again), loss_of(merged))


def test_what_learns_is_what_is_new(base):
    model = made(base)
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"adapter", "llm"}
    assert all(".lora_" in n for n, p in model.llm.named_parameters() if p.requires_grad)


def test_an_llm_that_learns_is_saved(base, tmp_path):
    model = made(base, lora=False)
    model.llm.requires_grad_(True)
    with torch.no_grad():
        model.llm.model.norm.weight.mul_(2)
    save(model, tmp_path / "a")
    assert torch.equal(loss_of(load(tmp_path / "a")), loss_of(model))
    assert (tmp_path / "a" / "llm" / "model.safetensors").is_file()
    with pytest.raises(ModelError, match="with LoRA in it: merge_lora"):
        save(made(base), tmp_path / "b", with_llm=True)


def test_dtype_is_that_of_all_parts(base, tmp_path):
    save(made(base), tmp_path / "a")
    model = load(tmp_path / "a", dtype="bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(loss_of(model), loss_of(made(base)), rtol=0.05, atol=0)


def test_an_encoder_left_out_is_read_where_it_was(base, tmp_path):
    model = made(base)
    with pytest.raises(ModelError, match="no weights elsewhere"):
        save(model, tmp_path / "a", with_encoder=False)
    torch.save(model.encoder.state_dict(), tmp_path / "encoder.pth")
    named = config(base)
    elsewhere = EncoderConfig("sanm", named.encoder.config, str(tmp_path / "encoder.pth"))
    again = build(ModelConfig(elsewhere, named.llm, named.adapter))
    assert torch.equal(again.encoder.after_norm.weight, model.encoder.after_norm.weight)
    again.adapter.load_state_dict(model.adapter.state_dict())
    again.llm.load_state_dict(model.llm.state_dict())
    save(again.eval(), tmp_path / "a", with_encoder=False)
    assert not (tmp_path / "a" / "encoder.safetensors").exists()
    assert torch.equal(loss_of(load(tmp_path / "a")), loss_of(model))


def over_released(base, folder, name="released.pth"):
    """A model whose encoder was released; of it the second block has learned since."""
    released = made(base)
    torch.save(released.encoder.state_dict(), folder / name)
    named = config(base)
    elsewhere = EncoderConfig("sanm", named.encoder.config, str(folder / name))
    model = build(dataclasses.replace(named, encoder=elsewhere)).eval()
    model.adapter.load_state_dict(released.adapter.state_dict())
    model.llm.load_state_dict(released.llm.state_dict())
    with torch.no_grad():
        for parameter in model.encoder.encoders[0].parameters():
            parameter.add_(0.1)
    return model, released


@pytest.mark.parametrize("half", [False, True])
def test_what_changed_of_a_released_encoder_is_written_alone(base, tmp_path, half):
    model, released = over_released(base, tmp_path)
    assert not torch.equal(loss_of(model), loss_of(released))
    save(model, tmp_path / "a", with_encoder="changed", half=half)
    written = load_file(tmp_path / "a" / "encoder.safetensors")
    assert written
    assert all(name.startswith("encoders.0.") for name in written)
    again = load(tmp_path / "a")
    if not half:
        assert torch.equal(loss_of(again), loss_of(model))
        return
    for name in ("encoder", "adapter", "lora/adapter_model"):
        tensors = load_file(tmp_path / "a" / f"{name}.safetensors")
        assert {t.dtype for t in tensors.values()} == {torch.float16}
    assert {p.dtype for p in again.parameters()} == {torch.float32}
    torch.testing.assert_close(loss_of(again), loss_of(model), rtol=2e-3, atol=0)


def test_an_encoder_that_has_not_changed_leaves_no_file(base, tmp_path):
    model, released = over_released(base, tmp_path)
    save(model, tmp_path / "a", with_encoder="changed")
    model.encoder.load_state_dict(released.encoder.state_dict())
    save(model, tmp_path / "a", with_encoder="changed")
    assert not (tmp_path / "a" / "encoder.safetensors").exists()
    assert torch.equal(loss_of(load(tmp_path / "a")), loss_of(model))
    with pytest.raises(ModelError, match="no weights elsewhere"):
        save(released, tmp_path / "b", with_encoder="changed")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t, n: t.update(extra=torch.ones(1)), "unexpected: 1, extra"),
        (
            lambda t, n: t.update({n: torch.ones(7)}),
            r"wrong shape: 1, encoders\.0\..* \[7\] instead",
        ),
        (lambda t, n: t[n].fill_(torch.nan), r"not finite: 1, encoders\.0"),
    ],
)
def test_what_changed_must_be_of_the_encoder(base, tmp_path, edit, message):
    save(over_released(base, tmp_path)[0], tmp_path / "a", with_encoder="changed")
    path = tmp_path / "a" / "encoder.safetensors"
    change(path, lambda tensors: edit(tensors, sorted(tensors)[0]))
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "a")


def test_what_float16_cannot_hold_is_told(base, tmp_path):
    model = made(base)
    with torch.no_grad():
        model.adapter.linear2.bias[0] = 70_000.0
    with pytest.raises(ModelError, match=r"ends at 65504 \(1, linear2\.bias\)"):
        save(model, tmp_path / "a", half=True)


def whisper(folder):
    sizes = {"width": 16, "num_heads": 2, "ffn_width": 24, "num_layers": 1, "max_frames": 200}
    return EncoderConfig("whisper", sizes)


def hubert(folder):
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
        "conv_dim": (8,) * 7,
    }
    torch.manual_seed(0)
    transformers.HubertModel(transformers.HubertConfig(**sizes)).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    return EncoderConfig("hub", {"path": str(folder)}, str(folder))


@pytest.mark.parametrize(
    ("make", "with_encoder"), [(whisper, True), (hubert, True), (hubert, False)]
)
def test_other_encoders_and_adapters(base, tmp_path, monkeypatch, make, with_encoder):
    encoder = make(tmp_path / "hub")
    adapter = AdapterConfig("pool", stride=4)
    monkeypatch.chdir(base)
    model = build(ModelConfig(encoder, LlmConfig("llm"), adapter, template="qwen2-audio")).eval()
    save(model, tmp_path / "a", with_encoder=with_encoder)
    assert not (tmp_path / "a" / "llm").exists()
    monkeypatch.chdir(tmp_path)
    assert torch.equal(loss_of(load("a")), loss_of(model))
    report = inspect(tmp_path / "a")
    assert report.usable, report
    assert [p.name for p in report.pieces] == ["encoder"] * with_encoder + ["adapter", "LLM"]


def change(path, edit):
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("adapter", lambda t: t.pop("linear1.bias"), r"adapter \(missing: 1, linear1\.bias\)"),
        ("adapter", lambda t: t.update(extra=torch.ones(1)), "unexpected: 1, extra"),
        (
            "adapter",
            lambda t: t.update({"linear1.bias": torch.ones(3)}),
            r"wrong shape: 1, linear1\.bias \[3\] instead of \[24\]",
        ),
        ("adapter", lambda t: t["linear2.bias"].fill_(torch.nan), r"not finite: 1, linear2\.bias"),
        ("encoder", lambda t: t["after_norm.bias"].fill_(torch.inf), "not finite: 1, after_norm"),
        (
            "encoder",
            lambda t: [t.update({f"module.{n}": t.pop(n)}) for n in list(t)],
            "begin with 'module.', which is not wanted there",
        ),
    ],
)
def test_what_does_not_fit_is_listed(base, tmp_path, file, edit, message):
    save(made(base), tmp_path / "a")
    change(tmp_path / "a" / f"{file}.safetensors", edit)
    with pytest.raises(ModelError, match=message):
        load(tmp_path / "a")


def test_lora_of_another_model_is_refused(base, tmp_path):
    save(made(base), tmp_path / "a")
    path = tmp_path / "a" / "lora" / "adapter_config.json"
    options = json.loads(path.read_text())
    path.write_text(json.dumps({**options, "lora_alpha": 32}))
    with pytest.raises(ModelError, match=r"alpha=32.0.*but mooer\.yaml says.*alpha=16\.0"):
        load(tmp_path / "a")
    path.write_text(json.dumps({**options, "r": 8}))
    with pytest.raises(ModelError, match="says rank 8, but the tensors have 4"):
        load(tmp_path / "a")


def test_an_unknown_key_names_the_nearest(base, tmp_path):
    save(made(base), tmp_path / "a")
    path = tmp_path / "a" / "mooer.yaml"
    text = path.read_text()
    path.write_text(text.replace("stride:", "strid:"))
    with pytest.raises(ConfigError, match="did you mean stride"):
        load(tmp_path / "a")
    path.write_text(text.replace("ffn_width: 24", "ffn_widht: 24"))
    with pytest.raises(ConfigError, match="encoder sanm: unknown key ffn_widht: did you mean ffn"):
        load(tmp_path / "a")
    with pytest.raises(ModelError, match=r"holds no mooer\.yaml"):
        load(tmp_path)


def test_a_model_without_a_config_is_not_saved(base, tmp_path):
    model = made(base)
    model.config = None
    with pytest.raises(ModelError, match="without a config"):
        save(model, tmp_path / "a")


def test_lora_of_a_built_model_can_be_merged(base):
    model = made(base)
    expected = loss_of(model)
    model.llm = merge_lora(model.llm)
    torch.testing.assert_close(loss_of(model), expected, rtol=0, atol=1e-4)


def test_shapes_are_read_without_weights(base, tmp_path):
    tensors = {"a.b": torch.ones(2, 3), "c": torch.ones(4, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "t.safetensors")
    torch.save(tensors, tmp_path / "t.pt")
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name in ("t.safetensors", "t.pt", "old.pt"):
        assert read_shapes(tmp_path / name) == {"a.b": (2, 3), "c": (4,)}
        assert torch.equal(read_tensors(tmp_path / name)["a.b"], tensors["a.b"])
    llm = read_shapes(base / "llm")
    assert llm["model.norm.weight"] == (32,)


def test_large_numbers_are_finite_and_opposite_infinities_are_not():
    large = torch.full((4,), 60_000, dtype=torch.float16)
    infinite = torch.tensor([torch.inf, -torch.inf])
    wanted = {"large": (4,), "infinite": (2,)}
    found = compare(wanted, {"large": large, "infinite": infinite})
    assert found.not_finite == ("infinite",)


def test_tensor_files_that_are_none(tmp_path):
    torch.save({"a": torch.ones(1), "epoch": 3}, tmp_path / "more.pt")
    with pytest.raises(ModelError, match="holds more than tensors: 1, epoch"):
        read_tensors(tmp_path / "more.pt")
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    with pytest.raises(ModelError, match="no named tensors but a list"):
        read_tensors(tmp_path / "list.pt")
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(ModelError, match=r"empty\.pt cannot be read"):
        read_tensors(tmp_path / "empty.pt")
    (tmp_path / "text.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match=r"text\.pt"):
        read_tensors(tmp_path / "text.pt")
    with pytest.raises(ModelError, match="holds none of"):
        read_tensors(tmp_path)
    torch.save({"a": torch.ones(100)}, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-300])
    with pytest.raises(ModelError, match=r"cut\.pt"):
        read_tensors(tmp_path / "cut.pt")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(ModelError, match="points outside its folder"):
        read_tensors(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "absent.safetensors"}}))
    with pytest.raises(ModelError, match="is missing"):
        read_tensors(tmp_path)


def test_code_in_a_pickle_is_named_and_not_run(tmp_path):
    class Code:
        def __reduce__(self):
            return (exec, ("raise SystemExit('code ran')",))

    torch.save({"a": torch.ones(1), "b": Code()}, tmp_path / "code.pt")
    for read in (read_tensors, read_shapes):
        with pytest.raises(ModelError, match="refused: the pickle asks for exec to be run"):
            read(tmp_path / "code.pt")
