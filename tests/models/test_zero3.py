"""ZeRO-3's shards: as DeepSpeed merges them, or refused with a reason.

The golden folder was written by two processes of DeepSpeed 0.19.8 (tools/golden_zero3.py).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.models import folders

from mooer.errors import ModelError
from mooer.models.released import ReleasedOptions, inspect, load_released
from mooer.models.released.zero3 import read_zero3

GOLDEN = Path(__file__).parents[1] / "golden" / "zero3"
FIRST = "zero_pp_rank_0_mp_rank_00_model_states.pt"
OPTIM = "zero_pp_rank_1_mp_rank_00_optim_states.pt"


@pytest.fixture
def step(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN / "global_step3", tmp_path / "global_step3"))


def test_shards_are_what_zero_to_fp32_makes_of_them() -> None:
    found, wanted = read_zero3(GOLDEN / "global_step3"), load_file(GOLDEN / "merged.safetensors")
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


def test_frozen_ones_that_are_not_wanted_are_shapes() -> None:
    found = read_zero3(GOLDEN / "global_step3", lambda name: name == "encoder.0.weight")
    assert found["encoder.0.weight"].is_meta
    assert found["encoder.0.weight"].shape == (7, 3)
    assert not found["encoder.0.bias"].is_meta


def test_a_file_too_few(step: Path) -> None:
    (step / OPTIM).unlink()
    with pytest.raises(ModelError, match="2 files of model states and 1 of optimiser"):
        read_zero3(step)
    (step / FIRST).unlink()
    with pytest.raises(ModelError, match="lacks the model states of process 0"):
        read_zero3(step)


def test_shards_of_another_step(step: Path) -> None:
    content = torch.load(step / FIRST, weights_only=True)
    content["param_shapes"][0]["encoder_projector.linear1.weight"] = torch.Size([11, 8])
    torch.save(content, step / FIRST)
    with pytest.raises(ModelError, match="holds 92 numbers where the shapes take 97"):
        read_zero3(step)


def test_a_frozen_share_too_few(step: Path) -> None:
    content = torch.load(step / FIRST, weights_only=True)
    del content["frozen_param_fragments"]["encoder.0.bias"]
    torch.save(content, step / FIRST)
    with pytest.raises(ModelError, match=r"lacks shares of the frozen encoder\.0\.bias"):
        read_zero3(step)


class Code:
    def __reduce__(self):
        return (os.system, ("false",))


def test_code_is_refused_by_name(step: Path) -> None:
    torch.save({"optimizer_state_dict": Code()}, step / OPTIM)
    with pytest.raises(ModelError, match=r"asks for \w+\.system to be run"):
        read_zero3(step)


def test_tensor_parallel_ranks_are_refused(step: Path) -> None:
    (step / FIRST).rename(step / "zero_pp_rank_0_mp_rank_01_model_states.pt")
    with pytest.raises(ModelError, match="tensor-parallel ranks"):
        read_zero3(step)


def test_a_task_of_mooer_in_shards(tmp_path: Path) -> None:
    root = tmp_path / "pretrained_models"
    folders.save_mooer(root, ("asr",))
    folders.save_zero3(root / "mine")
    ids = torch.tensor([[5, 6, 7, 200]])
    expected = load_released(root, ReleasedOptions(task="asr", check_md5=False)).llm(ids).logits
    options = ReleasedOptions(task="mine", check_md5=False, lora_alpha=16.0)
    assert torch.equal(load_released(root, options).llm(ids).logits, expected)
    report = inspect(root / "mine", lora_alpha=16.0, check_md5=False)
    assert report.usable, report
    assert "global_step7, ZeRO-3 in shards of 2 processes" in report.kind
    assert "1 tensors of the LLM itself are not read" in report.notes
