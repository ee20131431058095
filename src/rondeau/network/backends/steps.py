"""One step of a whole stack for a share of its streams, as a numba kernel for each cell.

What a window's kernels do over time these do over layers, by the same kernels: a step's input is a
row of the table (a token) or the projected output of the layer below. The weights of all layers
stand in one array each, so that stacks of any depth are one compiled function. float32 only,
forwards only. Knows no vocabulary and no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from rondeau.compilation import copy_with
from rondeau.network.backends.gemm import PRODUCTS, padded_width
from rondeau.network.backends.kernels import KERNELS
from rondeau.network.backends.numba import hidden_bias, window_of
from rondeau.network.backends.products import pack
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell

Array = NDArray[Any]
multiply32: Any = PRODUCTS[32].multiply
compiled: Any = njit(nogil=True, error_model="numpy")
rnn_forward = KERNELS[32].rnn_forward.kernel
gru_after_forward = KERNELS[32].gru_after_forward.kernel
gru_before_forward = KERNELS[32].gru_before_forward.kernel
lstm_forward = KERNELS[32].lstm_forward.kernel


def rnn_layer(
    first: int, last: int, at: int, table: Array, rows: Array, product: Array, parts: Any
) -> None:
    """Layer `at` of an RNN."""
    h, _, U, c, relu = parts
    rnn_forward(first, last, table, rows, U[at], c[at], relu[at] > 0, h[at], product)


def gru_after_layer(
    first: int, last: int, at: int, table: Array, rows: Array, product: Array, parts: Any
) -> None:
    """Layer `at` of a GRU with the reset after."""
    h, saved, U, c, b_n = parts
    gru_after_forward(first, last, table, rows, U[at], c[at], b_n[at], h[at], saved, product)


def gru_before_layer(
    first: int, last: int, at: int, table: Array, rows: Array, product: Array, parts: Any
) -> None:
    """Layer `at` of a GRU with the reset before."""
    h, saved, U_rz, U_n, c = parts
    gru_before_forward(first, last, table, rows, U_rz[at], U_n[at], c[at], h[at], saved, product)


def lstm_layer(
    first: int, last: int, at: int, table: Array, rows: Array, product: Array, parts: Any
) -> None:
    """Layer `at` of an LSTM."""
    h, cells, saved, U, c = parts
    lstm_forward(first, last, table, rows, U[at], c[at], h[at], cells[at], saved, product)
    for b in range(first, last):
        cells[at, 0, b] = cells[at, 1, b]


layer: Any = rnn_layer


def step(
    first: int,
    last: int,
    table: Array,
    rows: Array,
    numbers: Array,
    W: Array,
    product: Array,
    projected: Array,
    h: Array,
    part1: Array,
    part2: Array,
    part3: Array,
    part4: Array,
) -> None:
    """Every layer reads one step of streams first to last; the others may be another thread's.

    table (N, G·H): layer 0's projected inputs, of which stream b reads rows[0, b]; numbers (1, B):
    0, 1, …; W: the packed input weights of the layers above; product, projected (B, ≥ G·H);
    h (L, 2, B, H) with the carry in [:, 0]; the other parts are the cell's, for all layers: an
    LSTM's c like h, what the kernels save, weights. Every cell has five, since a kernel that takes
    any number is compiled once more for each way to call it.
    """
    parts = h, part1, part2, part3, part4
    for at in range(h.shape[0]):
        if at == 0:
            layer(first, last, at, table, rows, product, parts)
        else:
            multiply32(h[at - 1, 0], W[at - 1], projected, first, last)
            layer(first, last, at, projected, numbers, product, parts)
        for b in range(first, last):
            h[at, 0, b] = h[at, 1, b]


def _step(name: str, function: Any) -> Any:
    return compiled(copy_with(step, f"step_{name}", {"layer": compiled(function)}))


STEPS = {
    "rnn": _step("rnn", rnn_layer),
    "gru_after": _step("gru_after", gru_after_layer),
    "gru_before": _step("gru_before", gru_before_layer),
    "lstm": _step("lstm", lstm_layer),
}
"""The steps by cell, for the kernels that call them."""
SAVED = {"rnn": 0, "gru_after": 4, "gru_before": 4, "lstm": 5}
"""What a cell's kernel saves of a step, in units of H."""


def step_name(cell: Cell) -> str:
    """Which of the steps is this cell's."""
    if isinstance(cell, GRUCell):
        return f"gru_{cell.reset}"
    return "lstm" if isinstance(cell, LSTMCell) else "rnn"


class Steps:
    """A stack ready to be stepped: packed weights, and the state of B streams.

    `arguments` are what its step takes after `first` and `last`.
    """

    def __init__(self, cells: Sequence[Cell], table: Tensor, carry: Sequence[Any]) -> None:
        """Take over the cells of the layers, layer 0's projected inputs, and a carry a layer."""
        self.name = step_name(cells[0])
        self.width = padded_width(cells[0].weight_h.shape[1], np.dtype(np.float32))
        self.table = table.detach().contiguous().numpy()
        self.weights = tuple(np.stack(parts) for parts in zip(*map(_weights, cells), strict=True))
        panels = [pack(cell.weight_x) for cell in cells[1:]]
        self.W = np.stack(panels) if panels else np.empty((0, 1), np.float32)
        self.kinds = [cell.carry_type for cell in cells]
        self._set(_stacked(carry))

    def add(self, carry: Sequence[Any]) -> None:
        """More streams, after the others, from a carry a layer."""
        pairs = zip(self.carry, _stacked(carry), strict=True)
        self._set([np.concatenate(pair, 2) for pair in pairs])

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        self._set([np.ascontiguousarray(part[:, :, streams]) for part in self.carry])

    def stream(self, stream: int) -> list[Any]:
        """The carry of one stream, a layer each, (1, H): a copy."""
        return [
            kind(*(torch.from_numpy(part[layer, 0, [stream]]) for part in self.carry))
            for layer, kind in enumerate(self.kinds)
        ]

    def _set(self, carry: list[Array]) -> None:
        self.carry = carry
        B, H = carry[0].shape[2:]
        self.rows = np.zeros((1, B), np.int64)
        saved = np.empty((1, B, SAVED[self.name] * H), np.float32)
        buffers = np.empty((2, B, self.width), np.float32)
        self.arguments = (
            *(self.table, self.rows, np.arange(B)[None], self.W, *buffers),
            *(*self.carry, saved, *self.weights),
        )


def _stacked(carry: Sequence[Any]) -> list[Array]:
    """A carry a layer as arrays (L, 2, B, H): each layer's state has a place for its next one."""
    return [
        np.stack([np.stack([part.numpy()] * 2) for part in parts])
        for parts in zip(*carry, strict=True)
    ]


def _weights(cell: Cell) -> tuple[Array, ...]:
    weights = [
        part.detach().numpy() if isinstance(part, Tensor) else part
        for part in window_of(cell).weights(cell.weight_h, cell.bias_x, hidden_bias(cell))
    ]
    if isinstance(cell, RNNCell):
        weights.append(np.array(cell.activation == "relu"))
    return tuple(weights)
