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
class GateShares:
    """One gate of one layer (from 1 on) and direction, over units and characters of a little text.

    shut, open: shares of its values below 0.1 and above 0.9; tenths: in each tenth from 0 to 1.
    """

    layer: int
    direction: Literal["forward", "backward"]
    gate: str
    shut: float
    open: float
    tenths: tuple[float, ...]


@dataclass(frozen=True)
class Event:
    """Progress after `step` of `steps` steps.

    tokens: read so far; loss: mean in nats since the event before; gradient_norm: of the last step,
    before clipping; tokens_per_second and seconds: of training alone, without looks; gates: at a
    look, where they were asked for; note: a sentence for the user on what has happened since the
    event before.
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
    gates: tuple[GateShares, ...] | None = None
    note: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The event as a line of metrics.jsonl holds it."""
        return dataclasses.asdict(self)
