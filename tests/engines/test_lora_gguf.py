"""LoRA of peft's as GGUF without torch, beside what the package `gguf` writes."""

from __future__ import annotations

import json
import shutil

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.engines.ggufs import save_lora
from tests.models.folders import random_lora, save_gguf
from tests.tiny import tiny_llm

from mooer.engines import lora_gguf
from mooer.engines.lora_gguf import as_gguf, converted, gguf_name, read_architecture
from mooer.errors import ModelError
from mooer.export.llm import Base, write_lora
from mooer.models.lora import read_lora

pytestmark = pytest.mark.filterwarnings("ignore:Could not find a config file")


@pytest.fixture(scope="module")
def tuned():
    return random_lora(tiny_llm())  # alpha 16, rank 4


@pytest.fixture
def folder(tuned, tmp_path, monkeypatch):
    monkeypatch.setenv("MOOER_HOME", str(tmp_path / "home"))
    tuned.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    return tmp_path / "lora"


def change(folder, **options):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def change_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    save_file(dict(change(name, t) for name, t in load_file(path).items()), path)


def read(path):
    """Values, and tensors with their types."""
    reader = gguf.GGUFReader(path)
    values = {key: field.contents() for key, field in reader.fields.items()}
    return values, {t.name: (int(t.tensor_type), t.data) for t in reader.tensors}


def test_names_are_those_of_llama_cpp():
    theirs = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, 3)
    names = [name for name in tiny_llm(num_layers=3).state_dict() if name != "lm_head.weight"]
    for name in [*names, "lm_head.weight"]:
        stem, _, kind = name.rpartition(".")
        assert gguf_name(name) == f"{theirs.get_name(stem)}.{kind}"
    assert gguf_name("model.layers.0.self_attn.q_norm.weight") is None
    assert gguf_name("model.rotary.weight") is None


def test_the_file_is_that_of_the_package(folder, tuned, tmp_path):
    wanted = read(save_lora(tmp_path / "theirs.gguf", tuned, alpha=16))
    with as_gguf(folder) as path:
        found = read(path)
    assert found[0] == wanted[0]
    assert found[1].keys() == wanted[1].keys()
    for name, (kind, data) in found[1].items():
        assert kind == wanted[1][name][0] == gguf.GGMLQuantizationType.F32
        np.testing.assert_array_equal(data, wanted[1][name][1])


def test_the_file_is_that_of_the_export(folder, tmp_path):
    save_gguf(tmp_path / "llm.gguf", tiny_llm())
    write_lora(tmp_path / "lora.gguf", Base(tmp_path / "llm.gguf"), read_lora(folder))
    assert converted(folder) == (tmp_path / "lora.gguf").read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_types_are_kept_where_that_can_be(folder, dtype):
    with as_gguf(folder) as path:
        before = read(path)[1]
    change_tensors(folder, lambda name, tensor: (name, tensor.to(dtype)))
    with as_gguf(folder) as path:
        found = read(path)[1]
    assert found.keys() == before.keys()
    for name, (kind, data) in found.items():
        assert kind == (1 if dtype == torch.float16 else 0)
        expected = torch.from_numpy(np.array(before[name][1])).to(dtype).float().numpy()
        np.testing.assert_array_equal(data.astype(np.float32), expected)


def test_a_file_is_made_once(folder, tmp_path, monkeypatch):
    with as_gguf(folder) as path:
        assert path.parent == tmp_path / "home" / "lora"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    with monkeypatch.context() as patch:
        patch.delattr(lora_gguf, "converted")
        with as_gguf(folder) as again:
            assert again == path
    change(folder, lora_alpha=8)
    with as_gguf(folder) as other:
        assert other != path
        assert read(other)[0]["adapter.lora.alpha"] == 8


def test_without_a_cache_there_is_a_file_for_a_while(folder, tmp_path):
    (tmp_path / "home").write_text("a file where a folder should be")
    with as_gguf(folder) as path:
        content = path.read_bytes()
    assert content == converted(folder)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_rslora": True}, "sets use_rslora to True: only plain LoRA is read"),
        ({"use_dora": True}, "sets use_dora to True"),
        ({"rank_pattern": {"q_proj": 8}}, "sets rank_pattern to"),
        ({"fan_in_fan_out": True}, "sets fan_in_fan_out to True"),
        ({"r": 8}, "says rank 8, but the tensors have 4"),
        ({"lora_alpha": None}, "says no lora_alpha"),
    ],
)
def test_other_kinds_of_lora_are_refused(folder, tmp_path, options, said):
    change(folder, **options)
    with pytest.raises(ModelError, match=said) as caught, as_gguf(folder):
        pass
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def renamed(name, tensor):
    return name.replace("q_proj", "qkv_proj"), tensor


def damaged(name, tensor):
    return name, tensor * (torch.nan if "layers.1.mlp.up_proj.lora_A" in name else 1)


def test_tensors_that_llama_cpp_could_not_use_are_told(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    change_tensors(folder, damaged)
    with pytest.raises(ModelError, match=r"not finite: 1, .*layers\.1\.mlp\.up_proj\.lora_A"):
        converted(folder)
    change(tmp_path / "other", target_modules=None)
    change_tensors(tmp_path / "other", renamed)
    with pytest.raises(ModelError, match=r"layers that no qwen2 has: 4, .*qkv_proj"):
        converted(tmp_path / "other")


def test_files_that_are_missing_are_told(folder):
    (folder / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"adapter_config\.json cannot be read"), as_gguf(folder):
        pass


def test_the_architecture_of_a_file(tmp_path):
    save_gguf(tmp_path / "llm.gguf", tiny_llm())
    assert read_architecture(tmp_path / "llm.gguf") == "qwen2"
    (tmp_path / "empty.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match="does not say its architecture"):
        read_architecture(tmp_path / "empty.gguf")
