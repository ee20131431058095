"""Our own kernels for NVIDIA GPUs, a step each, with their own backward pass.

One autograd function spans a window: its inputs are projected at once by torch, a kernel a step
does the rest, and the gradient of the recurrent weights is one matrix product after the backward
loop. Every cell is served, in float32 and float64; products are in any precision, states and sums
in float32. It needs triton, which torch for CUDA brings; Triton's interpreter (TRITON_INTERPRET=1)
runs the same kernels on the CPU, slowly, for tests.
`auto` doesn't choose it: it hasn't been measured on a GPU.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, autograd
from torch.autograd.function import once_differentiable

from rondeau.errors import UnsupportedError
from rondeau.network.backends.numba import hidden_bias
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell
from rondeau.network.precision import exact, product_type

SMALLEST, LARGEST = 16, (64, 32, 64)
"""Sides of a program's tiles (B, H, K): matrix units need 16, and registers are few."""


def refuse_unserved(cell: Cell) -> None:
    """Raise UnsupportedError, naming what to do, for a cell or a place that the kernels lack."""
    kind, dtype, device = type(cell), cell.weight_h.dtype, cell.weight_h.device.type
    if kind not in (RNNCell, GRUCell, LSTMCell) or dtype not in (torch.float32, torch.float64):
        raise UnsupportedError(
            f"--backend triton: has no {kind.__name__} in {dtype}; use reference or auto"
        )
    if device != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise UnsupportedError(
            f"--backend triton: is for NVIDIA GPUs, not for {device}; use --device cuda or auto"
        )
    if find_spec("triton") is None:
        raise UnsupportedError(
            "--backend triton: needs the package triton: pip install triton, or use auto"
        )


def unroll(cell: Cell, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H) and the last carry."""
    refuse_unserved(cell)
    projected = cell.project(inputs)
    window = _window_of(cell)(cell, projected)
    weights = cell.weight_h.to(product_type(cell.weight_h)), hidden_bias(cell)
    outputs, *last = _Unroll.apply(window, projected, *weights, *carry)  # type: ignore[no-untyped-call]
    return outputs, cell.carry_type(outputs[-1], *last)


class _Unroll(autograd.Function):
    """The unroll of a window as one node of the graph."""

    @staticmethod
    def forward(ctx: Any, window: Window, projected: Tensor, U: Tensor, *rest: Tensor) -> Any:
        ctx.window = window
        ctx.save_for_backward(U)
        return window.forward(projected.contiguous(), U.contiguous(), *rest)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_results: Tensor) -> Any:
        (U,) = ctx.saved_tensors
        window: Window = ctx.window
        d_out, *d_last = (part.contiguous() for part in d_results)
        d_projected, d_recurrent, d_U, d_initial = window.backward(U.contiguous(), d_out, *d_last)
        return None, d_projected, d_U, d_recurrent.sum((0, 1)), *d_initial


class Window(ABC):
    """One unroll of a cell: its kernels, and what its backward pass needs."""

    def __init__(self, cell: Cell, projected: Tensor) -> None:
        """Note the shapes; a window that needs no gradient keeps one step alone."""
        from rondeau.network.backends import triton_kernels

        self.kernels, self.cell = triton_kernels, cell
        self.T, self.B = projected.shape[:2]
        self.H = cell.hidden_size
        self.keeps = torch.is_grad_enabled()
        B_TILE, H_TILE, K_TILE = map(_side, (self.B, self.H, self.H), LARGEST)
        self.grid = -(-self.B // B_TILE), -(-self.H // H_TILE)
        self.tiles = {"B_TILE": B_TILE, "H_TILE": H_TILE, "K_TILE": K_TILE}
        self.precision = "ieee" if exact(cell.weight_h) else "tf32"

    @abstractmethod
    def forward(self, x: Tensor, U: Tensor, c: Tensor, *initial: Tensor) -> Any:
        """The outputs (T, B, H) and, for an LSTM, the last c (B, H)."""

    @abstractmethod
    def backward(self, U: Tensor, d_out: Tensor, *d_last: Tensor) -> Any:
        """Gradients (T, B, …) of the projected inputs and of h U, of U, and of the carry."""

    def run(self, kernel: Any, *arguments: Tensor, **flags: Any) -> None:
        """Run a kernel on every tile of the state."""
        flags |= self.tiles
        flags |= {"PRECISION": self.precision, "enable_fp_fusion": True}
        kernel[self.grid](*arguments, self.B, self.H, **flags)

    def new(self, steps: int, width: int) -> Tensor:
        """An uninitialised tensor (steps, B, width)."""
        return self.cell.weight_h.new_empty(steps, self.B, width)

    def from_start(self, initial: Tensor) -> Tensor:
        """States over time (T + 1, B, H), the initial one in its place."""
        states = self.new(self.T + 1, self.H)
        states[0] = initial
        return states

    def saved_steps(self, width: int) -> list[Tensor]:
        """A place (B, width) for what each step keeps, or the same for all."""
        if self.keeps:
            return list(self.new(self.T, width))
        return [self.new(1, width)[0]] * self.T

    def backwards(self, d_gates: Tensor) -> Any:
        """Steps from the last to the first, with the gates' gradient of the step after."""
        return ((t, d_gates[min(t + 1, self.T - 1)]) for t in reversed(range(self.T)))


def _side(size: int, largest: int) -> int:
    """A tile's side: the power of two that covers `size`, within bounds."""
    return min(largest, max(SMALLEST, 1 << (size - 1).bit_length()))


def _outer(before: Tensor, d_gates: Tensor, kind: torch.dtype) -> Tensor:
    """The gradient of weights that `before` (T, B, K) was multiplied with: one product."""
    before, d_gates = (part.flatten(0, 1).to(kind) for part in (before, d_gates))
    return before.t() @ d_gates


def _through(d_gates: Tensor, U: Tensor) -> Tensor:
    """The gradient (B, H) of what was multiplied with U."""
    return (d_gates.to(U.dtype) @ U.t()).to(d_gates.dtype)


class _RNN(Window):
    cell: RNNCell

    @property
    def relu(self) -> bool:
        return self.cell.activation == "relu"

    def forward(self, x: Tensor, U: Tensor, c: Tensor, *initial: Tensor) -> Any:
        h = self.states = self.from_start(initial[0])
        for t in range(self.T):
            self.run(self.kernels.rnn_forward, x[t], U, c, h[t], h[t + 1], RELU=self.relu)
        return (h[1:],)

    def backward(self, U: Tensor, d_out: Tensor, *d_last: Tensor) -> Any:
        d, h, last = self.new(self.T, self.H), self.states, self.T - 1
        for t, later in self.backwards(d):
            arguments = d_out[t], later, U, h[t + 1], d[t]
            self.run(self.kernels.rnn_backward, *arguments, LAST=t == last, RELU=self.relu)
        return d, d, _outer(h[:-1], d, U.dtype), (_through(d[0], U),)


class _GRUAfter(Window):
    def forward(self, x: Tensor, U: Tensor, c: Tensor, *initial: Tensor) -> Any:
        h = self.states = self.from_start(initial[0])
        s = self.saved = self.saved_steps(4 * self.H)
        for t in range(self.T):
            arguments = x[t], U, c, h[t], h[t + 1], s[t]
            self.run(self.kernels.gru_after_forward, *arguments, KEEP=self.keeps)
        return (h[1:],)

    def backward(self, U: Tensor, d_out: Tensor, *d_last: Tensor) -> Any:
        H, h, last = self.H, self.states, self.T - 1
        d, d_h = self.new(self.T, 4 * H), torch.zeros_like(h[0])
        for t, later in self.backwards(d):
            arguments = d_out[t], later, U, h[t], self.saved[t], d[t], d_h
            self.run(self.kernels.gru_after_backward, *arguments, LAST=t == last)
        recurrent = d[..., : 3 * H]
        projected = torch.cat([d[..., : 2 * H], d[..., 3 * H :]], -1)
        d_U = _outer(h[:-1], recurrent, U.dtype)
        return projected, recurrent, d_U, (d_h + _through(recurrent[0], U),)


class _GRUBefore(Window):
    def forward(self, x: Tensor, U: Tensor, c: Tensor, *initial: Tensor) -> Any:
        h = self.states = self.from_start(initial[0])
        s = self.saved = self.saved_steps(4 * self.H)
        for t in range(self.T):
            self.run(self.kernels.gru_before_forward_reset, x[t], U, c, h[t], s[t])
            self.run(self.kernels.gru_before_forward, x[t], U, c, h[t], h[t + 1], s[t])
        return (h[1:],)

    def backward(self, U: Tensor, d_out: Tensor, *d_last: Tensor) -> Any:
        H, h, last = self.H, self.states, self.T - 1
        d, d_h = self.new(self.T, 3 * H), torch.zeros_like(h[0])
        for t, later in self.backwards(d):
            arguments = h[t], self.saved[t], d[t], d_h
            update = self.kernels.gru_before_backward
            self.run(update, d_out[t], later, U, *arguments, LAST=t == last)
            self.run(self.kernels.gru_before_backward_reset, U, *arguments)
        rz, n = d[..., : 2 * H], d[..., 2 * H :]
        reset = torch.stack(self.saved)[..., 3 * H :]
        d_U = torch.cat([_outer(h[:-1], rz, U.dtype), _outer(reset, n, U.dtype)], -1)
        return d, d, d_U, (d_h + _through(rz[0], U[:, : 2 * H]),)


class _LSTM(Window):
    def forward(self, x: Tensor, U: Tensor, c: Tensor, *initial: Tensor) -> Any:
        h, kept = self.states, self.kept = [self.from_start(part) for part in initial]
        s = self.saved = self.saved_steps(5 * self.H)
        for t in range(self.T):
            arguments = x[t], U, c, h[t], kept[t], h[t + 1], kept[t + 1], s[t]
            self.run(self.kernels.lstm_forward, *arguments, KEEP=self.keeps)
        return h[1:], kept[-1].clone()

    def backward(self, U: Tensor, d_out: Tensor, *d_last: Tensor) -> Any:
        d, d_c, last = self.new(self.T, 4 * self.H), d_last[0].clone(), self.T - 1
        for t, later in self.backwards(d):
            arguments = d_out[t], later, U, self.kept[t], self.saved[t], d[t], d_c
            self.run(self.kernels.lstm_backward, *arguments, LAST=t == last)
        return d, d, _outer(self.states[:-1], d, U.dtype), (_through(d[0], U), d_c)


def _window_of(cell: Cell) -> type[Window]:
    """Who unrolls a cell."""
    if isinstance(cell, GRUCell):
        return _GRUBefore if cell.reset == "before" else _GRUAfter
    return _LSTM if isinstance(cell, LSTMCell) else _RNN
