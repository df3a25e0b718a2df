"""Many inputs in one command: what is done is skipped, what fails does not stop the rest."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from mooer.cli.output import Output
from mooer.data.manifest import Item, inputs
from mooer.errors import ConfigError, MooerError, OutputError, StoreError
from mooer.memory import share_freed_memory
from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

Job = Callable[[Item], Transcript]
Outcome = Transcript | MooerError


@dataclass(frozen=True)
class Together:
    """A job that takes all inputs at once, and gives a result or an error for each, in order."""

    alone: Job  # for one input
    run: Callable[[Sequence[Item]], Iterator[Outcome]]


def run_batch(
    arguments: Sequence[str], output: Output, start: Callable[[], Job | Together]
) -> None:
    """Give every input to the job that `start` makes, and its result to `output`.

    One bad input is told when it happens and again at the end, with exit code 1. What would fail
    for all inputs alike (weights, options, a full disk) ends the run at once.
    """
    items = inputs(arguments)
    output.prepare()
    waiting = [item for item in items if not output.is_done(item)]
    if num_done := len(items) - len(waiting):
        logger.info("%d of %d are there already (--force does them again)", num_done, len(items))
    if not waiting:
        return
    check_first(waiting)
    share_freed_memory()
    many = len(items) > 1
    failures: list[tuple[Item, str]] = []
    job = start()
    if isinstance(job, Together) and len(waiting) == 1:
        job = job.alone
    for item, outcome in _outcomes(job, waiting, titled=many and output.streams):
        if isinstance(outcome, MooerError):
            if not many:
                raise outcome
            failures.append((item, str(outcome)))
            logger.error("%s: %s", item.id, outcome)
            continue
        for warning in outcome.warnings:
            logger.warning("%s: %s", item.id, warning)
        if not any(segment.text for segment in outcome.segments):
            logger.info("%s: no speech was found", item.id)
        output.write(item, outcome, many=many, told=not isinstance(job, Together))
    tell_failures(failures, len(waiting))


def tell_failures(failures: Sequence[tuple[Item, str]], num_inputs: int) -> None:
    """Say once more, at the end, what failed and why, and leave with exit code 1; if anything."""
    if not failures:
        return
    logger.error("%d of %d inputs failed:", len(failures), num_inputs)
    for item, reason in failures:
        logger.error("  %s: %s", item.path, reason)
    raise typer.Exit(1)


def _outcomes(
    job: Job | Together, items: Sequence[Item], *, titled: bool
) -> Iterator[tuple[Item, Outcome]]:
    """Each item with what came of it; with a title before it, where segments are printed."""

    def title(item: Item) -> None:
        if titled:
            print(f"== {item.id}", flush=True)  # noqa: T201 (which input the lines are of)

    if isinstance(job, Together):
        for item, outcome in zip(items, job.run(items), strict=True):
            title(item)
            yield item, outcome
        return
    for item in items:
        title(item)
        try:
            outcome = job(item)
        except (ConfigError, OutputError, StoreError):
            raise
        except MooerError as error:
            outcome = error
        yield item, outcome


def check_first(items: Sequence[Item]) -> None:
    """If not one of the inputs exists, say so before weights are fetched and loaded."""
    missing = [item for item in items if item.path != "-" and not Path(item.path).exists()]
    if len(missing) == len(items):
        names = ", ".join(repr(item.path) for item in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise ConfigError(f"no such file: {names}{more}; check the path")


def from_terminal(item: Item) -> str:
    """The path of an item as a source; a person who types into standard input is warned."""
    if item.path == "-" and sys.stdin.isatty():
        logger.info("reading audio from standard input: pipe a file into it, or press ctrl-C")
    return item.path
