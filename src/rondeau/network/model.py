"""A language model over ids: ids in, logits and loss out. It knows no characters.

Input is a row lookup (the textbook's one-hot product, without the one-hots) or an embedding;
output is one GEMM for a whole window, with its own weights or the embedding's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch.nn.functional as F
from torch import Tensor, nn

from rondeau.config import Backend, ModelConfig, Precision
from rondeau.network.loss import linear_cross_entropy
from rondeau.network.precision import lowered
from rondeau.network.stack import Masks, Stack, StackCarry, drop


class Model(nn.Module):
    """Recurrent language model with a vocabulary of V ids.

    `hidden_bias=False` gives each gate one bias, as in the notebook's scratch code.
    """

    def __init__(self, config: ModelConfig, vocabulary: int, *, hidden_bias: bool = True) -> None:
        """Make a model with freshly drawn parameters (from torch's global generator)."""
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.embedding = (
            None if config.embedding is None else nn.Embedding(vocabulary, config.embedding)
        )
        size = vocabulary if config.embedding is None else config.embedding
        self.stack = Stack.from_config(config, size, hidden_bias=hidden_bias)
        self.bridge: nn.Linear | None = None
        width = self.stack.output_size
        if config.tie_weights and config.embedding != width:
            assert config.embedding is not None
            self.bridge = nn.Linear(width, config.embedding)
            width = config.embedding
        self.output = nn.Linear(width, vocabulary)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
            if config.tie_weights:
                self.output.weight = self.embedding.weight
        self.backend: Backend = "auto"
        self.precision: Precision = "float32"
        self.cuda_graphs = False

    def initial_carry(self, batch: int) -> StackCarry:
        """The zero state for `batch` streams."""
        return self.stack.initial_carry(batch)

    def products(self) -> AbstractContextManager[object]:
        """Where products are computed in the model's precision."""
        return lowered(self.precision, self.output.weight.device)

    @property
    def tables(self) -> list[Tensor]:
        """The parameters of which a window reads some rows and no others are learned from."""
        if self.embedding is None:
            return [cell.weight_x for cell in self.stack.cells[0]]
        return [] if self.config.tie_weights else [self.embedding.weight]

    @property
    def causal(self) -> bool:
        """Whether an output depends on the past only."""
        return not self.config.bidirectional

    @property
    def parameter_count(self) -> int:
        """Number of trained numbers, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def features(
        self, ids: Tensor, carry: StackCarry, *, masks: Masks | None = None
    ) -> tuple[Tensor, StackCarry]:
        """ids (T, B) -> what the output layer reads, (T, B, width), and the last carry.

        Both in the type of the weights, whatever the precision of products.
        """
        config = self.config
        inputs = ids
        with self.products():
            if self.embedding is not None:
                inputs = self.embedding(ids)
                if self.training and config.dropout_input:
                    inputs = drop(inputs, config.dropout_input, masks)
            outputs, carry = self.stack(inputs, carry, backend=self.backend, masks=masks)
            if self.training and config.dropout:
                outputs = drop(outputs, config.dropout, masks)
            if self.bridge is not None:
                outputs = self.bridge(outputs)
        return outputs.to(self.output.weight.dtype), carry

    def last_features(self, carry: StackCarry) -> Tensor:
        """What the output layer reads of a carry (B, H) of a causal model, (B, width)."""
        h: Tensor = carry[-1][0].h
        if self.bridge is not None:
            with self.products():
                h = self.bridge(h).to(h.dtype)
        return h

    def forward(
        self, ids: Tensor, carry: StackCarry, *, masks: Masks | None = None
    ) -> tuple[Tensor, StackCarry]:
        """ids (T, B) and a carry -> logits (T, B, V) and the last carry."""
        features, carry = self.features(ids, carry, masks=masks)
        return self.output(features), carry

    def loss(
        self,
        ids: Tensor,
        targets: Tensor,
        carry: StackCarry,
        *,
        asked: Tensor | None = None,
        masks: Masks | None = None,
    ) -> tuple[Tensor, StackCarry]:
        """Mean cross-entropy in nats of targets (T, B) after ids (T, B), and the last carry.

        asked: the targets that count, (T, B) of bool; all of them without it. Of none the
        loss is zero, and so is its gradient.
        """
        features, carry = self.features(ids, carry, masks=masks)
        rows, wanted = features.flatten(0, 1), targets.flatten()
        if asked is not None:
            rows, wanted = rows[asked.flatten()], wanted[asked.flatten()]
            if not len(rows):
                return self.output(rows).sum(), carry
        with self.products():
            if self.backend in ("auto", "numba"):
                loss = linear_cross_entropy(rows, self.output.weight, self.output.bias, wanted)
            else:
                loss = F.cross_entropy(self.output(rows).to(rows.dtype), wanted)
        return loss, carry


def parameter_count(config: ModelConfig, vocabulary: int) -> int:
    """How many numbers a model of these settings has, by arithmetic: none is made."""
    hidden, directions = config.hidden, 1 + config.bidirectional
    gates = {"rnn": 1, "gru": 3, "lstm": 4}[config.cell] * hidden
    read, width = config.embedding or vocabulary, directions * hidden
    inputs = read + (config.layers - 1) * width
    count = directions * gates * (inputs + config.layers * (hidden + 2))
    if config.embedding is not None:
        count += vocabulary * config.embedding
        if config.tie_weights:
            bridge = (width + 1) * config.embedding if config.embedding != width else 0
            return count + bridge + vocabulary
    return count + (width + 1) * vocabulary
