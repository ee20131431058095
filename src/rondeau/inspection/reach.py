"""Gradient reach: how much a loss still asks of the states of k steps before.

‖∂loss_t/∂h_{t−k}‖ against k shows whether a gradient vanishes or explodes through time (Hochreiter
1991; Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063). It is exact:
one back-propagation from the loss at t alone, through every path to each state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from rondeau.errors import OptionError
from rondeau.inspection.traces import (
    Direction,
    TokenIds,
    Windows,
    as_ids,
    draw_positions,
    exact_copy,
    read_windows,
    windows_at,
)
from rondeau.network.cells import map_carry
from rondeau.network.model import Model

MEMORY = 2**27
"""Bytes that the steps of the positions read together may take, roughly."""

Norms = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ReachCurve:
    """‖∂loss_t/∂state_{t−k}‖ of one state, in nats a unit of it, at k = 0 … K: (K + 1,) each.

    layer: from 1 on; k counts in the direction's own time (later characters for a backward cell);
    state: h, or the c of an LSTM. mean over the positions is the curve; low and high: 10 and 90 %
    of the positions lie below; geometric_mean: 0 where a position has exactly 0.
    """

    layer: int
    direction: Direction
    state: str
    mean: Norms
    low: Norms
    high: Norms
    geometric_mean: Norms

    @property
    def shares(self) -> Norms:
        """The mean as shares of that at k = 0; all 0 where nothing comes through at all."""
        return self.mean / self.mean[0] if self.mean[0] else np.zeros_like(self.mean)

    def vanishing(self, share: float = 0.01) -> int | None:
        """The first k from which the mean stays below a share of that at k = 0; None: no such k."""
        above = np.flatnonzero(self.shares >= share)
        after = int(above[-1]) + 1 if len(above) else 0
        return after if after < len(self.mean) else None

    def explodes(self, factor: float = 10.0) -> bool:
        """Whether the mean is anywhere more than so many times that at k = 0."""
        return bool(self.shares.max() > factor)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "layer": self.layer,
            "direction": self.direction,
            "state": self.state,
            "vanishing_at_1_percent": self.vanishing(),
            "explodes": self.explodes(),
            "mean": self.mean.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "geometric_mean": self.geometric_mean.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Reach:
    """The gradient reach of every state of a model, at the positions (P,) of a text."""

    curves: tuple[ReachCurve, ...]
    positions: NDArray[np.int64]
    horizon: int

    @property
    def longest(self) -> ReachCurve:
        """The state whose gradient lasts longest, relative to its own at k = 0."""

        def lasts(curve: ReachCurve) -> tuple[int, float]:
            reach = curve.vanishing()
            return self.horizon + 1 if reach is None else reach, float(curve.shares[-1])

        return max(self.curves, key=lasts)

    def vanishing(self, share: float = 0.01) -> int | None:
        """The first k from which every state's mean stays below its share; None: not all do."""
        found = [curve.vanishing(share) for curve in self.curves]
        return None if None in found else max(k for k in found if k is not None)

    def explodes(self, factor: float = 10.0) -> bool:
        """Whether any state's mean grows to more than so many times that at k = 0."""
        return any(curve.explodes(factor) for curve in self.curves)

    def as_dict(self) -> dict[str, Any]:
        """The numbers, for programs."""
        return {
            "horizon": self.horizon,
            "positions": len(self.positions),
            "vanishing_at_1_percent": self.vanishing(),
            "explodes": self.explodes(),
            "curves": [curve.as_dict() for curve in self.curves],
        }


def gradient_reach(
    model: Model, ids: TokenIds, *, horizon: int = 128, positions: int = 256, seed: int = 0
) -> Reach:
    """The reach of a model, trained or not, over so many positions of a text of ids (N,).

    horizon: the largest k; positions: drawn with the seed from the first 20,000 ids.
    The loss is that of the target after a position, or of the hidden position of a cloze model.
    Raises OptionError for impossible numbers, CorpusError for a text too short for the horizon.
    """
    for name, number in (("horizon", horizon), ("positions", positions)):
        if number < 1:
            raise OptionError(f"--{name} {number}: must be at least 1")
    text = as_ids(model, ids)
    chosen = draw_positions(model, text, around=horizon, count=positions, seed=seed)
    exact = exact_copy(model)
    windows = windows_at(model, text, chosen, around=horizon)
    norms: dict[tuple[int, Direction, str], list[Norms]] = {}
    for block in _blocks(exact, windows):
        for key, found in _norms(exact, block).items():
            norms.setdefault(key, []).append(found)
    curves = (_curve(key, np.concatenate(found, 1)) for key, found in norms.items())
    return Reach(tuple(curves), chosen, horizon)


def _blocks(model: Model, windows: Windows) -> list[Windows]:
    """The same windows, as many at once as the memory allows."""
    T, B = windows.ids.shape
    widths = sum(cell.weight_h.shape[1] for cells in model.stack.cells for cell in cells)
    size = max(1, MEMORY // (8 * 4 * widths * T))
    return [windows.streams(slice(start, start + size)) for start in range(0, B, size)]


def _norms(model: Model, windows: Windows) -> dict[tuple[int, Direction, str], Norms]:
    """The norms (K + 1, B) of every state, by layer, direction and name; k = 0 first."""
    carry = map_carry(lambda part: part.clone().requires_grad_(), windows.carry)
    logits, traces = read_windows(model, Windows(windows.ids, carry, windows.targets, windows.at))
    # Streams don't meet: the gradient of the sum is each one's own.
    loss = F.cross_entropy(logits, windows.targets, reduction="sum")
    states = {
        (trace.layer, trace.direction, name): [
            getattr(state, name) for state in trace.states[windows.at + 1 : 0 : -1]
        ]
        for trace in traces
        for name in trace.fields
    }
    flat = [state for parts in states.values() for state in parts]
    gradients = iter(torch.autograd.grad(loss, flat))
    return {
        key: np.stack([torch.linalg.vector_norm(next(gradients), dim=-1).numpy() for _ in parts])
        for key, parts in states.items()
    }


def _curve(key: tuple[int, Direction, str], norms: Norms) -> ReachCurve:
    low, high = np.quantile(norms, [0.1, 0.9], axis=1)
    with np.errstate(divide="ignore"):
        geometric = np.exp(np.log(norms).mean(1))
    return ReachCurve(*key, norms.mean(1), low, high, geometric)
