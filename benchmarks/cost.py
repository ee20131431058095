"""What a step of training on several processes costs, by arithmetic from what a machine can do.

Seconds a step = compute + what of the reduction isn't hidden behind it:

    compute   = cell and output layer: FLOPs / (FLOP/s), gates and logits one by one
                + parameters × (seconds that zeroing, the norm, clipping and Adam take for each)
                + what any step takes besides, with processes that wait for each other
    reduction = bytes over the slowest link of a ring / (bytes/s) + operations × latency

It measures nothing: `processes.py` does, and holds these predictions to what it finds. Counted is a
stack of GRU layers in one direction, with float32 numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rondeau.config import ModelConfig
from rondeau.network.model import parameter_count

NUMBER, ID = 4, 8
"""Bytes of a number, and of an id."""
BUCKETS = 1 << 20, 25 << 20
"""Bytes that DistributedDataParallel adds up at once: the first time, and later."""
OTHERS = 3
"""Operations besides the buckets: loss and stops, which ids were read, their rows."""
BACKWARD = 2 / 3
"""The backward pass's share of the cell's time."""


@dataclass(frozen=True)
class Shape:
    """A model, and a process's share of the batch."""

    hidden: int
    vocabulary: int
    embedding: int | None = None
    layers: int = 1
    batch: int = 32
    seq_len: int = 64

    @property
    def tokens(self) -> int:
        """Tokens a step that one process reads."""
        return self.batch * self.seq_len

    @property
    def parameters(self) -> int:
        """Numbers that are learned."""
        config = ModelConfig(hidden=self.hidden, layers=self.layers, embedding=self.embedding)
        return parameter_count(config, self.vocabulary)

    @property
    def width(self) -> int:
        """Numbers in a row of the input table, of which a step reads some rows."""
        return self.embedding or 3 * self.hidden

    @property
    def cell_flops(self) -> float:
        """Of the recurrent products, forward and backward, and of layers that read vectors."""
        H, read = self.hidden, (self.embedding or 0) + (self.layers - 1) * self.hidden
        return 6.0 * self.tokens * 3 * H * (self.layers * H + read)

    @property
    def gates(self) -> float:
        """Gates and candidates a step."""
        return 3.0 * self.tokens * self.layers * self.hidden

    @property
    def output_flops(self) -> float:
        """Of the output layer, forward and backward."""
        return 6.0 * self.logits * self.hidden

    @property
    def logits(self) -> float:
        """Logits a step."""
        return float(self.tokens * self.vocabulary)


@dataclass(frozen=True)
class Machine:
    """What each of its processes can do while all of them compute: seconds a piece of work.

    step: seconds that any step takes besides. moment: those that a layer takes for each step of
    time at least, forward and backward.
    operation: seconds that the least reduction takes; byte: of what a link carries in one.
    overlap: whether a reduction goes on beside the backward pass, on processors of its own.
    """

    cell_flop: float
    gate: float
    output_flop: float
    logit: float
    parameter: float
    operation: float = 0.0
    byte: float = 0.0
    step: float = 0.0
    moment: float = 0.0
    overlap: bool = False

    def cell(self, shape: Shape) -> float:
        """Seconds of the cells, forward and backward."""
        least = self.moment * shape.layers * shape.seq_len
        return max(least, self.cell_flop * shape.cell_flops + self.gate * shape.gates)

    def compute(self, shape: Shape) -> float:
        """Seconds a step of one process that has nobody to wait for."""
        output = self.output_flop * shape.output_flops + self.logit * shape.logits
        return self.step + self.cell(shape) + output + self.parameter * shape.parameters

    def seconds(self, shape: Shape, ranks: int) -> float:
        """Seconds a step of so many processes."""
        if ranks == 1:
            return self.compute(shape)
        dense, table = sent(shape, ranks)
        reduction = self.byte * (dense + table) + self.operation * operations(shape)
        hidden = 0.0
        if self.overlap:
            # The gradients of the first layer and its table are there when the pass is over.
            first = ring(ranks) * NUMBER * 3 * shape.hidden**2
            hidden = min(self.byte * max(0.0, dense - first), BACKWARD * self.cell(shape))
        return self.compute(shape) + reduction - hidden

    def tokens_per_second(self, shape: Shape, ranks: int) -> float:
        """Of all processes."""
        return ranks * shape.tokens / self.seconds(shape, ranks)


def ring(ranks: int) -> float:
    """How often a number crosses each link of a ring while everybody's are added up."""
    return 2 * (ranks - 1) / ranks


def distinct(shape: Shape) -> float:
    """Ids that differ among a process's tokens, in a text by Zipf's law."""
    chances = 1 / np.arange(1, shape.vocabulary + 1)
    chances /= chances.sum()
    return float(np.sum(1 - (1 - chances) ** shape.tokens))


def sent(shape: Shape, ranks: int) -> tuple[float, float]:
    """Bytes a step that each process sends: of dense gradients, and of the input table's."""
    if ranks == 1:
        return 0.0, 0.0
    table, rows = shape.vocabulary * shape.width, distinct(shape)
    dense = ring(ranks) * NUMBER * (shape.parameters - table)
    ids = (ranks - 1) * ID * shape.tokens
    if rows * ranks >= 2 * shape.vocabulary:
        return dense, ids + ring(ranks) * NUMBER * table
    return dense, ids + (ranks - 1) * NUMBER * rows * shape.width


def operations(shape: Shape) -> int:
    """Reductions a step."""
    left = NUMBER * (shape.parameters - shape.vocabulary * shape.width) - BUCKETS[0]
    return 1 + max(0, -(-left // BUCKETS[1])) + OTHERS
