"""A gate held open, shut or still while a model reads, and what that costs.

A held gate is a gate without inputs: its columns of W and U are zero, and its bias is the logit of
the value. So a held model is a model like any other, and every backend reads it; the model that it
was made from isn't touched.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from rondeau.errors import OptionError, UnsupportedError
from rondeau.inspection.gates import GATES, Activity
from rondeau.inspection.reading import Reading, bits_of_pieces
from rondeau.network.cells import Cell
from rondeau.network.model import Model

MOST_LOGIT = 50.0
"""σ(50) is 1 in every precision, and σ(−50) 2·10⁻²² (our float32 kernels: to 2·10⁻⁷)."""


@dataclass(frozen=True)
class Held:
    """A gate by its letter, held at a value, or each unit at its own mean (None), in all layers."""

    gate: str
    value: float | None

    @property
    def label(self) -> str:
        """In the letters of the equations: z = 1, z = mean."""
        return f"{self.gate} = {'mean' if self.value is None else f'{self.value:g}'}"


@dataclass(frozen=True)
class Cost:
    """What a held gate costs in bits a character, and the standard error of that over pieces."""

    held: Held
    bits_per_character: float
    cost: float
    error: float


@dataclass(frozen=True)
class Ablation:
    """Bits a character of the model as it is, and with each gate held, on the same text."""

    characters: int
    bits_per_character: float
    costs: tuple[Cost, ...]


def hold(
    model: Model, gate: str, value: float | Sequence[Sequence[Tensor]], *, layer: int | None = None
) -> Model:
    """A copy of a model, sharing its weights, with a gate held in all layers or in one.

    value: between 0 and 1, or `[layer][direction]` a value for each unit (H).
    Raises UnsupportedError for a cell without gates, OptionError for another gate, value or layer.
    """
    names = GATES[model.config.cell]
    if not names:
        raise UnsupportedError(f"hold: {model.config.cell} has no gates; train a gru or an lstm")
    if gate not in names:
        raise OptionError(f"hold: {gate}: choose one of {', '.join(names)}")
    layers = range(len(model.stack.cells))
    if layer is not None and layer not in layers:
        raise OptionError(f"hold: layer {layer}: the layers are 0 to {layers[-1]}")
    if isinstance(value, int | float) and not 0 <= value <= 1:
        raise OptionError(f"hold: {gate} = {value}: must be between 0 and 1")
    held = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    for number in layers if layer is None else [layer]:
        directions = cast(nn.ModuleList, held.stack.layers[number])
        for direction, cell in enumerate(model.stack.cells[number]):
            at = value if isinstance(value, int | float) else value[number][direction]
            directions[direction] = _held_cell(cell, gate, torch.as_tensor(at))
    return held


def _held_cell(cell: Cell, gate: str, value: Tensor) -> Cell:
    held = copy.deepcopy(cell)
    H = cell.hidden_size
    first = cell.gate_names.index(gate) * H
    columns = slice(first, first + H)
    with torch.no_grad():
        for weight in held.parameters():
            weight[..., columns] = 0
        logit = torch.logit(value.to(held.bias_x)).clamp(-MOST_LOGIT, MOST_LOGIT)
        held.bias_x[columns] = logit
    return held


def hold_at_mean(model: Model, gate: str, activities: Sequence[Activity]) -> Model:
    """The same with each unit at the mean that it had in a recorded text (mean ablation)."""
    means: list[list[Tensor]] = [[] for _ in model.stack.cells]
    for activity in activities:
        mean = activity.gates[gate].mean(0, dtype=np.float64)
        means[activity.layer].append(torch.from_numpy(mean))
    return hold(model, gate, means)


def ablate(model: Model, reading: Reading, activities: Sequence[Activity]) -> Ablation:
    """Hold every gate of a causal model shut, open and at its means, and measure each.

    The text is read in pieces of at most 1,000 characters, each from a zero carry; the standard
    error is over pieces (NaN for one piece).
    """
    whole, _ = bits_of_pieces(model, reading)
    costs = []
    for gate, value in product(GATES[model.config.cell], (0.0, 1.0, None)):
        held = hold_at_mean(model, gate, activities) if value is None else hold(model, gate, value)
        bits, targets = bits_of_pieces(held, reading)
        cost = (bits - whole).sum() / reading.characters
        residual = bits - whole - targets * (bits - whole).sum() / targets.sum()
        N = len(residual)
        error = np.nan if N < 2 else np.sqrt(N / (N - 1) * (residual**2).sum())
        costs.append(
            Cost(
                Held(gate, value),
                float(bits.sum() / reading.characters),
                float(cost),
                float(error / reading.characters),
            )
        )
    return Ablation(reading.characters, float(whole.sum() / reading.characters), tuple(costs))
