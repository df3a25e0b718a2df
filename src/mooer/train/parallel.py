"""How a recipe's one word for parallelism becomes what accelerate, FSDP2 and DeepSpeed take."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import FullyShardedDataParallelPlugin
from torch import Tensor, nn

from mooer.errors import ConfigError, MissingExtra
from mooer.train.recipe import Parallel, Stage

logger = logging.getLogger(__name__)

_MIXED = {"float32": "no", "bf16": "bf16"}


@dataclass(frozen=True)
class Launch:
    """What torchrun tells each process; without it there is one."""

    world_size: int = 1
    rank: int = 0
    local_rank: int = 0


def check_launch(parallel: Parallel, launch: Launch) -> None:
    """ConfigError if strategy, device and number of processes do not go together."""
    if launch.world_size > 1 and parallel.strategy == "none":
        raise ConfigError(
            f"parallel.strategy is none, but {launch.world_size} processes were started: "
            "choose ddp, fsdp, zero2 or zero3"
        )
    if (parallel.strategy == "fsdp" or parallel.is_zero) and launch.world_size < 2:
        raise ConfigError(
            f"parallel.strategy {parallel.strategy} spreads the model over processes, but there "
            "is one: start it by torchrun --nproc-per-node 2 -m mooer.cli.main train …"
        )
    device = parallel.device
    if device not in ("auto", "cpu") and not _has(device):
        seen = [name for name in ("cuda", "mps", "musa", "npu", "xpu") if _has(name)]
        raise ConfigError(
            f"parallel.device is {device}, but torch {torch.__version__} sees "
            f"{', '.join(seen) or 'no accelerator'} here: install torch for {device}, or use auto"
        )


def _has(device: str) -> bool:
    """Whether torch has this device; `torch_musa` and `torch_npu` add theirs when imported."""
    for module in (f"torch_{device}",) if device in ("musa", "npu") else ():
        try:
            __import__(module)
        except ImportError:
            return False
    found = getattr(torch, device, None)
    return found is not None and bool(found.is_available())


def accelerator_for(parallel: Parallel, block_names: Iterable[str]) -> Accelerator:
    """The accelerator of a strategy; `block_names` are the classes of the repeated layers."""
    fsdp = None
    if parallel.strategy == "fsdp":
        fsdp = FullyShardedDataParallelPlugin(**fsdp_options(parallel, block_names))
    accelerator = Accelerator(
        cpu=parallel.device == "cpu",
        mixed_precision=_MIXED[parallel.precision],
        fsdp_plugin=fsdp,
    )
    if parallel.precision == "bf16" and accelerator.device.type == "cpu" and not _multiplies_bf16():
        logger.warning(
            "this processor has no instructions for bfloat16, in which a step may take a hundred "
            "times as long: leave parallel.precision and model.llm.dtype at float32"
        )
    return accelerator


def _multiplies_bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def prepare(
    accelerator: Accelerator,
    parallel: Parallel,
    stage: Stage,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> tuple[Any, Any]:
    """The model as it is called in training, and the optimiser that knows its parameters.

    DeepSpeed is handed over to by us: accelerate has it on accelerators alone.
    """
    if not parallel.is_zero:
        wrapped, prepared = accelerator.prepare(model, optimizer)
        return wrapped, getattr(prepared, "optimizer", prepared)
    deepspeed = _deepspeed(parallel)
    engine, own, *_ = deepspeed.initialize(
        model=model.to(accelerator.device),
        optimizer=optimizer,
        config=deepspeed_config(parallel, stage),
        dist_init_required=False,
    )
    return engine, own


def _deepspeed(parallel: Parallel) -> Any:
    if parallel.device == "cpu":  # asked when it is imported; it would take a GPU that it finds
        os.environ["DS_ACCELERATOR"] = "cpu"
    try:
        import deepspeed
    except ImportError as error:
        raise MissingExtra("deepspeed", "deepspeed") from error
    if parallel.device == "cpu":  # gloo is enough: the other is compiled for minutes
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


def fsdp_options(parallel: Parallel, block_names: Iterable[str]) -> dict[str, Any]:
    """Arguments of accelerate's FSDP plugin: FSDP2, each repeated layer a unit of its own."""
    return {
        "fsdp_version": 2,
        "auto_wrap_policy": "transformer_based_wrap",
        "transformer_cls_names_to_wrap": sorted(set(block_names)),
        "reshard_after_forward": True,
        "cpu_ram_efficient_loading": False,
        "activation_checkpointing": False,  # done before, the same for all strategies
    }


def deepspeed_config(parallel: Parallel, stage: Stage) -> dict[str, Any]:
    """DeepSpeed's configuration for ZeRO-2 (optimiser and gradients shared out) and ZeRO-3 (all).

    The optimiser is torch's AdamW, made by us. Batch sizes vary, which DeepSpeed only uses for
    its log: 1 stands for them. Its own `bf16` would round what learns; torch's autocast leaves it
    in float32, and no module's gradients are exchanged in less.
    """
    zero: dict[str, Any] = {
        "stage": int(parallel.strategy[-1]),
        "overlap_comm": True,
        "contiguous_gradients": True,
        "reduce_scatter": True,
        "reduce_bucket_size": 5e8,
        "allgather_bucket_size": 5e8,
    }
    if zero["stage"] == 3:
        del zero["allgather_bucket_size"]
        zero |= {
            "stage3_prefetch_bucket_size": 5e7,
            "stage3_param_persistence_threshold": 1e5,
            "stage3_gather_16bit_weights_on_model_save": True,
        }
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": stage.accumulate,
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {
            "enabled": parallel.precision == "bf16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
        "steps_per_print": 1 << 30,
    }
    if stage.max_grad_norm is not None:
        config["gradient_clipping"] = stage.max_grad_norm
    return config


def loss_scale(parallel: Parallel, num_processes: int, accumulate: int) -> int:
    """What undoes the means that the strategy takes itself, so that sums remain sums.

    All take the mean over processes; DeepSpeed over the accumulated batches, too.
    """
    return num_processes * (accumulate if parallel.is_zero else 1)


def recompute(blocks: Iterable[nn.Module]) -> None:
    """Activation checkpointing: each block is run again in the backward pass instead of kept."""
    from torch.utils.checkpoint import checkpoint

    for block in blocks:
        forward = block.forward

        def again(*args: Any, _forward: Any = forward, **kwargs: Any) -> Any:
            if not torch.is_grad_enabled():
                return _forward(*args, **kwargs)
            return checkpoint(_forward, *args, use_reentrant=False, **kwargs)

        block.forward = again  # an attribute, so that names and classes stay as they are


def sums(values: list[float], accelerator: Accelerator) -> list[float]:
    """Each value summed over the processes, in float64."""
    if accelerator.num_processes == 1:
        return values
    on_mps = accelerator.device.type == "mps"
    dtype = torch.float32 if on_mps else torch.float64
    total: Tensor = accelerator.reduce(
        torch.tensor(values, dtype=dtype, device=accelerator.device), reduction="sum"
    )
    numbers: list[float] = total.tolist()
    return numbers


def launch_from(environment: Mapping[str, str]) -> Launch:
    """Read what torchrun set: WORLD_SIZE, RANK and LOCAL_RANK."""
    return Launch(
        int(environment.get("WORLD_SIZE", "1")),
        int(environment.get("RANK", "0")),
        int(environment.get("LOCAL_RANK", "0")),
    )
