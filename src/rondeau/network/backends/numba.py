"""Our own kernels for the CPU, with their own backward pass.

One autograd function spans a whole window: a token's input is a row of the weights, vectors are
projected at once; a kernel runs through time for each thread's share of the batch; the gradient of
the recurrent weights is one matrix product after the backward loop. Every cell is served, in
float32 and float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, autograd
from torch.autograd.function import once_differentiable

from rondeau.errors import UnsupportedError
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell


def serves(cell: Cell) -> bool:
    """Whether the kernels compute this cell: on the CPU, in float32 or float64."""
    weight = cell.weight_h
    known = isinstance(cell, (RNNCell, GRUCell, LSTMCell))
    return known and weight.device.type == "cpu" and weight.dtype in (torch.float32, torch.float64)


def unroll(cell: Cell, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H) and the last carry."""
    if not serves(cell):
        raise UnsupportedError(
            f"--backend numba: has no {type(cell).__name__} in {cell.weight_h.dtype} on "
            f"{cell.weight_h.device.type}; use reference or auto"
        )
    T, B = inputs.shape[:2]
    if inputs.is_floating_point():
        table = inputs.flatten(0, 1) @ cell.weight_x
        rows = torch.arange(T * B).view(T, B)
    else:
        table, rows = cell.weight_x, inputs.contiguous()
    bias_h = torch.zeros_like(cell.bias_x) if cell.bias_h is None else cell.bias_h
    window = _Window(cell, rows, tokens=not inputs.is_floating_point())
    outputs, *last = _Unroll.apply(window, table, cell.weight_h, cell.bias_x, bias_h, *carry)  # type: ignore[no-untyped-call]
    return outputs, cell.carry_type(outputs[-1], *last)


class _Window:
    """What an unroll needs beside its tensors: the cell's kernels, the rows, the buffers.

    rows (T, B): which row of the table a step reads; tokens: whether the table is the weights.
    """

    def __init__(self, cell: Cell, rows: Tensor, *, tokens: bool) -> None:
        from rondeau.network.backends import gemm, kernels

        self.cell, self.rows, self.tokens = cell, rows, tokens
        self.T, self.B = rows.shape
        self.H = cell.hidden_size
        self.gemm = gemm
        self.kernels = kernels.KERNELS[cell.weight_h.element_size() * 8]
        self.kept = self.T if torch.is_grad_enabled() else 1

    def new(self, *shape: int) -> Tensor:
        """An uninitialised tensor of the cell's type."""
        return self.cell.weight_h.new_empty(shape)

    def from_start(self, initial: Tensor) -> Tensor:
        """States over time (T + 1, B, H), the initial one in its place."""
        states = self.new(self.T + 1, self.B, self.H)
        states[0] = initial
        return states

    def pack(self, weights: Tensor) -> Any:
        """Weights as panels for the steps' products."""
        return self.gemm.pack(weights.detach().numpy())

    def run(self, kernel: Any, *arguments: Any, columns: int) -> None:
        """Run a kernel with a buffer for products of so many columns, the batch shared out."""
        arrays = [a.detach().numpy() if isinstance(a, Tensor) else a for a in arguments]
        dtype = self.cell.weight_h.detach().numpy().dtype
        product = self.new(self.B, self.gemm.padded_width(columns, dtype)).numpy()
        kernel(self.B, *arrays, product)

    def table_gradient(self, d_x: Tensor, table: Tensor) -> Tensor:
        """Projected vectors have a row each; rows of tokens are added up, in order of time."""
        if not self.tokens:
            return d_x.view(table.shape)
        gradient = torch.zeros_like(table)
        arrays = d_x.numpy(), self.rows.numpy(), gradient.numpy()
        self.kernels.add_rows(table.shape[1], *arrays, unit=16)
        return gradient

    def forward(
        self, table: Tensor, U: Tensor, b: Tensor, c: Tensor, *initial: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """(outputs and, for an LSTM, the last c), and what the backward pass needs."""
        T, B, H, k = self.T, self.B, self.H, self.kernels
        states = self.from_start(initial[0])
        x = (table.contiguous(), self.rows)
        if isinstance(self.cell, RNNCell):
            relu = self.cell.activation == "relu"
            self.run(k.rnn_forward, *x, self.pack(U), b + c, relu, states, columns=H)
            return (states[1:],), (states,)
        if isinstance(self.cell, LSTMCell):
            cells, saved = self.from_start(initial[1]), self.new(self.kept, B, 5 * H)
            self.run(k.lstm_forward, *x, self.pack(U), b + c, states, cells, saved, columns=4 * H)
            return (states[1:], cells[T].clone()), (states, cells, saved)
        saved = self.new(self.kept, B, 4 * H)
        if self.cell.reset == "before":
            packed = self.pack(U[:, : 2 * H]), self.pack(U[:, 2 * H :])
            self.run(k.gru_before_forward, *x, *packed, b + c, states, saved, columns=2 * H)
        else:
            both = c.clone()
            both[: 2 * H] += b[: 2 * H]
            weights = self.pack(U), both, b[2 * H :]
            self.run(k.gru_after_forward, *x, *weights, states, saved, columns=3 * H)
        return (states[1:],), (states, saved)

    def backward(
        self, U: Tensor, kept: tuple[Tensor, ...], d_outputs: Tensor, *d_last: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
        """Gradients of the projected inputs (T, B, G·H), U, b, c and the initial carry."""
        T, B, H, k = self.T, self.B, self.H, self.kernels
        states = kept[0]
        d_h = torch.zeros_like(states[0])
        d_x = self.new(T, B, U.shape[1])
        d_gates, initial = d_x, (d_h,)
        before = states[:-1].reshape(T * B, H)
        d_outputs = d_outputs.contiguous()
        if isinstance(self.cell, RNNCell):
            relu = self.cell.activation == "relu"
            U_T = self.pack(U.t())
            self.run(k.rnn_backward, d_outputs, states, U_T, relu, d_x, d_h, columns=H)
        elif isinstance(self.cell, LSTMCell):
            d_c = d_last[0].clone()
            initial = (d_h, d_c)  # type: ignore[assignment]
            U_T = self.pack(U.t())
            self.run(k.lstm_backward, d_outputs, *kept[1:], U_T, d_x, d_h, d_c, columns=H)
        elif self.cell.reset == "before":
            packed = self.pack(U[:, : 2 * H].t()), self.pack(U[:, 2 * H :].t())
            self.run(k.gru_before_backward, d_outputs, *kept, *packed, d_x, d_h, columns=H)
            d_U, d_flat = torch.empty_like(U), d_x.view(T * B, -1)
            torch.mm(before.t(), d_flat[:, : 2 * H], out=d_U[:, : 2 * H])
            reset = kept[1].view(T * B, -1)[:, 3 * H :]
            torch.mm(reset.t(), d_flat[:, 2 * H :], out=d_U[:, 2 * H :])
            d_b = d_x.sum((0, 1))
            return d_x, d_U, d_b, d_b, initial
        else:
            d_gates = torch.empty_like(d_x)
            arguments = d_outputs, *kept, self.pack(U.t()), d_x, d_gates, d_h
            self.run(k.gru_after_backward, *arguments, columns=H)
        d_U = before.t() @ d_gates.view(T * B, -1)
        d_b = d_x.sum((0, 1))
        d_c_bias = d_b if d_gates is d_x else d_gates.sum((0, 1))
        return d_x, d_U, d_b, d_c_bias, initial


class _Unroll(autograd.Function):
    """The unroll of a window as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, window: _Window, table: Tensor, U: Tensor, *rest: Tensor) -> Any:
        results, kept = window.forward(table, U, *rest)
        ctx.window, ctx.kept = window, kept
        ctx.save_for_backward(table, U)
        return results

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_results: Tensor) -> Any:
        table, U = ctx.saved_tensors
        window: _Window = ctx.window
        d_x, d_U, d_b, d_c, d_initial = window.backward(U, ctx.kept, *d_results)
        return None, window.table_gradient(d_x, table), d_U, d_b, d_c, *d_initial
