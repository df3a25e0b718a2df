"""Shards of ZeRO-3 as DeepSpeed writes them, and what its zero_to_fp32 makes of them.

    DS_ACCELERATOR=cpu torchrun --nproc-per-node 2 tools/golden_zero3.py tests/golden/zero3

Needs `pip install deepspeed` (written by 0.19.8). A small MooER: an adapter that learns, LoRA in a
group of its own, and an encoder that is frozen. Sizes are odd, so that the shares are padded.
"""

from __future__ import annotations

import sys
from pathlib import Path

import deepspeed
import torch
from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
from safetensors.torch import save_file
from torch import Tensor, nn


class Lora(nn.Module):
    """Adds a product of low rank."""

    def __init__(self) -> None:
        super().__init__()
        self.lora_A = nn.ModuleDict({"default": nn.Linear(5, 3, bias=False)})
        self.lora_B = nn.ModuleDict({"default": nn.Linear(3, 5, bias=False)})

    def forward(self, x: Tensor) -> Tensor:
        """Of numbers [B, D]."""
        return x + self.lora_B["default"](self.lora_A["default"](x))


class Small(nn.Module):
    """A frozen encoder, an adapter and LoRA, under the names of MooER."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 7), nn.BatchNorm1d(7))
        self.encoder_projector = nn.ModuleDict(
            {"linear1": nn.Linear(7, 11), "linear2": nn.Linear(11, 5)}
        )
        self.llm = Lora()
        self.encoder.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Of numbers [B, D]."""
        for layer in self.encoder_projector.values():
            x = layer(self.encoder(x) if x.shape[-1] == 3 else x)
        return self.llm(x).square().mean()


def main(out: Path) -> None:
    """Train three steps, save, merge."""
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # gloo will do
    torch.manual_seed(0)
    model = Small()
    groups = [
        {"params": list(model.encoder_projector.parameters())},
        {"params": list(model.llm.parameters()), "lr": 3e-3},
    ]
    config = {
        "train_micro_batch_size_per_gpu": 1,
        "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": 20},
        "zero_allow_untested_optimizer": True,
    }
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=torch.optim.AdamW(groups, lr=1e-2), config=config
    )
    for _ in range(3):
        engine.backward(engine(torch.randn(4, 3)))
        engine.step()
    engine.save_checkpoint(str(out))
    torch.distributed.barrier()
    if engine.global_rank == 0:
        merged = get_fp32_state_dict_from_zero_checkpoint(str(out))
        save_file({k: v.contiguous() for k, v in merged.items()}, out / "merged.safetensors")
        for script in out.glob("*.py"):
            script.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
