"""The recurrent cells, written as their equations.

A cell is three short methods that `forward` composes: `project` (what comes from the input),
`gates` (gates and candidate, named) and `update` (the next carry). Vectors are rows, as in the
notebook: `x W + h U + b` with `weight_x` W (D, G·H), `weight_h` U (H, G·H), the G gates side by
side in torch.nn's order. Rows of W are contiguous, so that a token's projection is one row.

This module deliberately doesn't know time, layers, backends, text or training.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RNNCarry(NamedTuple):
    """State of an RNN cell: h (B, H)."""

    h: Tensor


class GRUCarry(NamedTuple):
    """State of a GRU cell: h (B, H)."""

    h: Tensor


class LSTMCarry(NamedTuple):
    """State of an LSTM cell: h (B, H), what it shows, and c (B, H), what it keeps."""

    h: Tensor
    c: Tensor


Carry = RNNCarry | GRUCarry | LSTMCarry


class RNNGates(NamedTuple):
    """The candidate n (B, H) of an RNN cell: it has no gates."""

    n: Tensor


class GRUGates(NamedTuple):
    """Reset r, update z and candidate n, each (B, H)."""

    r: Tensor
    z: Tensor
    n: Tensor


class LSTMGates(NamedTuple):
    """Input i, forget f, candidate g and output o, each (B, H)."""

    i: Tensor
    f: Tensor
    g: Tensor
    o: Tensor


class Cell(nn.Module):
    """One step of a recurrent layer: `cell(inputs, carry) -> carry`.

    Parameters `weight_x` (D, G·H), `weight_h` (H, G·H), `bias_x` (G·H) and, unless
    `hidden_bias=False`, `bias_h` (G·H), all initialised as in torch.nn: uniform in ±1/√H.
    """

    gate_names: ClassVar[tuple[str, ...]]
    carry_type: ClassVar[type[Any]]

    def __init__(self, input_size: int, hidden_size: int, *, hidden_bias: bool = True) -> None:
        """Make a cell for inputs of size D (or token ids below D) and a hidden size H."""
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        width = len(self.gate_names) * hidden_size
        self.weight_x = nn.Parameter(torch.empty(input_size, width))
        self.weight_h = nn.Parameter(torch.empty(hidden_size, width))
        self.bias_x = nn.Parameter(torch.empty(width))
        self.bias_h = nn.Parameter(torch.empty(width)) if hidden_bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter uniformly from ±1/√H, as torch.nn does."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial_carry(self, batch: int) -> Any:
        """The zero state for `batch` streams: (B, H) each."""
        zero = self.weight_h.new_zeros(batch, self.hidden_size)
        return self.carry_type(*(zero for _ in self.carry_type._fields))

    def project(self, inputs: Tensor) -> Tensor:
        """`x W + b`: vectors (…, D) by a GEMM, token ids (…) by a row lookup -> (…, G·H)."""
        if inputs.is_floating_point():
            return inputs @ self.weight_x + self.bias_x
        return F.embedding(inputs, self.weight_x) + self.bias_x

    def recur(self, h: Tensor) -> Tensor:
        """`h U + c`: the state's share of every gate, (B, H) -> (B, G·H)."""
        product = h @ self.weight_h
        return product if self.bias_h is None else product + self.bias_h

    @abstractmethod
    def gates(self, projected: Tensor, carry: Any) -> Any:
        """Gates and candidate from the projected input (B, G·H) and the carry."""

    @abstractmethod
    def update(self, gates: Any, carry: Any) -> Any:
        """The next carry from the gates and the carry."""

    def forward(self, inputs: Tensor, carry: Any) -> Any:
        """One step: inputs (B, D) or ids (B), and a carry -> the next carry."""
        return self.update(self.gates(self.project(inputs), carry), carry)


class RNNCell(Cell):
    """Simple recurrent cell (Elman 1990).

    h' = φ(x W + h U + b), φ = tanh or relu.
    """

    gate_names = ("n",)
    carry_type = RNNCarry

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: Literal["tanh", "relu"] = "tanh",
        hidden_bias: bool = True,
    ) -> None:
        """Make a cell with φ = `activation`."""
        super().__init__(input_size, hidden_size, hidden_bias=hidden_bias)
        self.activation = activation

    def gates(self, projected: Tensor, carry: RNNCarry) -> RNNGates:
        """n = φ(x W + h U + b), (B, H)."""
        φ = torch.tanh if self.activation == "tanh" else torch.relu
        return RNNGates(n=φ(projected + self.recur(carry.h)))

    def update(self, gates: RNNGates, carry: RNNCarry) -> RNNCarry:
        """h' = n."""
        return RNNCarry(h=gates.n)


class GRUCell(Cell):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078).

    r, z = σ(x W + h U + b)
    n = tanh(x Wₙ + bₙ + r ⊙ (h Uₙ + cₙ))    reset="after": PyTorch, cuDNN, the notebook's code
    n = tanh(x Wₙ + bₙ + (r ⊙ h) Uₙ + cₙ)    reset="before": Cho et al., the notebook's formula
    h' = (1 − z) ⊙ n + z ⊙ h

    The two are different functions: weights of one don't serve the other.
    """

    gate_names = ("r", "z", "n")
    carry_type = GRUCarry

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["after", "before"] = "after",
        hidden_bias: bool = True,
    ) -> None:
        """Make a cell whose reset gate acts after or before the product with Uₙ."""
        super().__init__(input_size, hidden_size, hidden_bias=hidden_bias)
        self.reset = reset

    def gates(self, projected: Tensor, carry: GRUCarry) -> GRUGates:
        """r, z and n, each (B, H)."""
        if self.reset == "before":
            return self.gates_before(projected, carry)
        return self.gates_after(projected, carry)

    def gates_after(self, projected: Tensor, carry: GRUCarry) -> GRUGates:
        """n = tanh(x Wₙ + bₙ + r ⊙ (h Uₙ + cₙ))."""
        x_r, x_z, x_n = projected.chunk(3, -1)
        h_r, h_z, h_n = self.recur(carry.h).chunk(3, -1)
        r = torch.sigmoid(x_r + h_r)
        z = torch.sigmoid(x_z + h_z)
        n = torch.tanh(x_n + r * h_n)
        return GRUGates(r, z, n)

    def gates_before(self, projected: Tensor, carry: GRUCarry) -> GRUGates:
        """n = tanh(x Wₙ + bₙ + (r ⊙ h) Uₙ + cₙ)."""
        rz, last = slice(2 * self.hidden_size), slice(2 * self.hidden_size, None)
        U, x, h = self.weight_h, projected, carry.h
        c = torch.zeros_like(self.bias_x) if self.bias_h is None else self.bias_h
        r, z = torch.sigmoid(x[:, rz] + h @ U[:, rz] + c[rz]).chunk(2, -1)
        n = torch.tanh(x[:, last] + (r * h) @ U[:, last] + c[last])
        return GRUGates(r, z, n)

    def update(self, gates: GRUGates, carry: GRUCarry) -> GRUCarry:
        """h' = (1 − z) ⊙ n + z ⊙ h."""
        _, z, n = gates
        return GRUCarry(h=(1 - z) * n + z * carry.h)


class LSTMCell(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate Gers et al. 2000).

    i, f, o = σ(x W + h U + b)
    g = tanh(x W_g + h U_g + b_g)
    c' = f ⊙ c + i ⊙ g
    h' = o ⊙ tanh(c')

    `forget_bias` is added to f's bias at the start (Jozefowicz et al. 2015 advise 1).
    """

    gate_names = ("i", "f", "g", "o")
    carry_type = LSTMCarry

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        forget_bias: float = 0.0,
        hidden_bias: bool = True,
    ) -> None:
        """Make a cell whose forget gate starts `forget_bias` further open."""
        super().__init__(input_size, hidden_size, hidden_bias=hidden_bias)
        with torch.no_grad():
            self.bias_x[hidden_size : 2 * hidden_size] += forget_bias

    def gates(self, projected: Tensor, carry: LSTMCarry) -> LSTMGates:
        """i, f, g and o, each (B, H)."""
        i, f, g, o = (projected + self.recur(carry.h)).chunk(4, -1)
        return LSTMGates(torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o))

    def update(self, gates: LSTMGates, carry: LSTMCarry) -> LSTMCarry:
        """c' = f ⊙ c + i ⊙ g;  h' = o ⊙ tanh(c')."""
        i, f, g, o = gates
        c = f * carry.c + i * g
        return LSTMCarry(h=o * torch.tanh(c), c=c)


def map_carry(function: Callable[[Tensor], Tensor], carry: Any) -> Any:
    """A carry, of a cell or of a stack, with a function applied to each of its tensors."""
    if isinstance(carry, Tensor):
        return function(carry)
    parts = [map_carry(function, part) for part in carry]
    return cast(Any, type(carry))(*parts) if hasattr(carry, "_fields") else tuple(parts)


def carry_parts(carry: Any) -> list[Tensor]:
    """The tensors of a carry, in the order in which `map_carry` takes them."""
    if isinstance(carry, Tensor):
        return [carry]
    return [tensor for part in carry for tensor in carry_parts(part)]


def detach(carry: Any) -> Any:
    """The same state, cut from the graph: gradients stop at the window's edge."""
    return map_carry(Tensor.detach, carry)
