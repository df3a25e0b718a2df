"""One step of training: batches to gradient to new parameters, the same however it is spread."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from mooer.errors import ManifestError, TrainError
from mooer.train.losses import Counts, Goal, Scales
from mooer.train.parallel import loss_scale, sums
from mooer.train.recipe import Parallel, Stage
from mooer.train.schedule import factor


@dataclass(frozen=True)
class StepResult:
    """What is known after a step, over all processes."""

    loss: float  # cross-entropy per learned token, natural log
    accuracy: float  # share of learned tokens said right
    ctc: float | None  # per unit
    lr: float
    grad_norm: float
    num_tokens: int  # learned
    num_positions: int  # ids, padding left out
    num_places: int  # ids, padding included
    stop: bool  # a process was asked to stop
    compute_s: float
    forward_s: float
    backward_s: float
    update_s: float


class StageLoop:
    """Takes the steps of one stage."""

    def __init__(
        self,
        stage: Stage,
        parallel: Parallel,
        accelerator: Accelerator,
        wrapped: Any,
        optimizer: torch.optim.Optimizer,
        *,
        seed: int,
    ) -> None:
        self._stage = stage
        self._accelerator = accelerator
        self._wrapped = wrapped
        self._optimizer = optimizer
        self._objective: Goal = accelerator.unwrap_model(wrapped)
        self._scale = loss_scale(parallel, accelerator.num_processes, stage.accumulate)
        self._is_zero = parallel.is_zero
        self._seed = seed
        self._clock = _Clock()

    def step(self, batches: Sequence[Any], stage_step: int, step: int, *, stop: bool) -> StepResult:
        """Take step `step` (0, 1, …) of the run, which is `stage_step` of the stage.

        TrainError if loss or gradient is not finite: nothing is changed by that step.
        """
        self._clock = _Clock()
        seed_step(self._seed, step, self._accelerator.process_index)
        own = sum((self._objective.counts(batch) for batch in batches), Counts(0))
        positions = float(sum(int(batch.mask.sum()) for batch in batches))
        places = float(sum(batch.mask.numel() for batch in batches))
        totals = [float(own.tokens), float(own.ctc), positions, places, float(stop)]
        tokens, units, positions, places, asked = sums(totals, self._accelerator)
        if not tokens and not (units and self._stage.ctc_weight):
            raise ManifestError(f"the answers of step {step} hold no token to learn: look at them")
        rate = self._set_rate(stage_step)
        entropy, correct, ctc = self._gradient(batches, tokens, units)
        norm = self._clip()
        _refuse_nan(step, entropy + ctc, norm)
        self._update()
        return StepResult(
            loss=entropy / max(1.0, tokens),
            accuracy=correct / max(1.0, tokens),
            ctc=ctc / units if units else None,
            lr=rate,
            grad_norm=norm,
            num_tokens=round(tokens),
            num_positions=round(positions),
            num_places=round(places),
            stop=asked > 0,
            compute_s=self._clock.total_s,
            forward_s=self._clock.seconds["forward"],
            backward_s=self._clock.seconds["backward"],
            update_s=self._clock.seconds["update"],
        )

    def _set_rate(self, stage_step: int) -> float:
        scale = factor(self._stage.schedule, stage_step, self._stage.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = group["base_lr"] * scale
        return self._stage.lr * scale

    def _gradient(
        self, batches: Sequence[Any], tokens: float, units: float
    ) -> tuple[float, float, float]:
        """Gradients, and over all processes the sums of cross-entropy, hits and CTC."""
        scales = Scales(
            self._scale * self._stage.answer_weight / tokens if tokens else 0.0,
            self._scale * self._stage.ctc_weight / units if units else 0.0,
        )
        accelerator, device = self._accelerator, self._accelerator.device
        own = torch.zeros(3, device=device)
        for place, batch in enumerate(batches):
            last = place == len(batches) - 1
            with nullcontext() if last or self._is_zero else accelerator.no_sync(self._wrapped):
                loss, *parts = self._wrapped(batch.to(device), scales)
                self._clock.lap("forward")
                self._backward(loss, last=last)
                self._clock.lap("backward")
            own += torch.stack([part.float() for part in parts])
        entropy, correct, ctc = sums(own.tolist(), self._accelerator)
        return entropy, correct, ctc

    def _backward(self, loss: Tensor, *, last: bool) -> None:
        if self._is_zero:
            self._wrapped.set_gradient_accumulation_boundary(is_boundary=last)
            self._wrapped.backward(loss)
        else:
            self._accelerator.backward(loss)

    def _clip(self) -> float:
        """Norm of the gradient before it is clipped.

        DeepSpeed tells it when it has clipped and updated, which it does only if it is finite.
        """
        if self._is_zero:
            self._wrapped.step()
            return float(self._wrapped.get_global_grad_norm())
        most = self._stage.max_grad_norm
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        norm: Any = torch.nn.utils.clip_grad_norm_(parameters, math.inf if most is None else most)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def _update(self) -> None:
        if not self._is_zero:
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        self._clock.lap("update")


class _Clock:
    """Seconds by what they were spent on. Exact on the CPU, where nothing runs behind."""

    def __init__(self) -> None:
        self._began = self._last = time.perf_counter()
        self.seconds = {"forward": 0.0, "backward": 0.0, "update": 0.0}

    @property
    def total_s(self) -> float:
        return time.perf_counter() - self._began

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] += now - self._last
        self._last = now


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make all random numbers of a step a function of the step.

    So a resumed run draws what the other would have drawn, whatever was drawn in between.
    """
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest, "big") >> 1
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % (1 << 32))


def _refuse_nan(step: int, loss: float, norm: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise TrainError(
            f"loss {loss} and gradient norm {norm} at step {step}: the parameters were left as "
            "they were before it; go on from the last checkpoint with a smaller lr, a longer "
            "warmup or a smaller max_grad_norm, and look for silent or damaged recordings"
        )
