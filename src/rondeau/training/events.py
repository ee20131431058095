"""What a training tells while it goes on: plain records, for a terminal, a test or a notebook."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

Measure = Literal["perplexity", "pseudo-perplexity", "leaked loss"]
"""What a held-out loss is: e to the loss is a perplexity, a cloze model's, or means nothing."""


@dataclass(frozen=True)
class HeldOut:
    """A look at the validation split: mean loss in nats a target, on `targets` targets.

    `samples`: texts the model wrote at this point.
    """

    loss: float
    targets: int
    best: bool
    measure: Measure
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Event:
    """Progress after `step` of `steps` steps.

    tokens: read so far; loss: mean in nats since the event before; gradient_norm: of the last step,
    before clipping; tokens_per_second and seconds: of training alone, without looks; note: a
    sentence for the user on what has happened since the event before.
    """

    step: int
    steps: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens_per_second: float
    seconds: float
    held_out: HeldOut | None = None
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The event as a line of metrics.jsonl holds it."""
        return dataclasses.asdict(self)
