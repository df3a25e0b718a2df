"""One word of a recipe to the values that FSDP2 and DeepSpeed are handed."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState
from tests.train.stand import StandIn, collate, utterance

from mooer.errors import ConfigError
from mooer.train.parallel import (
    Launch,
    accelerator_for,
    check_launch,
    deepspeed_config,
    fsdp_options,
    launch_from,
    loss_scale,
    recompute,
)
from mooer.train.parameters import blocks
from mooer.train.recipe import Parallel, Stage

STAGE = Stage("one", ("adapter",), 10, accumulate=4, max_grad_norm=0.5)


def test_zero2() -> None:
    config = deepspeed_config(Parallel("zero2", precision="bf16"), STAGE)
    assert config == {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 4,
        "gradient_clipping": 0.5,
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {
            "enabled": True,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
        "steps_per_print": 1 << 30,
        "zero_optimization": {
            "stage": 2,
            "overlap_comm": True,
            "contiguous_gradients": True,
            "reduce_scatter": True,
            "reduce_bucket_size": 5e8,
            "allgather_bucket_size": 5e8,
        },
    }


def test_zero3_shares_out_the_parameters_too() -> None:
    zero = deepspeed_config(Parallel("zero3"), STAGE)["zero_optimization"]
    assert zero["stage"] == 3
    assert zero["stage3_gather_16bit_weights_on_model_save"] is True
    assert "allgather_bucket_size" not in zero


def test_fsdp_is_the_second_and_wraps_each_block() -> None:
    options = fsdp_options(Parallel("fsdp"), ["Block", "Layer", "Block"])
    assert options["fsdp_version"] == 2
    assert options["transformer_cls_names_to_wrap"] == ["Block", "Layer"]


def test_the_means_of_each_strategy_are_undone() -> None:
    assert loss_scale(Parallel("ddp"), 8, 4) == 8
    assert loss_scale(Parallel("zero3"), 8, 4) == 32


@pytest.mark.parametrize(
    ("parallel", "num", "message"),
    [
        (Parallel("none"), 2, "2 processes were started"),
        (Parallel("fsdp"), 1, "start it by torchrun"),
        (Parallel("ddp", device="musa"), 2, "parallel.device is musa, but torch"),
        (Parallel("none", device="cuda"), 1, "use auto"),
    ],
)
def test_what_does_not_go_together(
    parallel: Parallel, num: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message):
        check_launch(parallel, Launch(num))


def test_launch_is_read_from_torchrun() -> None:
    assert launch_from({}) == Launch(1, 0, 0)
    assert launch_from({"WORLD_SIZE": "16", "RANK": "9", "LOCAL_RANK": "1"}) == Launch(16, 9, 1)


def test_recomputing_changes_no_gradient_and_no_name() -> None:
    batch = collate([utterance(i) for i in range(3)])
    plain, again = StandIn().train(), StandIn().train()
    recompute(blocks(again))
    for model in (plain, again):
        model(batch).loss.backward()
    names = [name for name, _ in again.named_parameters()]
    assert names == [name for name, _ in plain.named_parameters()]
    for one, other in zip(plain.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=0)


def test_bf16_on_a_processor_without_it_is_warned_of(monkeypatch, caplog) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr("mooer.train.parallel._multiplies_bf16", lambda: False)
    accelerator_for(Parallel(device="cpu", precision="bf16"), [])
    AcceleratorState._reset_state(reset_partial_state=True)
    [record] = caplog.records
    assert "no instructions for bfloat16" in record.message
    monkeypatch.setattr("mooer.train.parallel._multiplies_bf16", lambda: True)
    accelerator_for(Parallel(device="cpu", precision="bf16"), [])
    AcceleratorState._reset_state(reset_partial_state=True)
    assert len(caplog.records) == 1
