"""A model read step by step, with every state kept, at sampled positions of a text.

It goes through the cells' own equations in float64 on the CPU, whatever the model's type and
device: gradients that shrink by a half a step are still numbers after hundreds of steps. It knows
no characters, and nothing of what is measured.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rondeau.errors import CorpusError
from rondeau.network.cells import Cell, carry_parts, map_carry
from rondeau.network.model import Model
from rondeau.network.stack import StackCarry
from rondeau.text.tokenizer import MASK

LONGEST = 20_000
"""Tokens of a text that are looked at: its first."""

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, Direction] = "forward", "backward"
TokenIds = NDArray[Any] | Tensor


@dataclass(frozen=True)
class Trace:
    """One cell over the T steps of a window, in its own direction's time.

    Step s reads projected[s] (B, G·H) and turns states[s] into states[s + 1]; layer: from 1 on.
    """

    layer: int
    direction: Direction
    cell: Cell
    projected: Tensor
    states: list[Any]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the carry's parts: h, or h and c."""
        fields: tuple[str, ...] = self.cell.carry_type._fields
        return fields


@dataclass(frozen=True)
class Windows:
    """Pieces of a text around positions: ids (T, B), the carry before them, the targets (B).

    A position is step `at` of its piece, in the time of either direction.
    """

    ids: Tensor
    carry: StackCarry
    targets: Tensor
    at: int

    def streams(self, place: slice) -> Windows:
        """Some of the pieces."""
        carry = map_carry(itemgetter(place), self.carry)
        return Windows(self.ids[:, place], carry, self.targets[place], self.at)


def as_ids(model: Model, ids: TokenIds) -> Tensor:
    """The ids (N,) of a text that are looked at, on the CPU; CorpusError for one that isn't V's."""
    text = torch.as_tensor(ids).cpu().long()[:LONGEST]
    if text.ndim != 1 or (len(text) and not 0 <= int(text.min()) <= int(text.max())):
        raise CorpusError("the text to inspect must be one row of ids from 0 on")
    if len(text) and int(text.max()) >= model.vocabulary:
        raise CorpusError(
            f"the text to inspect has the id {int(text.max())}, but the model's vocabulary ends at "
            f"{model.vocabulary - 1}; read unknown characters as <unk>"
        )
    return text


def draw_positions(
    model: Model, text: Tensor, *, around: int, count: int, seed: int
) -> NDArray[np.int64]:
    """At most `count` positions, in order, with `around` tokens before them and one after.

    A bidirectional model needs `around` tokens after them too.
    Raises CorpusError for a text that has no such position.
    """
    last = len(text) - 1 - (1 if model.causal else around)
    if last < around:
        needed = around + 2 if model.causal else 2 * around + 1
        raise CorpusError(
            f"the text to inspect has {len(text):,} tokens; looking {around} steps back needs "
            f"{needed:,}: give a longer text"
        )
    possible = np.arange(around, last + 1)
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(possible, min(count, len(possible)), replace=False))


def exact_copy(model: Model) -> Model:
    """The same model in float64 on the CPU, in evaluation mode, its weights fixed."""
    return copy.deepcopy(model).to("cpu", torch.float64).eval().requires_grad_(False)


def windows_at(
    model: Model, text: Tensor, positions: Sequence[int] | NDArray[np.int64], *, around: int
) -> Windows:
    """The pieces of a text that end `around` steps after they begin, at ascending positions.

    A causal model has read all that stands before. A bidirectional one, which carries nothing,
    reads each piece by itself, as in training, with as many tokens after the position.
    A cloze model reads `<mask>` at the position, which is its target.
    """
    starts = torch.as_tensor(np.asarray(positions)) - around
    after = 0 if model.causal else around
    ids = text[starts + torch.arange(around + 1 + after)[:, None]]
    if model.config.objective == "cloze":
        targets = ids[around].clone()
        ids[around] = MASK
    else:
        targets = text[starts + around + 1]
    if model.causal:
        carry = _carries_before(model, text, starts.tolist())
    else:
        carry = model.initial_carry(len(starts))
    return Windows(ids, map_carry(lambda part: part.cpu().double(), carry), targets, around)


@torch.no_grad()
def _carries_before(model: Model, text: Tensor, places: Sequence[int]) -> StackCarry:
    """The carry of a model before each of some ascending places, (places, H) each part."""
    carry, at = model.initial_carry(1), 0
    found = []
    was_training = model.training
    model.eval()
    for place in places:
        if place > at:
            ids = text[at:place, None].to(model.output.weight.device)
            _, carry = model.features(ids, carry)
            at = place
        found.append(carry_parts(carry))
    model.train(was_training)
    parts = (torch.cat(part) for part in zip(*found, strict=True))
    joined: StackCarry = map_carry(lambda _: next(parts), carry)
    return joined


def read_windows(model: Model, windows: Windows) -> tuple[Tensor, list[Trace]]:
    """Logits at the positions (B, V), and the traces of all cells, from the first layer up.

    model: from `exact_copy`.
    """
    inputs = windows.ids if model.embedding is None else model.embedding(windows.ids)
    traces: list[Trace] = []
    for layer, (cells, carries) in enumerate(zip(model.stack.cells, windows.carry, strict=True)):
        outputs = []
        for direction, cell, carry in zip(DIRECTIONS, cells, carries, strict=False):
            backward = direction == "backward"
            projected = cell.project(inputs.flip(0) if backward else inputs)
            states = [carry]
            for step in projected:
                states.append(cell.update(cell.gates(step, states[-1]), states[-1]))
            h = torch.stack([state.h for state in states[1:]])
            outputs.append(h.flip(0) if backward else h)
            traces.append(Trace(layer + 1, direction, cell, projected, states))
        inputs = torch.cat(outputs, -1)
    features = inputs[windows.at]
    if model.bridge is not None:
        features = model.bridge(features)
    return model.output(features), traces
