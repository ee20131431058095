"""What happens inside while a model reads: the top layer's state and gates after every id.

By the equations themselves, on any backend; it changes nothing and chooses nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rondeau.network.backends import unroll
from rondeau.network.model import Model
from rondeau.network.stack import StackCarry


class Trace(NamedTuple):
    """The top layer after each of N ids: h (N, H), and the mean of each gate by its name (N)."""

    h: Tensor
    gates: dict[str, Tensor]


@torch.inference_mode()
def trace(model: Model, ids: Tensor, carry: StackCarry) -> Trace:
    """Read ids (N), at least one, after the carry of one stream, (1, H), of a causal model."""
    inputs = ids[:, None]
    if model.embedding is not None:
        inputs = model.embedding(inputs)
    *below, (top,) = model.stack.cells
    for (cell,), (state,) in zip(below, carry, strict=False):
        inputs, _ = unroll(cell, inputs, state, backend=model.backend)
    (state,) = carry[-1]
    states, means = [], []
    for projected in top.project(inputs):
        gates = top.gates(projected, state)
        state = top.update(gates, state)
        states.append(state.h[0])
        means.append(torch.stack([gate.mean() for gate in gates]))
    each = torch.stack(means, 1).cpu()
    return Trace(torch.stack(states).cpu(), dict(zip(top.gate_names, each, strict=True)))
