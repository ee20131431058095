"""Writers: from the state of some streams to their next ids, several steps at a call.

Each step is logits, a choice (`decoding`), and the choice read. On the CPU all of it is one numba
kernel, without the interpreter and without allocation, and a stream's ids don't depend on its
neighbours; elsewhere the model's own forward pass is called. They know ids and no text: when a
stream ends is `streams`' business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from rondeau.compilation import CACHE, copy_with
from rondeau.config import DecodingConfig
from rondeau.generation.decoding import choose, choose_rows, controls
from rondeau.network.backends.gemm import padded_width
from rondeau.network.backends.numba import pack, serves
from rondeau.network.backends.steps import STEPS, Steps, multiply32
from rondeau.network.backends.threads import shared
from rondeau.network.cells import map_carry
from rondeau.network.model import Model
from rondeau.network.stack import StackCarry

Array = NDArray[Any]


class Writer(ABC):
    """The streams that still run, each with its state."""

    @abstractmethod
    def write(self, uniforms: Array) -> Array:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""

    @abstractmethod
    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""


def make_writer(
    model: Model, carry: StackCarry, decoding: DecodingConfig, banned: Sequence[int]
) -> Writer:
    """The writer for a model, where it is, from a carry of B streams."""
    cells = [cell for directions in model.stack.cells for cell in directions]
    ours = model.backend in ("auto", "numba") and all(map(serves, cells))
    kind = CompiledWriter if ours and cells[0].weight_h.dtype == torch.float32 else ModelWriter
    return kind(model, carry, controls(decoding, model.vocabulary, banned))


class ModelWriter(Writer):
    """Any device, backend and type of numbers: the model's forward pass, step by step."""

    def __init__(self, model: Model, carry: StackCarry, settings: tuple[Any, ...]) -> None:
        """Take over a carry (B, H); settings: `decoding.controls`."""
        self.model, self.carry, self.settings = model, carry, settings
        self.features = carry[-1][0].h
        if model.bridge is not None:
            self.features = model.bridge(self.features)

    def write(self, uniforms: Array) -> Array:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""
        ids = np.empty(uniforms.shape, np.int64)
        room = np.empty(self.model.vocabulary, np.int64)
        for chosen, numbers in zip(ids, uniforms, strict=True):
            logits = self.model.output(self.features).float().cpu().numpy()
            choose_rows(logits, *self.settings, numbers, room, chosen)
            read = torch.from_numpy(chosen[None]).to(self.features.device)
            features, self.carry = self.model.features(read, self.carry)
            self.features = features[0]
        return ids

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        rows = torch.from_numpy(streams).to(self.features.device)
        self.carry = map_carry(itemgetter(rows), self.carry)
        self.features = self.features[rows]


step: Any = STEPS["rnn"]


def _write(
    first: int,
    last: int,
    ids: Array,
    uniforms: Array,
    banned: Array,
    temperature: float,
    k: int,
    p: float,
    W_bridge: Array,
    b_bridge: Array,
    W: Array,
    b: Array,
    features: Array,
    logits: Array,
    room: Array,
    table: Array,
    rows: Array,
    numbers: Array,
    W_in: Array,
    product: Array,
    projected: Array,
    h: Array,
    part1: Array,
    part2: Array,
    part3: Array,
    part4: Array,
) -> None:
    arguments = table, rows, numbers, W_in, product, projected, h, part1, part2, part3, part4
    E, V = len(b_bridge), len(b)
    for t in range(len(ids)):
        if E:
            multiply32(h[-1, 0], W_bridge, features, first, last)
            for i in range(first, last):
                for j in range(E):
                    features[i, j] += b_bridge[j]
            multiply32(features[:, :E], W, logits, first, last)
        else:
            multiply32(h[-1, 0], W, logits, first, last)
        for i in range(first, last):
            row = logits[i, :V]
            for j in range(V):
                row[j] += b[j]
            ids[t, i] = choose(row, banned, temperature, k, p, uniforms[t, i], room[i])
            rows[0, i] = ids[t, i]
        step(first, last, *arguments)


WRITE = {
    name: shared(
        njit(nogil=True, error_model="numpy", cache=CACHE)(
            copy_with(_write, f"write_{name}", {"step": kernel})
        )
    )
    for name, kernel in STEPS.items()
}
"""The whole loop, by cell: `shared` splits the streams among threads, once a call."""


class CompiledWriter(Writer):
    """float32 on the CPU: one kernel for all the steps of a call."""

    def __init__(self, model: Model, carry: StackCarry, settings: tuple[Any, ...]) -> None:
        """Pack the model's weights and take over a carry (B, H); settings: `decoding.controls`."""
        cells = [directions[0] for directions in model.stack.cells]
        table: Tensor = cells[0].weight_x
        if model.embedding is not None:
            table = model.embedding.weight @ table
        self.steps = Steps(cells, table, [layer[0] for layer in carry])
        bridge = (np.empty(0, np.float32), np.empty(0, np.float32))
        if model.bridge is not None:
            bridge = _linear(model.bridge)
        self.output: tuple[Array, ...] = (*bridge, *_linear(model.output))
        self.settings = settings

    def write(self, uniforms: Array) -> Array:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""
        ids = np.empty(uniforms.shape, np.int64)
        B, V = uniforms.shape[1], len(self.output[-1])
        features, logits = (
            np.empty((B, padded_width(len(bias), bias.dtype)), np.float32)
            for bias in self.output[1::2]
        )
        room = np.empty((B, V), np.int64)
        buffers = features, logits, room
        arguments = *self.settings, *self.output, *buffers, *self.steps.arguments
        WRITE[self.steps.name](B, ids, np.ascontiguousarray(uniforms), *arguments)
        return ids

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        self.steps.keep(streams)


def _linear(layer: nn.Linear) -> tuple[Array, Array]:
    """A linear layer's packed weights and its bias."""
    return pack(layer.weight, transposed=True), layer.bias.detach().numpy()
