"""Many inputs in one command: what is done is skipped, what fails does not stop the rest."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import typer

from mooer.cli.output import Output
from mooer.data.manifest import Item, inputs
from mooer.errors import ConfigError, MooerError, OutputError, StoreError
from mooer.transcript import Transcript

logger = logging.getLogger(__name__)

Job = Callable[[Item], Transcript]
_M_ARENA_MAX = -8  # malloc.h


def run_batch(arguments: Sequence[str], output: Output, start: Callable[[], Job]) -> None:
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
    _check_first(waiting)
    _share_freed_memory()
    job = start()
    failures: list[tuple[Item, str]] = []
    many = len(items) > 1
    for item in waiting:
        if many and output.streams:
            print(f"== {item.id}", flush=True)  # noqa: T201 (which input the lines are of)
        try:
            transcript = job(item)
            for warning in transcript.warnings:
                logger.warning("%s: %s", item.id, warning)
            if not transcript.segments:
                logger.info("%s: no speech was found", item.id)
            output.write(item, transcript, many=many)
        except (ConfigError, OutputError, StoreError):
            raise
        except MooerError as error:
            if not many:
                raise
            failures.append((item, str(error)))
            logger.error("%s: %s", item.id, error)
    if failures:
        logger.error("%d of %d inputs failed:", len(failures), len(waiting))
        for item, reason in failures:
            logger.error("  %s: %s", item.path, reason)
        raise typer.Exit(1)


def _check_first(items: Sequence[Item]) -> None:
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


def _share_freed_memory() -> None:
    """One heap for all threads: with one each, glibc keeps for every worker what it has freed."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
