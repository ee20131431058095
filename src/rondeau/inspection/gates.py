"""Gates over a text: what every gate, candidate and state is at every character.

The plain loop over a cell's own `project`, `gates` and `update`: exactly what the equations say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondeau.inspection.reading import reading_only
from rondeau.network.cells import Cell
from rondeau.network.model import Model
from rondeau.text.tokenizer import Ids

Floats = NDArray[np.floating]

GATES: Mapping[str, Mapping[str, str]] = {
    "rnn": {},
    "gru": {"r": "reset", "z": "update"},
    "lstm": {"i": "input", "f": "forget", "o": "output"},
}
"""The gates of each cell, by their letter in the equations; candidates are no gates."""
KEEPS: Mapping[str, str] = {"gru": "z", "lstm": "f"}
"""The gate that is the share of its state which a unit keeps."""
BACKWARD_WINDOW = 256
"""A model that reads in both directions is read in windows of so many ids, as it is evaluated."""


@dataclass(frozen=True)
class Activity:
    """One layer, in one direction, over a text: rows are characters, in the order of the text.

    gates: by letter, candidates too, (T, H) each; carry: the state after each character, by letter,
    (T, H) each; direction: 0 forwards, 1 backwards.
    """

    layer: int
    direction: int
    gates: Mapping[str, Floats]
    carry: Mapping[str, Floats]

    @property
    def name(self) -> str:
        """The layer, and the direction where it is backwards."""
        return f"layer {self.layer + 1}" + ", backwards" * self.direction

    @property
    def state(self) -> Floats:
        """What a unit remembers, (T, H): h, or tanh(c) where there is a c."""
        return np.tanh(self.carry["c"]) if "c" in self.carry else self.carry["h"]


def record(model: Model, sequences: Sequence[Ids]) -> list[Activity]:
    """Every layer and direction over sequences of ids, each read from a zero carry.

    T is the ids of all sequences, one after another.
    """
    with reading_only(model):
        read = [_record(model, ids) for ids in _cut(model, sequences)]
    return [_joined(parts) for parts in zip(*read, strict=True)]


def _cut(model: Model, sequences: Sequence[Ids]) -> list[Ids]:
    if model.causal:
        return list(sequences)
    return [
        ids[start : start + BACKWARD_WINDOW]
        for ids in sequences
        for start in range(0, len(ids), BACKWARD_WINDOW)
    ]


def _record(model: Model, ids: Ids) -> list[Activity]:
    """All layers and directions over one sequence from a zero carry."""
    inputs = torch.from_numpy(ids).to(model.output.weight.device)[:, None]
    if model.embedding is not None:
        inputs = model.embedding(inputs)
    found = []
    for layer, directions in enumerate(model.stack.cells):
        outputs = []
        for direction, cell in enumerate(directions):
            activity, h = _unroll(cell, inputs, layer, direction)
            found.append(activity)
            outputs.append(h)
        inputs = torch.cat(outputs, -1)
    return found


def _unroll(cell: Cell, inputs: Tensor, layer: int, direction: int) -> tuple[Activity, Tensor]:
    """A cell over inputs (T, 1, …): its activity, and its outputs (T, 1, H)."""
    steps = cell.project(inputs.flip(0) if direction else inputs)
    carry = cell.initial_carry(1)
    gates, carries = [], []
    for projected in steps:
        now = cell.gates(projected, carry)
        carry = cell.update(now, carry)
        gates.append(now)
        carries.append(carry)

    def over_time(rows: Sequence[tuple[Tensor, ...]], field: int) -> Tensor:
        column = torch.stack([row[field] for row in rows])
        return column.flip(0) if direction else column

    def by_letter(rows: Sequence[tuple[Tensor, ...]], letters: Sequence[str]) -> dict[str, Floats]:
        columns = {letter: over_time(rows, i) for i, letter in enumerate(letters)}
        return {letter: column[:, 0].cpu().numpy() for letter, column in columns.items()}

    activity = Activity(
        layer,
        direction,
        gates=by_letter(gates, cell.gate_names),
        carry=by_letter(carries, cell.carry_type._fields),
    )
    return activity, over_time(carries, 0)


def _joined(parts: Sequence[Activity]) -> Activity:
    first = parts[0]

    def join(columns: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
        return {letter: np.concatenate([c[letter] for c in columns]) for letter in columns[0]}

    return Activity(
        first.layer,
        first.direction,
        gates=join([part.gates for part in parts]),
        carry=join([part.carry for part in parts]),
    )


def select(activity: Activity, rows: NDArray[np.intp] | slice) -> Activity:
    """The same at some of its rows."""
    return Activity(
        activity.layer,
        activity.direction,
        gates={letter: column[rows] for letter, column in activity.gates.items()},
        carry={letter: column[rows] for letter, column in activity.carry.items()},
    )
