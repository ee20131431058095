"""How long to train: a budget becomes a fixed number of steps before the first one.

The number is recorded, so that the same training can be repeated to the bit with `--steps`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from rondeau.config import TrainConfig
from rondeau.training.group import Group

DEFAULT_MINUTES = 10.0
DEFAULT_EPOCHS = 30
FEWEST_DEFAULT_STEPS = 600
MEASURED_SECONDS = 2.0
EVALUATIONS = 20
"""Looks at the validation split in a training."""


def fixed_steps(config: TrainConfig, steps_per_epoch: float) -> int | None:
    """The number of steps, where the settings determine it without a clock."""
    if config.steps is not None:
        return config.steps
    if config.epochs is not None:
        return max(1, round(config.epochs * steps_per_epoch))
    return None


def steps_in_time(
    config: TrainConfig, steps_per_epoch: float, seconds_per_step: float, seconds_per_look: float
) -> int:
    """How many steps fit in `--minutes`, or in the default of 10 minutes and 30 epochs.

    seconds_per_look: one look at the validation split, of which there will be 20, and one at all
    splits at the end, about as long as three.
    """
    minutes = config.minutes or DEFAULT_MINUTES
    seconds = minutes * 60 - (EVALUATIONS + 3) * seconds_per_look
    steps = max(1, int(max(seconds, minutes * 30) / seconds_per_step))
    if config.minutes is None:
        steps = min(steps, max(FEWEST_DEFAULT_STEPS, round(DEFAULT_EPOCHS * steps_per_epoch)))
    return steps


def seconds_per_step(run_step: Callable[[int], None], group: Group) -> float:
    """The median of some steps, as long as the first process's clock says, and by it."""
    run_step(0)
    clock = end = time.perf_counter()
    seconds: list[float] = []
    while group.tell(b"on" if end < clock + MEASURED_SECONDS else b""):
        start = time.perf_counter()
        run_step(len(seconds) + 1)
        end = time.perf_counter()
        seconds.append(end - start)
    return float(group.tell(repr(statistics.median(seconds)).encode()))
