"""PyTorch's own recurrent kernels (oneDNN and native on the CPU, cuDNN on the GPU).

Also the lossless mapping of weights between our cells and torch.nn.RNN, GRU and LSTM: the layouts
differ by a transposition only. Knows nothing of stacks: layers come and go as lists of directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rondeau.errors import UnsupportedError
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell
from rondeau.network.precision import product_type


def serves(cell: Cell) -> bool:
    """Whether torch.nn computes this cell's function."""
    if type(cell) is GRUCell:
        return cell.reset == "after"
    return type(cell) in (RNNCell, LSTMCell)


def refuse_unserved(cell: Cell) -> None:
    """Raise UnsupportedError, naming a backend that can, for a cell that torch.nn lacks."""
    if not serves(cell):
        what = 'GRU with reset="before"' if isinstance(cell, GRUCell) else type(cell).__name__
        raise UnsupportedError(f"--backend library: torch.nn has no {what}; use reference or auto")


def unroll(cell: Cell, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H) and the last carry.

    Token ids are projected by row lookup; torch.nn, which only takes vectors, is then given an
    identity as its input weights: exact, and for large vocabularies far cheaper than one-hots.
    """
    refuse_unserved(cell)
    kind = product_type(cell.weight_h)
    with torch.autocast(cell.weight_h.device.type, enabled=False):
        outputs, *state = _unroll(cell, inputs, carry, kind)
    return outputs, cell.carry_type(*(part.squeeze(0) for part in state))


def _unroll(cell: Cell, inputs: Tensor, carry: Any, kind: torch.dtype) -> list[Tensor]:
    """Outputs and last states (1, B, H): torch.nn computes all of it in one type of numbers."""
    zero = torch.zeros_like(cell.bias_x)
    if inputs.is_floating_point():
        weight_x: Tensor = cell.weight_x.t()
        bias_x: Tensor = cell.bias_x
    else:
        inputs = cell.project(inputs)
        weight_x, bias_x = torch.eye(zero.numel(), dtype=zero.dtype, device=zero.device), zero
    bias_h = zero if cell.bias_h is None else cell.bias_h
    weights = [part.to(kind) for part in (weight_x, cell.weight_h.t(), bias_x, bias_h)]
    if zero.device.type == "cuda":  # cuDNN wants them in one piece, in this order
        whole = torch.cat([part.flatten() for part in weights])
        pieces = torch.split(whole, [part.numel() for part in weights])
        weights = [piece.view_as(part) for piece, part in zip(pieces, weights, strict=True)]
    state = [part.to(kind).unsqueeze(0).contiguous() for part in carry]
    inputs = inputs.to(kind)
    # has_biases, num_layers, dropout, train, bidirectional, batch_first
    rest = (weights, True, 1, 0.0, cell.training, False, False)
    if isinstance(cell, LSTMCell):
        outputs, *state = torch.lstm(inputs, state, *rest)
    elif isinstance(cell, GRUCell):
        outputs, *state = torch.gru(inputs, state[0], *rest)
    elif isinstance(cell, RNNCell) and cell.activation == "relu":
        outputs, *state = torch.rnn_relu(inputs, state[0], *rest)
    else:
        outputs, *state = torch.rnn_tanh(inputs, state[0], *rest)
    return [part.to(zero.dtype) for part in (outputs, *state)]


def to_torch(layers: Sequence[Sequence[Cell]]) -> nn.RNNBase:
    """A torch.nn module with the weights of `layers[layer][direction]`.

    A cell with one bias a gate gives torch.nn a zero second bias.
    Raises UnsupportedError for a cell that torch.nn lacks.
    """
    first = layers[0][0]
    refuse_unserved(first)
    shape: dict[str, Any] = {
        "input_size": first.input_size,
        "hidden_size": first.hidden_size,
        "num_layers": len(layers),
        "bidirectional": len(layers[0]) == 2,
    }
    module: nn.RNNBase
    if isinstance(first, LSTMCell):
        module = nn.LSTM(**shape)
    elif isinstance(first, GRUCell):
        module = nn.GRU(**shape)
    else:
        assert isinstance(first, RNNCell)
        module = nn.RNN(**shape, nonlinearity=first.activation)
    module = module.to(first.weight_h)
    with torch.no_grad():
        for layer, directions in enumerate(layers):
            for cell, suffix in zip(directions, ("", "_reverse"), strict=False):
                name = f"l{layer}{suffix}"
                getattr(module, f"weight_ih_{name}").copy_(cell.weight_x.t())
                getattr(module, f"weight_hh_{name}").copy_(cell.weight_h.t())
                getattr(module, f"bias_ih_{name}").copy_(cell.bias_x)
                getattr(module, f"bias_hh_{name}").copy_(
                    torch.zeros_like(cell.bias_x) if cell.bias_h is None else cell.bias_h
                )
    return module


def from_torch(module: nn.RNNBase) -> list[list[Cell]]:
    """Our cells, `[layer][direction]`, with the weights of a torch.nn.RNN, GRU or LSTM.

    Raises UnsupportedError for what our cells lack: batch_first and dropout are not weights and
    are not looked at, but a projected LSTM or a module without biases has no counterpart.
    """
    if not module.bias or module.proj_size:
        raise UnsupportedError("from_torch: a module without biases or with proj_size has no cell")
    layers: list[list[Cell]] = []
    for layer in range(module.num_layers):
        directions: list[Cell] = []
        for suffix in ("", "_reverse")[: 1 + module.bidirectional]:
            name = f"l{layer}{suffix}"
            weight_x = getattr(module, f"weight_ih_{name}")
            cell = _empty_cell(module, weight_x.shape[1]).to(weight_x)
            with torch.no_grad():
                cell.weight_x.copy_(weight_x.t())
                cell.weight_h.copy_(getattr(module, f"weight_hh_{name}").t())
                cell.bias_x.copy_(getattr(module, f"bias_ih_{name}"))
                assert cell.bias_h is not None
                cell.bias_h.copy_(getattr(module, f"bias_hh_{name}"))
            directions.append(cell)
        layers.append(directions)
    return layers


def _empty_cell(module: nn.RNNBase, input_size: int) -> Cell:
    if isinstance(module, nn.LSTM):
        return LSTMCell(input_size, module.hidden_size)
    if isinstance(module, nn.GRU):
        return GRUCell(input_size, module.hidden_size)
    if isinstance(module, nn.RNN):
        relu = module.nonlinearity == "relu"
        return RNNCell(input_size, module.hidden_size, activation="relu" if relu else "tanh")
    raise UnsupportedError(f"from_torch: no cell for {type(module).__name__}")
