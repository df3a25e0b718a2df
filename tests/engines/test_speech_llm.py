"""A saved speech LLM without torch, beside the same in torch."""

from __future__ import annotations

import dataclasses
import json
import platform
import shutil
import subprocess
import sys

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.export.native import GATED, save_native
from tests.processor import HAS_VNNI

from mooer.audio.wave import SAMPLE_RATE_HZ
from mooer.decoding.generation import SearchOptions
from mooer.engines.gated_adapter import AdapterOptions, GatedAdapter
from mooer.engines.speech_folder import (
    EncoderOptions,
    LlmOptions,
    SpeechLLMOptions,
    WhisperOptions,
    read_options,
)
from mooer.engines.speech_llm import SpeechLLM, why_not
from mooer.engines.token_search import GenerateOptions
from mooer.errors import ConfigError, ModelError
from mooer.export.native import export_native
from mooer.infer.torch_network import TorchNetwork
from mooer.models import adapter as in_torch
from mooer.models import llm, speech_llm
from mooer.models.encoders import whisper
from mooer.models.load import load

pytestmark = [
    pytest.mark.filterwarnings("ignore:Could not find a config file"),
    pytest.mark.usefixtures("own_home"),
]
on_x86 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="llama.cpp is quicker"
)
TASKS = ("asr", "ast", "asr_ast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("native")
    source, _ = save_native(root)
    export_native(source, root / "out")
    return root / "out"


@pytest.fixture(scope="module")
def network(folder):
    return TorchNetwork(load(folder, merge=True))


def opened(folder, **options):
    return SpeechLLM(
        folder, **{"num_threads": 1, "compute_type": "float32", "exact": True, **options}
    )


@pytest.fixture(scope="module")
def model(folder):
    with opened(folder) as model:
        yield model


def sounds():
    """Chirps [T] of four lengths, one of them no whole number of embeddings."""
    found = []
    for seconds in (1.0, 0.63, 2.37, 1.0):
        t = np.arange(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32) / SAMPLE_RATE_HZ
        found.append((0.6 * np.sin(500 * t * (1 + seconds * t))).astype(np.float32))
    return found


@torch.no_grad()
def heard(network, samples):
    """Embeddings [N, W] in torch."""
    features = torch.from_numpy(network.model.encoder.frontend(samples))[None]
    found, _ = network.model.embed_audio(features, torch.tensor([features.shape[1]]))
    return found[0].numpy()


def test_embeddings_are_those_of_torch(model, network):
    utterances = sounds()
    for samples, found in zip(utterances, model.encode(utterances), strict=True):
        expected = heard(network, samples)
        assert found.shape == (network.model.num_embeddings(len(samples)), 64)
        assert expected.std() > 0.1
        np.testing.assert_allclose(found, expected, atol=1e-3)


def first_logprobs(model):
    """Of the first token, for each sound [N, V]."""
    found = []

    def keep(said, scores):
        found.append(scores.copy())

    prompts = model.prompts("asr", sounds())
    for prompt in prompts:
        model.llm.generate([prompt], GenerateOptions(max_new_tokens=1, adjust=keep))
    return [row - np.log(np.exp(row - row.max()).sum()) - row.max() for row in found]


@on_x86
def test_the_llm_is_packed_for_onnxruntime(folder, model, caplog):
    assert model.llm.library[0] == "llama.cpp"  # which is exact
    with opened(folder, exact=False) as packed:
        assert packed.llm.library == ("onnxruntime", "onnxruntime")
        pairs = zip(first_logprobs(packed), first_logprobs(model), strict=True)
        for found, expected in pairs:
            assert np.abs(found - expected).mean() < 0.1 * expected.std()
    with opened(folder, exact=False, packs=False) as plain:
        assert plain.llm.library[0] == "llama.cpp"
    assert not caplog.records


@on_x86
def test_where_it_cannot_be_packed_llama_cpp_answers(folder, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "file"))
    with opened(folder, exact=False) as model:
        assert model.llm.library[0] == "llama.cpp"
        assert len(first_logprobs(model)) == len(sounds())
    [warning] = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert warning.startswith("the LLM runs on llama.cpp, which is slower: cannot write")


@on_x86
def test_what_was_packed_and_is_damaged_is_packed_anew(folder, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MOOER_HOME", str(tmp_path))
    with opened(folder, exact=False):
        [weights] = tmp_path.glob("llm/*.bin")
    weights.write_bytes(weights.read_bytes()[:5000])
    with opened(folder, exact=False) as model:
        assert model.llm.library[0] == "llama.cpp"
    assert "was damaged, and is packed anew" in caplog.text
    with opened(folder, exact=False) as model:
        assert model.llm.library[0] == "onnxruntime"


@pytest.mark.parametrize("task", TASKS)
def test_prompts_and_first_probabilities_are_those_of_torch(model, network, task):
    for samples, prompt in zip(sounds(), model.prompts(task, sounds()), strict=True):
        embeds, mask = network.embed(network.prompts(task, [samples]))
        assert sum(map(len, prompt)) == int(mask.sum()) == mask.shape[1]
        with torch.no_grad():
            logits = network.model.llm(inputs_embeds=embeds).logits[0, -1]
        expected = logits.log_softmax(-1).numpy()
        found = np.empty_like(expected)

        def keep(said, scores, found=found):
            found[:] = scores

        options = GenerateOptions(max_new_tokens=1, adjust=keep)
        model.llm.generate([prompt], options)
        found -= np.logaddexp.reduce(found)
        np.testing.assert_allclose(found, expected, atol=1e-2)


@pytest.mark.parametrize("task", TASKS)
def test_greedy_answers_are_those_of_torch(model, network, task):
    search = SearchOptions(num_beams=1, eos_bias=0.0, max_new_tokens=12)
    prompts = network.prompts(task, sounds())
    expected = network.decode(prompts, search, [12] * len(prompts))
    options = GenerateOptions(max_new_tokens=12, stop_ids=model.stop_ids)
    found = model.llm.generate(model.prompts(task, sounds()), options)
    for [ours], theirs in zip(expected, found, strict=True):
        assert model.llm.decode(theirs.tokens) == network.text(ours.tokens)
        np.testing.assert_allclose(theirs.logprobs, ours.logprobs, atol=1e-2)
    assert len({one.tokens for one in found}) > 1


def test_lora_and_the_trained_blocks_are_heard(model, folder, tmp_path):
    released = tmp_path / "released"
    released.mkdir()
    for path in folder.iterdir():
        (released / path.name).symlink_to(path)
    (released / "encoder.safetensors").unlink()
    with opened(released) as other:
        assert other._ear.encoder.num_layers == 2
        [before], [after] = other.encode(sounds()[:1]), model.encode(sounds()[:1])
        assert np.abs(before - after).max() > 0.05


def test_rounded_to_int8_it_hears_nearly_the_same(folder, model):
    with opened(folder, compute_type="int8") as quick:
        for one, other in zip(quick.encode(sounds()), model.encode(sounds()), strict=True):
            away = np.linalg.norm(one - other) / np.linalg.norm(other)
            assert 0 < away < (0.1 if HAS_VNNI else 0.25)


def test_windows_of_a_fixed_length(tmp_path):
    source, _ = save_native(tmp_path, lora=False, options={"pad_to_s": 3.0})
    network = TorchNetwork(load(source))
    with opened(source) as model:
        [found] = model.encode(sounds()[:1])
        assert len(found) == 38
        np.testing.assert_allclose(found, heard(network, sounds()[0]), atol=1e-3)


def test_options_are_those_that_models_write():
    def fields(kind):
        return {f.name: f.default for f in dataclasses.fields(kind)}

    assert fields(AdapterOptions) == fields(in_torch.AdapterConfig)
    assert fields(WhisperOptions) == fields(whisper.WhisperConfig)
    for ours, theirs in (
        (EncoderOptions, speech_llm.EncoderConfig),
        (LlmOptions, llm.LlmConfig),
        (SpeechLLMOptions, speech_llm.ModelConfig),
    ):
        assert set(fields(ours)) == set(fields(theirs))


@pytest.mark.parametrize("num_frames", [1, 3, 4, 9])
@torch.no_grad()
def test_the_adapter_is_the_one_of_torch(tmp_path, num_frames):
    torch.manual_seed(0)
    ours = in_torch.build_adapter(GATED, 16, 32)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    save_file(ours.state_dict(), tmp_path / "a.safetensors")
    options = AdapterOptions("gated", stride=4, hidden_width=24, output_scale=0.5)
    frames = torch.randn(num_frames, 16) * 30
    expected, _ = ours(frames[None], torch.tensor([num_frames]))
    found = GatedAdapter(tmp_path / "a.safetensors", options, 16, 32)(frames.numpy())
    np.testing.assert_allclose(found, expected[0].numpy(), atol=1e-5)


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def copy(folder, tmp_path):
    """A copy that may be damaged; the LLM and the encoder stay where they are."""
    for path in folder.iterdir():
        target = tmp_path / path.name
        if path.name == "llm":
            target.symlink_to(path)
        elif path.is_file():
            target.write_bytes(path.read_bytes())
        else:
            shutil.copytree(path, target)
    return tmp_path


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("name: whisper", "name: sanm", "its encoder is sanm, and only whisper"),
        ("name: gated", "name: conv", "its adapter is conv, and only gated"),
        ("extra_layers: 1", "final_norm: false", "has no last norm"),
        ("template: mini", "template: minni", "unknown template 'minni': did you mean mini"),
        ("stride:", "strid:", "did you mean stride"),
        ("extra_layers:", "extra_layer:", "encoder whisper: unknown key extra_layer"),
        ("path: llm", "path: /nowhere/llm.gguf", "cannot read the model /nowhere/llm.gguf"),
        ("num_layers: 2", "num_layers: 4", None),
    ],
)
def test_what_cannot_be_run_is_told(copy, before, after, reason):
    path = copy / "mooer.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    if reason is None:  # seen only in the weights
        assert why_not(copy) is None
        with pytest.raises(ModelError, match=r"num_layers 3, but mooer.yaml says 4 or 5"):
            opened(copy)
        return
    assert reason in why_not(copy)
    with pytest.raises((ModelError, ConfigError), match=reason.split("'")[0]):
        opened(copy)


def test_lora_of_llama_cpp_is_taken_first(copy, own_home):
    (copy / "lora.gguf").write_bytes(b"GGUF and nothing else")
    assert why_not(copy) is None
    with pytest.raises(ModelError, match=r"lora\.gguf is not a LoRA of llm\.gguf"):
        opened(copy)
    [made] = (own_home / "lora").iterdir()
    shutil.copyfile(made, copy / "lora.gguf")
    shutil.rmtree(copy / "lora")
    opened(copy).close()


def test_lora_that_cannot_be_read_is_told(copy):
    path = copy / "lora" / "adapter_config.json"
    options = json.loads(path.read_text())
    path.write_text(json.dumps({**options, "use_rslora": True}))
    with pytest.raises(ModelError, match="sets use_rslora to True: only plain LoRA is read"):
        opened(copy)
    path.write_text(json.dumps({**options, "lora_alpha": 12}))
    with pytest.raises(ModelError, match=r"lora_alpha 12, but mooer\.yaml says alpha 6\.0"):
        opened(copy)
    (copy / "llm").unlink()
    (copy / "llm").mkdir()
    writer = gguf.GGUFWriter(copy / "llm" / "llm.gguf", "gemma3")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert (
        why_not(copy)
        == "its LoRA is for a gemma3, and without lora.gguf only that for qwen2 is read"
    )
    shutil.rmtree(copy / "lora")
    with pytest.raises(ModelError, match=r"neither as lora\.gguf nor as lora/adapter_model"):
        opened(copy)


def test_files_that_are_missing_or_of_another_model_are_told(copy, network):
    path = copy / "adapter.safetensors"
    tensors = load_file(path)
    wide = {**tensors, "more": torch.ones(1), "norm_mid.weight": torch.ones(3)}
    wide["linear2.weight"] = wide["linear2.weight"] * torch.nan
    del wide["linear1.weight"]
    save_file(wide, path)
    with pytest.raises(ModelError) as caught:
        opened(copy)
    for words in (
        "linear1.weight is missing",
        "more is unexpected",
        "norm_mid.weight has [3] instead of [24]",
        "linear2.weight is not finite",
    ):
        assert words in str(caught.value)
    config = read_options(copy)
    text = (copy / "mooer.yaml").read_text()
    weights = f"weights: {config.encoder.weights}"
    assert weights in text
    (copy / "mooer.yaml").write_text(text.replace(weights, "weights: null"))
    assert "CTranslate2 needs the released Whisper" in why_not(copy)
    (copy / "mooer.yaml").write_text(text.replace(weights, f"weights: {copy}"))
    assert "holds no model.bin" in why_not(copy)
    with pytest.raises(ModelError, match=r"holds no mooer\.yaml"):
        opened(copy / "lora")


def test_a_task_and_an_utterance_too_long(model):
    with pytest.raises(ConfigError, match="no task 'sing'"):
        model.prompts("sing", sounds()[:1])
    with pytest.raises(ModelError, match="hears 30 s"):
        model.encode([np.zeros(31 * SAMPLE_RATE_HZ, np.float32)])


def test_no_torch_is_loaded(folder):
    code = f"""
import sys
from pathlib import Path
import numpy as np
from mooer.engines.speech_llm import SpeechLLM
with SpeechLLM(Path({str(folder)!r}), num_threads=1) as model:
    [found] = model.encode([np.ones(16000, np.float32)])
assert found.shape == (13, 64), found.shape
assert not {{"torch", "transformers", "safetensors", "peft", "gguf"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
