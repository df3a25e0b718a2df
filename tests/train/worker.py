"""A training run in a process of its own, so that it can be killed: python worker.py JSON."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.train.stand import Silent, build, recipe, score

from mooer.config import from_mapping, to_mapping
from mooer.errors import MooerError
from mooer.train import checkpoint
from mooer.train.parallel import launch_from
from mooer.train.recipe import Recipe
from mooer.train.run import Run


class Killing(Silent):
    """Ends its own process by a signal right after a step."""

    def __init__(self, at: int | None, number: int) -> None:
        super().__init__()
        self.at, self.number = at, number

    def step(self, stage: Any, step: int, num_steps: int, result: Any) -> None:
        if step == self.at:
            os.kill(os.getpid(), self.number)


def main() -> None:
    order = json.loads(sys.argv[1])
    torch.set_num_threads(1)
    mapping = to_mapping(recipe())
    mapping.update(order["recipe"])
    if order.get("kill_in_write"):
        write = checkpoint.write_tensors

        def half(path: Path, tensors: Any) -> None:
            write(path, tensors)
            if f"-{order['kill_in_write']:08d}" in path.parent.name:
                path.write_bytes(path.read_bytes()[:100])
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.write_tensors = half
    report = Killing(order.get("kill_at"), getattr(signal, order.get("signal", "SIGKILL")))
    run = Run(
        from_mapping(Recipe, mapping),
        Path(order["out"]),
        build=build,
        score=score,
        report=report,
        launch=launch_from(os.environ),
    )
    try:
        outcome = run.start(order.get("mode", "new"))
    except MooerError as error:
        sys.exit(str(error))
    print(json.dumps({"step": outcome.step, "finished": outcome.finished}))  # noqa: T201


if __name__ == "__main__":
    main()
