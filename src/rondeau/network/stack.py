"""Cells composed in depth and direction: vectors or ids in, vectors out.

Each layer reads the outputs of the one below; a bidirectional layer joins the outputs of a cell
that reads forwards and one that reads backwards. It knows no vocabulary and no loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from rondeau.config import Backend, ModelConfig
from rondeau.network.backends import library, unroll
from rondeau.network.cells import Cell, GRUCell, LSTMCell, RNNCell

StackCarry = tuple[tuple[Any, ...], ...]
"""The carry of a stack: `carry[layer][direction]`."""


def make_cell(config: ModelConfig, input_size: int, *, hidden_bias: bool = True) -> Cell:
    """The cell that the settings describe."""
    if config.cell == "lstm":
        return LSTMCell(
            input_size, config.hidden, forget_bias=config.forget_bias, hidden_bias=hidden_bias
        )
    if config.cell == "gru":
        return GRUCell(input_size, config.hidden, reset=config.reset, hidden_bias=hidden_bias)
    return RNNCell(input_size, config.hidden, activation=config.activation, hidden_bias=hidden_bias)


@dataclass(frozen=True)
class Masks:
    """What draws dropout's masks for some streams of a batch: the same ones as for all of it.

    streams: which of the `batch` streams; generator: drawn from as often as masks are asked for.
    """

    generator: torch.Generator
    streams: slice
    batch: int

    def draw(self, vectors: Tensor, keep: float) -> Tensor:
        """Ones with probability `keep`, else zeros, (1, B, N) for vectors (T, B, N)."""
        mask = vectors.new_empty(1, self.batch, vectors.shape[-1])
        return mask.bernoulli_(keep, generator=self.generator)[:, self.streams]


def drop(vectors: Tensor, share: float, masks: Masks | None) -> Tensor:
    """Dropout of a (T, B, N) window with one mask for all its steps (Gal & Ghahramani 2016).

    Without `masks` from torch's global generator.
    """
    keep = 1 - share
    if masks is None:
        mask = vectors.new_empty(1, *vectors.shape[1:]).bernoulli_(keep)
    else:
        mask = masks.draw(vectors, keep)
    return vectors * (mask / keep)


class Stack(nn.Module):
    """Any depth, one or both directions: `stack(inputs, carry) -> (outputs, carry)`."""

    def __init__(self, layers: list[list[Cell]], *, dropout: float = 0.0) -> None:
        """Compose `layers[layer][direction]`; dropout acts between layers while training."""
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList(directions) for directions in layers)
        self.dropout = dropout

    @classmethod
    def from_config(cls, config: ModelConfig, input_size: int, *, hidden_bias: bool = True) -> Self:
        """The stack that the settings describe, for inputs of size D or ids below D."""
        directions = 1 + config.bidirectional
        sizes = [input_size] + [directions * config.hidden] * (config.layers - 1)
        layers = [
            [make_cell(config, size, hidden_bias=hidden_bias) for _ in range(directions)]
            for size in sizes
        ]
        return cls(layers, dropout=config.dropout)

    @classmethod
    def from_torch(cls, module: nn.RNNBase) -> Self:
        """A stack with the weights of a torch.nn.RNN, GRU or LSTM."""
        return cls(library.from_torch(module), dropout=module.dropout)

    def to_torch(self) -> nn.RNNBase:
        """A torch.nn.RNN, GRU or LSTM with the weights of this stack (dropout is not carried)."""
        return library.to_torch(self.cells)

    @property
    def cells(self) -> list[list[Cell]]:
        """The cells, `[layer][direction]`."""
        return [[cast(Cell, c) for c in cast(nn.ModuleList, layer)] for layer in self.layers]

    @property
    def output_size(self) -> int:
        """Size of an output vector: H, or 2 H when reading in both directions."""
        return sum(cell.hidden_size for cell in self.cells[-1])

    def initial_carry(self, batch: int) -> StackCarry:
        """The zero state of every cell."""
        return tuple(tuple(cell.initial_carry(batch) for cell in layer) for layer in self.cells)

    def forward(
        self,
        inputs: Tensor,
        carry: StackCarry,
        *,
        backend: Backend = "auto",
        masks: Masks | None = None,
    ) -> tuple[Tensor, StackCarry]:
        """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H or 2 H) and the last carry.

        A backward cell's last carry is the one at the window's first step.
        """
        last: list[tuple[Any, ...]] = []
        for depth, (directions, states) in enumerate(zip(self.cells, carry, strict=True)):
            if depth and self.training and self.dropout:
                inputs = drop(inputs, self.dropout, masks)
            read = [unroll(directions[0], inputs, states[0], backend=backend)]
            if len(directions) == 2:
                outputs, state = unroll(directions[1], inputs.flip(0), states[1], backend=backend)
                read.append((outputs.flip(0), state))
            inputs = torch.cat([o for o, _ in read], -1) if len(read) > 1 else read[0][0]
            last.append(tuple(state for _, state in read))
        return inputs, tuple(last)
