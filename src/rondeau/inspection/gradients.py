"""All that an inspection says of gradients through time: reach, Jacobians, truncation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rondeau.inspection.jacobian import Spectrum, recurrent_spectra
from rondeau.inspection.reach import Reach, gradient_reach
from rondeau.inspection.truncation import Truncated, truncation
from rondeau.network.model import Model
from rondeau.text.tokenizer import Ids

HORIZON, POSITIONS, JACOBIANS = 128, 128, 16
"""The largest distance, losses that are followed back, and steps that are differentiated."""


@dataclass(frozen=True, eq=False)
class Gradients:
    """How far losses are heard, what one step does to a carry, and what windows cut off."""

    reach: Reach
    spectra: tuple[Spectrum, ...]
    truncated: tuple[Truncated, ...]

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "reach": self.reach.as_dict(),
            "jacobians": [spectrum.as_dict() for spectrum in self.spectra],
            "truncation": [cut._asdict() for cut in self.truncated],
        }


def gradients_through_time(model: Model, ids: Ids, *, seed: int = 0) -> Gradients | None:
    """All three on a text of ids (N,); None where it has fewer than 3 ids to go back over."""
    room = len(ids) - 2 if model.causal else (len(ids) - 1) // 2
    horizon = min(HORIZON, room)
    if horizon < 1:
        return None
    return Gradients(
        gradient_reach(model, ids, horizon=horizon, positions=POSITIONS, seed=seed),
        recurrent_spectra(model, ids, positions=JACOBIANS, seed=seed),
        truncation(model, ids, seed=seed),
    )
