"""Our own kernels for the CPU, with their own backward pass.

One autograd function spans a whole window: a token's input is a row of the weights, vectors are
projected at once; a kernel runs through time for each thread's share of the batch; the gradient of
the recurrent weights is one matrix product after the backward loop. Every cell is served, in
float32 and float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, autograd
from torch.autograd.function import once_differentiable

from rondeau.errors import UnsupportedError
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell
from rondeau.network.precision import product_type


def serves(cell: Cell) -> bool:
    """Whether the kernels compute this cell: on the CPU, in float32 or float64."""
    weight = cell.weight_h
    known = type(cell) in (RNNCell, GRUCell, LSTMCell)
    own = product_type(weight) == weight.dtype in (torch.float32, torch.float64)
    return known and own and weight.device.type == "cpu"


def refuse_unserved(cell: Cell) -> None:
    """Raise UnsupportedError, naming a backend that can, for a cell that the kernels lack."""
    if not serves(cell):
        raise UnsupportedError(
            f"--backend numba: has no {type(cell).__name__} in {product_type(cell.weight_h)} on "
            f"{cell.weight_h.device.type}; use reference or auto"
        )


def unroll(cell: Cell, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H) and the last carry."""
    refuse_unserved(cell)
    tokens = not inputs.is_floating_point()
    table: Tensor
    if tokens:
        check_ids(inputs, cell.input_size)
        table, rows = cell.weight_x, inputs.contiguous()
    else:
        from rondeau.network.backends.products import Project

        table = Project.apply(inputs.flatten(0, 1), cell.weight_x)  # type: ignore[no-untyped-call]
        rows = torch.arange(table.shape[0]).view(inputs.shape[:2])
    window = window_of(cell)(cell, rows, tokens=tokens)
    parameters = cell.weight_h, cell.bias_x, hidden_bias(cell)
    outputs, *last = _Unroll.apply(window, table, *parameters, *carry)  # type: ignore[no-untyped-call]
    return outputs, cell.carry_type(outputs[-1], *last)


def hidden_bias(cell: Cell) -> Tensor:
    """The bias of `h U`, zero where the cell has none."""
    return torch.zeros_like(cell.bias_x) if cell.bias_h is None else cell.bias_h


def check_ids(ids: Tensor, count: int) -> None:
    """Raise IndexError, as torch does, for an id outside 0 ≤ id < count: kernels don't look."""
    if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < count:
        raise IndexError(f"ids from {int(ids.min())} to {int(ids.max())} for a table of {count}")


class _Unroll(autograd.Function):
    """The unroll of a window as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, window: Window, table: Tensor, U: Tensor, *rest: Tensor) -> Any:
        ctx.window = window
        ctx.save_for_backward(table, U)
        return window.forward(table.contiguous(), U, *rest)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_results: Tensor) -> Any:
        table, U = ctx.saved_tensors
        window: Window = ctx.window
        d_gates, d_U, d_initial = window.backward(U, d_results[0].contiguous(), *d_results[1:])
        sums = d_gates.sum((0, 1))
        d_b = torch.cat([sums[part] for part in window.input_parts])
        d_c = sums[: U.shape[1]]
        return None, window.table_gradient(d_gates, table), d_U, d_b, d_c, *d_initial


class Window(ABC):
    """One unroll of a cell: its kernels, its rows, and what its backward pass needs.

    rows (T, B): which row of the table a step reads; tokens: whether the table is the weights.
    """

    def __init__(self, cell: Cell, rows: Tensor, *, tokens: bool) -> None:
        """Note the shapes; a window that needs no gradient keeps nothing of its steps."""
        from rondeau.network.backends import gemm, kernels, products

        self.cell, self.rows, self.tokens = cell, rows, tokens
        self.padded_width = gemm.padded_width
        self.multiply_transposed = products.multiply_transposed
        self.T, self.B = rows.shape
        self.H = cell.hidden_size
        self.kernels = kernels.KERNELS[cell.weight_h.element_size() * 8]
        self.kept = self.T if torch.is_grad_enabled() else 1

    @property
    def input_parts(self) -> list[slice]:
        """The columns of the gates' gradient that are the projected input's, in order."""
        return [slice(0, len(self.cell.gate_names) * self.H)]

    @classmethod
    @abstractmethod
    def weights(cls, U: Tensor, b: Tensor, c: Tensor) -> tuple[Any, ...]:
        """What the forward kernel takes of U (packed) and of the biases."""

    @abstractmethod
    def forward(self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor) -> Any:
        """The outputs (T, B, H) and, for an LSTM, the last c (B, H)."""

    @abstractmethod
    def backward(self, U: Tensor, d_outputs: Tensor, *d_last: Tensor) -> Any:
        """Gradients of the gates (T, B, …, those of h U first), of U and of the initial carry."""

    def new(self, *shape: int) -> Tensor:
        """An uninitialised tensor of the cell's type."""
        return self.cell.weight_h.new_empty(shape)

    def from_start(self, initial: Tensor) -> Tensor:
        """States over time (T + 1, B, H), the initial one in its place."""
        states = self.new(self.T + 1, self.B, self.H)
        states[0] = initial
        return states

    def run(self, kernel: Any, *arguments: Any, columns: int) -> None:
        """Run a kernel with a buffer for products of so many columns, the batch shared out."""
        from rondeau.network.backends.products import as_array

        arrays = [as_array(a) if isinstance(a, Tensor) else a for a in arguments]
        dtype = as_array(self.cell.weight_h).dtype
        product = self.new(self.B, self.padded_width(columns, dtype)).numpy()
        kernel(self.B, *arrays, product)

    def recurrent_gradient(
        self, before: Tensor, d_gates: Tensor, *, a: slice | None = None, b: slice | None = None
    ) -> Tensor:
        """The gradient of weights that `before` (T, B, K) was multiplied with: one product.

        a, b: only these columns of the one and the other.
        """
        return self.multiply_transposed(before.flatten(0, 1), d_gates.flatten(0, 1), a=a, b=b)

    def table_gradient(self, d_gates: Tensor, table: Tensor) -> Tensor:
        """Projected vectors have a row each; rows of tokens are added up, in order of time."""
        if not self.tokens:
            return torch.cat([d_gates[..., p] for p in self.input_parts], -1).view(table.shape)
        gradient, at = torch.zeros_like(table), 0
        for part in self.input_parts:
            width = part.stop - part.start
            arrays = d_gates.numpy(), part.start, self.rows.numpy(), gradient.numpy(), at
            self.kernels.add_rows(width, *arrays, unit=16)
            at += width
        return gradient


class _RNN(Window):
    cell: RNNCell

    @classmethod
    def weights(cls, U: Tensor, b: Tensor, c: Tensor) -> tuple[Any, ...]:
        return pack(U), b + c

    def forward(self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor) -> Any:
        self.states = self.from_start(initial[0])
        relu = self.cell.activation == "relu"
        arguments = table, self.rows, *self.weights(U, b, c), relu, self.states
        self.run(self.kernels.rnn_forward, *arguments, columns=self.H)
        return (self.states[1:],)

    def backward(self, U: Tensor, d_outputs: Tensor, *d_last: Tensor) -> Any:
        d_gates, d_h = torch.empty_like(d_outputs), torch.zeros_like(self.states[0])
        relu = self.cell.activation == "relu"
        arguments = d_outputs, self.states, pack(U, transposed=True), relu, d_gates, d_h
        self.run(self.kernels.rnn_backward, *arguments, columns=self.H)
        return d_gates, self.recurrent_gradient(self.states[:-1], d_gates), (d_h,)


class _GRUAfter(Window):
    @property
    def input_parts(self) -> list[slice]:
        """r and z, then n: between them stands the gradient of the product that r scales."""
        return [slice(0, 2 * self.H), slice(3 * self.H, 4 * self.H)]

    @classmethod
    def weights(cls, U: Tensor, b: Tensor, c: Tensor) -> tuple[Any, ...]:
        rz = slice(2 * len(U))
        return pack(U), torch.cat([b[rz] + c[rz], c[rz.stop :]]), b[rz.stop :]

    def forward(self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor) -> Any:
        self.states = self.from_start(initial[0])
        self.saved = self.new(self.kept, self.B, 4 * self.H)
        arguments = table, self.rows, *self.weights(U, b, c), self.states, self.saved
        self.run(self.kernels.gru_after_forward, *arguments, columns=3 * self.H)
        return (self.states[1:],)

    def backward(self, U: Tensor, d_outputs: Tensor, *d_last: Tensor) -> Any:
        d_gates, d_h = torch.empty_like(self.saved), torch.zeros_like(self.states[0])
        arguments = d_outputs, self.states, self.saved, pack(U, transposed=True), d_gates, d_h
        self.run(self.kernels.gru_after_backward, *arguments, columns=self.H)
        d_U = self.recurrent_gradient(self.states[:-1], d_gates, b=slice(0, 3 * self.H))
        return d_gates, d_U, (d_h,)


class _GRUBefore(Window):
    @classmethod
    def weights(cls, U: Tensor, b: Tensor, c: Tensor) -> tuple[Any, ...]:
        return pack(U[:, : 2 * len(U)]), pack(U[:, 2 * len(U) :]), b + c

    def forward(self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor) -> Any:
        self.states = self.from_start(initial[0])
        self.saved = self.new(self.kept, self.B, 4 * self.H)
        arguments = table, self.rows, *self.weights(U, b, c), self.states, self.saved
        self.run(self.kernels.gru_before_forward, *arguments, columns=2 * self.H)
        return (self.states[1:],)

    def backward(self, U: Tensor, d_outputs: Tensor, *d_last: Tensor) -> Any:
        d_gates = self.new(self.T, self.B, 3 * self.H)
        d_h = torch.zeros_like(self.states[0])
        packed = (pack(part, transposed=True) for part in self.split(U))
        arguments = d_outputs, self.states, self.saved, *packed, d_gates, d_h
        self.run(self.kernels.gru_before_backward, *arguments, columns=self.H)
        rz, n, reset = (slice(k * self.H, m * self.H) for k, m in ((0, 2), (2, 3), (3, 4)))
        d_U = [
            self.recurrent_gradient(self.states[:-1], d_gates, b=rz),
            self.recurrent_gradient(self.saved, d_gates, a=reset, b=n),
        ]
        return d_gates, torch.cat(d_U, -1), (d_h,)

    def split(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        """The columns of r and z, and those of n."""
        return gates[..., : 2 * self.H], gates[..., 2 * self.H :]


class _LSTM(Window):
    @classmethod
    def weights(cls, U: Tensor, b: Tensor, c: Tensor) -> tuple[Any, ...]:
        return pack(U), b + c

    def forward(self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor) -> Any:
        self.states, self.cells = (self.from_start(part) for part in initial)
        self.saved = self.new(self.kept, self.B, 5 * self.H)
        states = self.states, self.cells, self.saved
        arguments = table, self.rows, *self.weights(U, b, c), *states
        self.run(self.kernels.lstm_forward, *arguments, columns=4 * self.H)
        return self.states[1:], self.cells[-1].clone()

    def backward(self, U: Tensor, d_outputs: Tensor, *d_last: Tensor) -> Any:
        d_gates = self.new(self.T, self.B, 4 * self.H)
        d_h, d_c = torch.zeros_like(self.states[0]), d_last[0].clone()
        arguments = d_outputs, self.cells, self.saved, pack(U, transposed=True), d_gates, d_h, d_c
        self.run(self.kernels.lstm_backward, *arguments, columns=self.H)
        return d_gates, self.recurrent_gradient(self.states[:-1], d_gates), (d_h, d_c)


def pack(weights: Tensor, *, transposed: bool = False) -> Any:
    """Weights (K, N), or their transpose, as panels for the steps' products."""
    from rondeau.network.backends import products

    return products.pack(weights, transposed=transposed)


def window_of(cell: Cell) -> type[Window]:
    """Who unrolls a cell."""
    if isinstance(cell, GRUCell):
        return _GRUBefore if cell.reset == "before" else _GRUAfter
    return _LSTM if isinstance(cell, LSTMCell) else _RNN
