"""What the checkpoints of a run make: tensors of last, best and average, and whole folders."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from mooer.errors import OutputError
from mooer.train import checkpoint
from mooer.train.run import best_steps

logger = logging.getLogger(__name__)

Tensors = dict[str, Tensor]


def products(out: Path, num_average: int) -> dict[str, Tensors]:
    """What learned, by `last`, by `best` if anything was scored, and by `average`.

    The average is of the best `num_average` that hold the same tensors as the last; of the newest
    if nothing was scored. OutputError if there is no checkpoint.
    """
    folder = out / "checkpoints"
    last = checkpoint.newest(folder)
    if last is None:
        raise OutputError(f"{out} holds no whole checkpoint: train first")
    progress = checkpoint.read_progress(last)
    found = {"last": _trained(last)}
    whole = [path for path in checkpoint.all_in(folder) if path <= last]
    paths = {checkpoint.step_of(path): path for path in whole}
    ranked = [paths[step] for step in best_steps(progress, len(progress.scores)) if step in paths]
    if ranked:
        found["best"] = _trained(ranked[0])
    ranked = ranked or whole[::-1]
    same = [path for path in ranked if set(_trained(path)) == set(found["last"])][:num_average]
    if len(same) > 1:
        found["average"] = checkpoint.average(same)
        logger.info("average: steps %s", ", ".join(str(checkpoint.step_of(p)) for p in same))
    return found


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of `target` when all went well."""
    partial = target.with_name(f".{target.name}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        yield partial
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def _trained(path: Path) -> Tensors:
    return checkpoint.read_tensors(path / "trained.safetensors")
