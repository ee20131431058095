"""What the settings leave open, by the objective and the size of the training text.

The figures are measured: docs/decisions.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rondeau.config import TrainConfig, flag

SIZES: tuple[tuple[float, dict[str, Any]], ...] = (
    (200_000, {"layers": 1, "dropout": 0.5}),
    (2_000_000, {"layers": 2, "dropout": 0.2}),
    (float("inf"), {"layers": 2, "dropout": 0.1}),
)
"""Below so many characters: these settings."""


def fill_defaults(config: TrainConfig, characters: int) -> tuple[TrainConfig, str | None]:
    """The settings with nothing left open that shapes the model, and a note of what was chosen."""
    if config.bidirectional is None:
        config = replace(config, bidirectional=config.objective == "cloze")
    sized = next(settings for below, settings in SIZES if characters < below)
    chosen = {name: value for name, value in sized.items() if getattr(config, name) is None}
    if not chosen:
        return config, None
    told = " ".join(f"{flag(name)} {value}" for name, value in chosen.items())
    return replace(config, **chosen), f"chosen for {characters:,} characters to train on: {told}"
