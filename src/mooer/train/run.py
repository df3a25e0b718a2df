"""A whole run: stages one after another, checkpoints, validation, and the models at the end.

A stage begins as a resumed run does: the model is built, what earlier stages trained is put into
it, and it is wrapped for the strategy. So there is one way in, and every test of it counts twice.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from accelerate import Accelerator
from torch import nn

from mooer.config import read_yaml, write_yaml
from mooer.decoding.generation import SearchOptions
from mooer.errors import ConfigError, ManifestError
from mooer.train import checkpoint, curves, journal, state
from mooer.train.checkpoint import Progress
from mooer.train.feed import Feed, Stream
from mooer.train.journal import Journal
from mooer.train.loop import StageLoop, StepResult
from mooer.train.losses import Goal, Objective
from mooer.train.parallel import Launch, accelerator_for, check_launch, prepare, recompute
from mooer.train.parameters import blocks, freeze, names_of, optimizer_groups, select
from mooer.train.recipe import AnyRecipe, Stage, differences
from mooer.train.validate import Score, ScoredSet, badness, validate

logger = logging.getLogger(__name__)

Mode = Literal["new", "resume", "restart"]


@dataclass(frozen=True)
class Parts:
    """What a recipe names, built: the network, its tokenizer and the data."""

    model: nn.Module
    tokenizer: Any
    encoder_width: int
    stream: Callable[[Any], Stream[Any]]  # of batches yet to be read, from a position or None
    load: Callable[[Stream[Any]], Iterator[tuple[Any, Any]]]  # reads them
    validation: tuple[ScoredSet, ...] = ()
    goal: Callable[[], Goal] | None = None  # None: that of a speech LLM
    score_set: Callable[..., dict[str, float]] = validate


class Report(Protocol):
    """Who is told how the run goes. Only the first process tells."""

    def step(self, stage: Stage, step: int, num_steps: int, result: StepResult) -> None:
        """After a step (counted from 1)."""
        ...

    def validation(self, name: str, step: int, values: dict[str, float]) -> None:
        """After a validation set was scored."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    step: int
    finished: bool  # False: it was asked to stop, and can go on
    best: float | None = None
    best_step: int | None = None


class Run:
    """One run in one folder."""

    def __init__(
        self,
        recipe: AnyRecipe,
        out: Path,
        *,
        build: Callable[[Any], Parts],
        score: Score,
        report: Report,
        launch: Launch = Launch(),  # noqa: B008 (frozen)
    ) -> None:
        check_launch(recipe.parallel, launch)
        self.recipe = recipe
        self.out = out
        self.checkpoints = out / "checkpoints"
        self.launch = launch
        self._build = build
        self._score = score
        self._report = report
        self._asked = False
        self._accelerator: Accelerator | None = None
        self._progress = Progress()

    @property
    def is_first(self) -> bool:
        """Whether this process writes."""
        return self.launch.rank == 0

    def start(self, mode: Mode = "new") -> Outcome:
        """Train until the end, or until SIGINT or SIGTERM, which saves first.

        ConfigError if the folder holds a run and `mode` is new, or the run was another one's.
        """
        begun = self._find(mode)
        self._progress = checkpoint.read_progress(begun) if begun else Progress()
        if self.is_first:
            self.out.mkdir(parents=True, exist_ok=True)
            write_yaml(self.recipe, self.out / "recipe.yaml")
        if self.recipe.parallel.num_threads is not None:
            torch.set_num_threads(self.recipe.parallel.num_threads)
        with self._signals(), self._journal() as rows:
            for index in range(self._progress.stage, len(self.recipe.stages)):
                begun = self._stage(index, begun, rows)
                if begun is None:
                    return self._outcome(finished=False)
        return self._outcome(finished=True)

    def _outcome(self, *, finished: bool) -> Outcome:
        progress = self._progress
        return Outcome(progress.step, finished, progress.best, progress.best_step)

    def _find(self, mode: Mode) -> Path | None:
        """The checkpoint to go on from."""
        some = checkpoint.all_in(self.checkpoints)
        if mode == "new" and some:
            raise ConfigError(
                f"{self.out} holds a run of {checkpoint.step_of(some[-1])} steps: go on with "
                "--resume, begin anew with --restart, or name another folder with --out"
            )
        if mode == "restart":
            if self.is_first:
                checkpoint.prune(self.checkpoints, set())
                (self.out / journal.FILE).unlink(missing_ok=True)
            return None
        found = checkpoint.newest(self.checkpoints)
        if found is None:
            if mode == "resume":
                logger.info("%s holds no whole checkpoint: beginning at step 0", self.out)
            return None
        changed = differences(read_yaml(type(self.recipe), found / "recipe.yaml"), self.recipe)
        if changed:
            raise ConfigError(
                f"{self.out} was begun with another {' and '.join(changed)}: put it back, or "
                "begin anew with --restart or another --out"
            )
        return found

    def _journal(self) -> Any:
        if not self.is_first:
            return _Silent()
        return Journal(self.out, after_step=self._progress.step)

    # --- one stage ------------------------------------------------------------------------------

    def _stage(self, index: int, begun: Path | None, rows: Any) -> Path | None:
        """Run a stage, or what is left of it. Its last checkpoint, or None if asked to stop."""
        stage = self.recipe.stages[index]
        if self._progress.stage != index:
            self._progress = replace(self._progress, stage=index, stage_step=0)
        elif self._progress.stage_step >= stage.steps:
            return begun
        active = self._activate(stage, index, begun)
        for number in range(self._progress.stage_step, stage.steps):
            result, waited_s = active.step(number, self._progress.step, stop=self._asked)
            position = active.position
            self._progress = replace(
                self._progress,
                step=self._progress.step + 1,
                stage_step=number + 1,
                data=position,
                num_processes=self.launch.world_size,
            )
            self._tell(stage, result, waited_s, rows)
            begun = self._after_step(active, stage, result.stop, rows) or begun
            if result.stop and number + 1 < stage.steps:
                active.close()
                return None
        active.close()
        return begun

    def _activate(self, stage: Stage, index: int, begun: Path | None) -> _Active:
        """The model of a stage, filled, frozen, wrapped, with its optimiser and its data."""
        torch.manual_seed(self.recipe.seed)
        parts = self._build(self.recipe)
        width = parts.encoder_width if any(s.ctc_weight for s in self.recipe.stages) else None
        objective: Goal
        if parts.goal is not None:
            objective = parts.goal()
        else:
            objective = Objective(parts.model, parts.tokenizer, ctc_width=width)
        known = names_of(objective)
        chosen = [select(known, one.train) for one in self.recipe.stages]  # all, before any step
        for one in self.recipe.stages:
            select(known, [group.pattern for group in one.groups])
        if begun:
            state.load_parameters(objective, checkpoint.read_tensors(begun / "trained.safetensors"))
        freeze(objective, chosen[index])
        touched = sorted(set().union(*chosen[: index + 1]))
        parallel = self.recipe.parallel
        repeated = blocks(objective)
        if self._accelerator is None:
            names = {type(block).__name__ for block in repeated}
            self._accelerator = accelerator_for(parallel, names)
        accelerator = self._accelerator
        accelerator.free_memory()
        if parallel.activation_checkpointing:
            recompute(repeated)
        groups = optimizer_groups(objective, stage.groups, stage.lr, stage.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=stage.lr, betas=stage.betas, eps=stage.eps)
        wrapped, own = prepare(accelerator, parallel, stage, objective, optimizer)
        if begun and self._progress.stage_step:
            moments = checkpoint.read_tensors(begun / "optimizer.safetensors")
            state.load_optimizer_state(objective, own, moments)
        feed = Feed(
            parts.stream(self._progress.data),
            parts.load,
            rank=self.launch.rank,
            num_processes=self.launch.world_size,
            accumulate=stage.accumulate,
        )
        loop = StageLoop(stage, parallel, accelerator, wrapped, own, seed=self.recipe.seed)
        return _Active(parts, objective, own, feed, loop, accelerator, touched)

    def _tell(self, stage: Stage, result: StepResult, waited_s: float, rows: Any) -> None:
        step = self._progress.step
        rows.add(
            {
                "step": step,
                "time": round(time.time(), 3),
                "stage": stage.name,
                "loss": result.loss,
                "accuracy": result.accuracy,
                **({} if result.ctc is None else {"ctc": result.ctc}),
                "lr": result.lr,
                "grad_norm": result.grad_norm,
                "tokens": result.num_tokens,
                "positions": result.num_positions,
                "places": result.num_places,
                "wait_s": round(waited_s, 4),
                "forward_s": round(result.forward_s, 4),
                "backward_s": round(result.backward_s, 4),
                "update_s": round(result.update_s, 4),
                "step_s": round(waited_s + result.compute_s, 4),
            }
        )
        if self.is_first:
            self._report.step(stage, step, self.recipe.num_steps, result)

    def _after_step(self, active: _Active, stage: Stage, stop: bool, rows: Any) -> Path | None:
        """Validate and save, where it is time to."""
        step, last = self._progress.step, self._progress.stage_step == stage.steps
        due = last or step % self.recipe.validation.every_steps == 0
        validated = bool(active.parts.validation) and due and not (stop and not last)
        if validated:
            self._validate(active, rows)
        if not (validated or last or stop or step % self.recipe.checkpoints.every_steps == 0):
            return None
        return self._save(active)

    # --- validation and checkpoints -------------------------------------------------------------

    def _validate(self, active: _Active, rows: Any) -> None:
        settings = self.recipe.validation
        options = SearchOptions(
            num_beams=settings.num_beams, max_new_tokens=settings.max_new_tokens
        )
        step = self._progress.step
        results = []
        for scored in active.parts.validation:
            values = active.parts.score_set(
                scored,
                active.objective,
                active.accelerator,
                active.parts.tokenizer,
                options,
                self._score,
            )
            results.append((scored, values))
            rows.add(
                {"step": step, "time": round(time.time(), 3), "validation": scored.name, **values}
            )
            if self.is_first:
                self._report.validation(scored.name, step, values)
        value = badness(results)
        scores = {**self._progress.scores, str(step): value}
        self._progress = replace(self._progress, scores=scores)
        if self._progress.best is None or value < self._progress.best:
            self._progress = replace(self._progress, best=value, best_step=step)
        if self.is_first:
            curves.draw(self.out)

    def _save(self, active: _Active) -> Path | None:
        """Write a checkpoint; every process gathers, the first writes."""
        step = self._progress.step
        trained = state.parameters(active.objective, active.touched)
        moments = state.optimizer_state(active.objective, active.optimizer)
        path = self.checkpoints / f"step-{step:08d}"
        if self.is_first:

            def fill(folder: Path) -> None:
                checkpoint.write_tensors(folder / "trained.safetensors", trained)
                checkpoint.write_tensors(folder / "optimizer.safetensors", moments)
                write_yaml(self.recipe, folder / "recipe.yaml")

            checkpoint.write(self.checkpoints, self._progress, fill)
            checkpoint.prune(self.checkpoints, self._kept())
        active.accelerator.wait_for_everyone()
        return path

    def _kept(self) -> set[int]:
        """Steps of the newest checkpoints and of the best, as many as will be averaged."""
        settings = self.recipe.checkpoints
        steps = [checkpoint.step_of(path) for path in checkpoint.all_in(self.checkpoints)]
        newest = settings.keep if self._progress.scores else max(settings.keep, settings.average)
        return {*steps[-newest:], *best_steps(self._progress, max(1, settings.average))}

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM ask the run to save and stop; the second one stops it at once."""

        def ask(number: int, frame: FrameType | None) -> None:
            if self._asked:
                raise KeyboardInterrupt
            self._asked = True
            logger.warning("saving after this step; once more stops at once, without saving")

        before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass
class _Active:
    """A stage that is being trained."""

    parts: Parts
    objective: Goal
    optimizer: torch.optim.Optimizer
    feed: Feed
    loop: StageLoop
    accelerator: Accelerator
    touched: list[str]  # parameters that this stage or one before it trained
    position: Any = None

    def step(self, number: int, step: int, *, stop: bool) -> tuple[StepResult, float]:
        """Take a step; how long it waited for data."""
        began = time.perf_counter()
        try:
            portion = next(self.feed)
        except StopIteration:
            raise ManifestError(f"the data ended at step {step}: nothing is left of it") from None
        waited_s = time.perf_counter() - began
        self.position = portion.state
        return self.loop.step(portion.batches, number, step, stop=stop), waited_s

    def close(self) -> None:
        """End the threads that read ahead."""
        self.feed.close()


class _Silent:
    """The journal of a process that does not write."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *args: object) -> None:
        return None

    def add(self, row: dict[str, Any]) -> None:
        """Drop it."""


def best_steps(progress: Progress, num: int) -> list[int]:
    """Steps of the best validations of this run, the best first; equal ones: the later."""
    ranked = sorted(progress.scores.items(), key=lambda item: (item[1], -int(item[0])))
    return [int(step) for step, _ in ranked[:num]]
