"""The recurrent Jacobian ∂carry_t/∂carry_{t−1}: what one step does to what is carried.

A product of these is what a gradient goes through on its way back (Pascanu, Mikolov & Bengio 2013,
arXiv:1211.5063). Each is that of one cell, its input held; an LSTM's is of h and c together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondeau.errors import OptionError
from rondeau.inspection.traces import (
    Direction,
    TokenIds,
    Trace,
    as_ids,
    draw_positions,
    exact_copy,
    read_windows,
    windows_at,
)
from rondeau.network.cells import Cell, carry_parts
from rondeau.network.model import Model

AROUND = 64
"""Tokens before and after a position that a bidirectional model reads."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Of a cell's recurrent Jacobian at P positions: spectral radii and largest singular values.

    layer: from 1 on. A radius below 1: repeated, the step would shrink every change of its carry in
    the end; a singular value below 1: it shrinks every change at once.
    """

    layer: int
    direction: Direction
    radius: NDArray[np.float64]
    singular_value: NDArray[np.float64]

    @property
    def radius_quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of the radii."""
        return _quartiles(self.radius)

    @property
    def singular_value_quartiles(self) -> tuple[float, float, float]:
        """Lower quartile, median and upper quartile of the largest singular values."""
        return _quartiles(self.singular_value)

    @property
    def sentence(self) -> str:
        """What the median radius says."""
        _, radius, _ = self.radius_quartiles
        fate = "shrink" if radius < 1 else "keep or amplify"
        return (
            f"layer {self.layer} {self.direction}: median spectral radius {radius:.3f}, "
            f"such steps in a row {fate} a change"
        )

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "layer": self.layer,
            "direction": self.direction,
            "positions": len(self.radius),
            "spectral_radius_quartiles": list(self.radius_quartiles),
            "largest_singular_value_quartiles": list(self.singular_value_quartiles),
        }


def recurrent_spectra(
    model: Model, ids: TokenIds, *, positions: int = 24, seed: int = 0
) -> tuple[Spectrum, ...]:
    """The spectra of every cell's recurrent Jacobian at positions of a text of ids (N,).

    positions: drawn with the seed from the first 20,000 ids.
    Raises OptionError for an impossible number, CorpusError for a text that is too short.
    """
    if positions < 1:
        raise OptionError(f"--positions {positions}: must be at least 1")
    text = as_ids(model, ids)
    around = 0 if model.causal else min(AROUND, max(1, (len(text) - 1) // 2))
    chosen = draw_positions(model, text, around=around, count=positions, seed=seed)
    windows = windows_at(model, text, chosen, around=around)
    _, traces = read_windows(exact_copy(model), windows)
    return tuple(_spectrum(trace, windows.at) for trace in traces)


def recurrent_jacobian(cell: Cell, projected: Tensor, carry: Any) -> Tensor:
    """∂carry'/∂carry of one step: projected (G·H) and a carry of (H,) each -> (S, S).

    S is H, or 2 H for an LSTM, whose h comes before its c. Row i is the gradient of carry'[i].
    """
    sizes = [cell.hidden_size] * len(cell.carry_type._fields)

    def step(state: Tensor) -> Tensor:
        before = cell.carry_type(*torch.split(state[None], sizes, -1))
        after = cell.update(cell.gates(projected[None], before), before)
        return torch.cat(carry_parts(after), -1)[0]

    jacobian: Tensor = torch.func.jacrev(step)(torch.cat(carry_parts(carry)))
    return jacobian


def _spectrum(trace: Trace, at: int) -> Spectrum:
    radii, singular_values = [], []
    for b in range(trace.projected.shape[1]):
        carry = trace.cell.carry_type(*(part[b] for part in trace.states[at]))
        jacobian = recurrent_jacobian(trace.cell, trace.projected[at, b], carry)
        radii.append(float(torch.linalg.eigvals(jacobian).abs().max()))
        singular_values.append(float(torch.linalg.matrix_norm(jacobian, 2)))
    return Spectrum(trace.layer, trace.direction, np.array(radii), np.array(singular_values))


def _quartiles(values: NDArray[np.float64]) -> tuple[float, float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)
