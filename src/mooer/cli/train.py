"""`mooer train`: a speech LLM, or heads on a frozen encoder, from a recipe."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mooer.errors import ConfigError

if TYPE_CHECKING:
    from mooer.train.loop import StepResult
    from mooer.train.recipe import AnyRecipe, Stage
    from mooer.train.run import Outcome

logger = logging.getLogger(__name__)

_EXIT_INTERRUPTED = 130


def train(
    ctx: typer.Context,
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="YAML, such as those in recipes/.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run; runs/ and the recipe's name by default.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in it.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget the run in it and begin anew.")
    ] = False,
) -> None:
    """Train what a recipe names; any --key.sub VALUE after the recipe overrides it.

    Example: mooer train recipes/tiny.yaml

    Example: mooer train my.yaml --stages.0.lr 5e-5 --parallel.precision bf16 --out runs/second

    Example: torchrun --nproc-per-node 8 -m mooer.cli.main train my.yaml --parallel.strategy fsdp

    Ctrl-C saves, says how to go on and exits with 130; so does SIGTERM, which Slurm sends.
    """
    settings = overrides(ctx.args)  # before anything slow is imported
    if resume and restart:
        raise ConfigError("--resume goes on with a run and --restart forgets it: choose one")
    from mooer.config import override, read_yaml
    from mooer.train.kinds import kind_of
    from mooer.train.parallel import launch_from
    from mooer.train.run import Run

    _quiet_transformers()
    kind = kind_of(recipe)
    chosen = override(read_yaml(kind.recipe, recipe), settings)
    folder = out or Path("runs") / recipe.stem
    launch = launch_from(os.environ)
    report = Report(enabled=launch.rank == 0)
    run = Run(chosen, folder, build=kind.build, score=score, report=report, launch=launch)
    with report:
        outcome = run.start("resume" if resume else "restart" if restart else "new")
    if not outcome.finished:
        if launch.rank == 0:
            command = [*_command(sys.argv, restart), *([] if resume else ["--resume"])]
            typer.echo(f"saved at step {outcome.step}; go on with: {shlex.join(command)}", err=True)
        raise typer.Exit(_EXIT_INTERRUPTED)
    if launch.rank == 0:
        _finish(chosen, folder, outcome, kind.export(chosen, folder))


app = typer.Typer(name="train")
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)


def _quiet_transformers() -> None:
    """Its bars of a millisecond each say nothing here."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def overrides(arguments: list[str]) -> list[str]:
    """`--a.b 4`, `--a.b=4` as `a.b=4`.

    >>> overrides(["--stages.0.lr", "1e-4", "--seed=3"])
    ['stages.0.lr=1e-4', 'seed=3']
    """
    settings = []
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            raise ConfigError(f"{word!r} is not expected: write --key.sub value")
        name, equals, value = word[2:].partition("=")
        if not equals:
            if not left:
                raise ConfigError(f"{word} has no value: write {word} value")
            value = left.pop(0)
        settings.append(f"{name}={value}")
    return settings


def score(metric: str, references: list[str], hypotheses: list[str], language: str | None) -> float:
    """A rate for wer, cer and mer; for bleu 0 to 100."""
    from mooer.evaluate import metrics

    if metric == "bleu":
        return metrics.bleu(hypotheses, [[text] for text in references], language or "en").value
    counts = {"wer": metrics.wer, "cer": metrics.cer, "mer": metrics.mer}[metric](
        references, hypotheses, language
    )
    return counts.rate or 0.0


class Report:
    """A bar with the time left on a terminal, plain lines elsewhere."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._began_s: float | None = None
        self._first = 0
        self._bar: Any = None
        self._task: Any = None
        self._told_s = 0.0

    def __enter__(self) -> Report:
        if self._enabled and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[news]}"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *args: object) -> None:
        if self._bar:
            self._bar.stop()

    def step(self, stage: Stage, step: int, num_steps: int, result: StepResult) -> None:
        """After a step."""
        now = time.monotonic()
        if self._began_s is None:
            self._began_s, self._first = now, step  # the first step is slower than the others
        elapsed_s = max(1e-6, now - self._began_s)
        rate_s = elapsed_s / max(1, step - self._first)
        left = f"{rate_s * (num_steps - step):.0f} s left" if step > self._first else "begun"
        news = f"lr {result.lr:.1e}"
        if result.ctc is not None:
            news = f"ctc {result.ctc:.3f}  {news}"
        if stage.answer_weight:
            news = f"loss {result.loss:.3f}  right {result.accuracy:.0%}  {news}"
        if self._bar:
            if self._task is None:
                self._task = self._bar.add_task(stage.name, total=num_steps, news="")
            self._bar.update(self._task, completed=step, description=stage.name, news=news)
        elif now - self._told_s >= 10 or step == num_steps:
            self._told_s = now
            logger.info("%s %d/%d: %s, %s", stage.name, step, num_steps, news, left)

    def validation(self, name: str, step: int, values: dict[str, float]) -> None:
        """After a validation."""
        shown = ", ".join(_shown(key, value) for key, value in values.items())
        logger.info("step %d, %s: %s", step, name, shown)


def _shown(name: str, value: float) -> str:
    return (
        f"{name} {value:.2%}"
        if name in {"wer", "cer", "mer", "accuracy"}
        else f"{name} {value:.3f}"
    )


def _command(words: list[str], restart: bool) -> list[str]:
    """The command that was given, to be given again."""
    program = "mooer" if Path(words[0]).name in {"mooer", "main.py"} else words[0]
    return [program, *(word for word in words[1:] if not (restart and word == "--restart"))]


def _finish(recipe: AnyRecipe, folder: Path, outcome: Outcome, models: list[Path]) -> None:
    """Draw, and say where everything is. Results go to standard output."""
    from mooer.train import curves, journal

    curves.draw(folder)
    if recipe.tensorboard:
        journal.write_tensorboard(folder)
    if outcome.best is not None:
        typer.echo(f"best: {outcome.best:.4f} at step {outcome.best_step}", err=True)
    for path in models:
        typer.echo(str(path))
