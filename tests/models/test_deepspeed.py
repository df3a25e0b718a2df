"""DeepSpeed's folders in place of a task's: read exactly, and refused with a reason."""

from __future__ import annotations

import shutil

import pytest
import torch
from tests.models import folders

from mooer.errors import ModelError
from mooer.models.released import ReleasedOptions, inspect, load_released

IDS = torch.tensor([[5, 6, 7, 200]])
ANY = ReleasedOptions(check_md5=False)


@pytest.fixture
def root(tmp_path):
    folders.save_mooer(tmp_path / "pretrained_models", ("asr",))
    return tmp_path / "pretrained_models"


def options(task, **others):
    return ReleasedOptions(task=task, check_md5=False, **others)


def test_deepspeed_under_zero2(root, tmp_path):
    mine = tmp_path / "mine"
    folders.save_deepspeed(mine)
    beside = {
        "llm": str(root / "Qwen2-7B-Instruct"),
        "encoder": str(root / "paraformer_encoder"),
    }
    with pytest.raises(ModelError, match=r"does not say LoRA's alpha.*MooER trains with 16"):
        load_released(mine, options(None, **beside))
    expected = load_released(root, options("asr")).llm(IDS).logits
    for folder in (mine, mine / "global_step7"):
        model = load_released(folder, options(None, lora_alpha=16.0, **beside))
        assert torch.equal(model.llm(IDS).logits, expected)
        assert torch.equal(model.adapter.linear1.weight, folders.random_adapter().linear1.weight)
    shutil.copytree(mine, root / "mine")
    model = load_released(root, options("mine", lora_alpha=16.0))
    assert torch.equal(model.llm(IDS).logits, expected)
    report = inspect(root / "mine", lora_alpha=16.0, check_md5=False)
    assert report.usable, report
    assert report.kind.startswith("DeepSpeed's checkpoint")


def test_what_zero_to_fp32_makes_is_read(root, tmp_path):
    folders.save_deepspeed(tmp_path / "ds")
    step = tmp_path / "ds" / "global_step7" / "mp_rank_00_model_states.pt"
    (root / "merged").mkdir()
    module = torch.load(step, weights_only=True)["module"]
    torch.save(module, root / "merged" / "pytorch_model.bin")
    model = load_released(root, options("merged", lora_alpha=16.0))
    expected = load_released(root, options("asr")).llm(IDS).logits
    assert torch.equal(model.llm(IDS).logits, expected)


def test_an_encoder_that_was_trained_too_comes_first(root):
    folders.save_deepspeed(root / "mine")
    step = root / "mine" / "global_step7" / "mp_rank_00_model_states.pt"
    states = torch.load(step, weights_only=True)
    trained = folders.random_encoder(seed=9).state_dict()
    states["module"].update({f"encoder.{name}": tensor for name, tensor in trained.items()})
    torch.save(states, step)
    model = load_released(root, options("mine", lora_alpha=16.0))
    assert torch.equal(model.encoder.after_norm.weight, trained["after_norm.weight"])
    assert torch.equal(model.encoder.encoders[0].norm1.weight, trained["encoders.0.norm1.weight"])
    del states["module"]["encoder.encoders.0.norm1.weight"]
    torch.save(states, step)
    with pytest.raises(ModelError, match=r"missing: 1, encoders\.0\.norm1\.weight"):
        load_released(root, options("mine", lora_alpha=16.0))


def test_deepspeed_that_cannot_be_read_says_why(tmp_path):
    folders.save_deepspeed(tmp_path / "ds")
    step = tmp_path / "ds" / "global_step7"
    states = step / "mp_rank_00_model_states.pt"
    shutil.copy(states, step / "mp_rank_01_model_states.pt")
    with pytest.raises(ModelError, match="holds 2 files of model states"):
        load_released(tmp_path / "ds", ANY)
    (step / "mp_rank_01_model_states.pt").unlink()
    shutil.copytree(step, tmp_path / "ds" / "global_step9")
    (tmp_path / "ds" / "latest").unlink()
    with pytest.raises(ModelError, match=r"several steps \(global_step7, global_step9\)"):
        load_released(tmp_path / "ds", ANY)
    (tmp_path / "ds" / "latest").write_text("global_step8")
    with pytest.raises(ModelError, match="names 'global_step8', which is not there"):
        load_released(tmp_path / "ds", ANY)
    (tmp_path / "ds" / "latest").write_text("global_step7")
    content = torch.load(states, weights_only=True)
    torch.save(content | {"module": {}}, states)
    with pytest.raises(ModelError, match="no weights under `module`"):
        load_released(tmp_path / "ds", ANY)


def test_a_wrapped_state_is_refused_with_its_prefix(root):
    folders.save_deepspeed(root / "mine")
    step = root / "mine" / "global_step7" / "mp_rank_00_model_states.pt"
    states = torch.load(step, weights_only=True)
    states["module"] = {f"module.{name}": tensor for name, tensor in states["module"].items()}
    torch.save(states, step)
    with pytest.raises(ModelError, match=r"begin with 'module.', which is not wanted there"):
        load_released(root, options("mine", lora_alpha=16.0))
