"""Learning rate as a function of the step: nothing to save, nothing to get out of step."""

from __future__ import annotations

import math

from mooer.train.recipe import Schedule


def factor(schedule: Schedule, step: int, num_steps: int) -> float:
    """What the learning rate of step 0, 1, … is multiplied by.

    It rises linearly over `warmup_steps`, then falls to `final` at the last step; `warmup_decay`
    is DeepSpeed's WarmupDecayLR, which the released MooER used: a rise by the logarithm.

    >>> [factor(Schedule("linear", warmup_steps=2), i, 6) for i in range(6)]
    [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
    """
    warmup = schedule.warmup_steps
    if step < warmup:
        if schedule.name == "warmup_decay":
            return math.log(step + 1) / math.log(max(2, warmup))
        return (step + 1) / warmup
    if schedule.name == "constant":
        return 1.0
    done = (step - warmup) / max(1, num_steps - warmup)
    left = 0.5 * (1 + math.cos(math.pi * done)) if schedule.name == "cosine" else 1 - done
    return schedule.final + (1 - schedule.final) * left
