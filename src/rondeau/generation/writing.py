"""Writers: from the state of some streams to their next ids, several steps at a call.

Each step is logits, a choice (`decoding`), and the choice read; streams join and leave between
calls. On the CPU all of it is one numba kernel, without the interpreter and without allocation, and
a stream's ids don't depend on its neighbours; elsewhere the model's own forward pass is called.
They know ids and no text: when a stream ends is `batching`'s business.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

from rondeau.compilation import CACHE, copy_with
from rondeau.generation.decoding import Choosers, Controls, Told, choose_rows, decide
from rondeau.generation.tensors import Chosen, TensorChoosers
from rondeau.network.backends.gemm import padded_width
from rondeau.network.backends.numba import serves
from rondeau.network.backends.products import multiply, pack
from rondeau.network.backends.steps import STEPS, Steps, multiply32
from rondeau.network.backends.threads import shared
from rondeau.network.capture import Capture, capture_on_gpu
from rondeau.network.cells import carry_parts, map_carry
from rondeau.network.model import Model
from rondeau.network.stack import StackCarry

Array = NDArray[Any]


class Written(NamedTuple):
    """ids (S, B), and what is told of them (`Told`, each with the axes (S, B) first)."""

    ids: Array
    nats: Array
    likely: Array
    likely_nats: Array

    def told(self, stream: int, steps: int, count: int) -> Told:
        """What is told of the first steps of a stream that tells so many likeliest ids."""
        likely, nats = (part[:steps, stream, :count] for part in (self.likely, self.likely_nats))
        return Told(self.nats[:steps, stream].copy(), likely.copy(), nats.copy())


class Writer(ABC):
    """The streams that still run, each with its state and its controls."""

    def __init__(self, choosers: Choosers | TensorChoosers) -> None:
        """No stream yet."""
        self._streams = choosers

    @abstractmethod
    def write(self, uniforms: Array) -> Written:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""

    @abstractmethod
    def carry(self, stream: int) -> StackCarry:
        """The state of one stream, (1, H): a copy."""

    def add(self, carry: StackCarry, controls: Sequence[Controls]) -> None:
        """More streams, after the others, from a carry (B, H)."""
        self._streams.add(controls)

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        self._streams.keep(streams)


def make_writer(model: Model) -> Writer:
    """The writer for a model, where it is, with no stream yet."""
    cells = [cell for directions in model.stack.cells for cell in directions]
    with model.products():
        ours = model.backend in ("auto", "numba") and all(map(serves, cells))
    weight = cells[0].weight_h
    if ours and weight.dtype == torch.float32:
        return CompiledWriter(model)
    return DeviceWriter(model) if weight.device.type == "cuda" else ModelWriter(model)


class TensorWriter(Writer):
    """What steps by the model's own forward pass: the state of its streams."""

    def __init__(self, model: Model, choosers: Choosers | TensorChoosers) -> None:
        """Write with a model."""
        super().__init__(choosers)
        self.model, self.state = model, model.initial_carry(0)

    def carry(self, stream: int) -> StackCarry:
        """The state of one stream, (1, H): a copy."""
        state: StackCarry = map_carry(lambda part: part[stream : stream + 1].clone(), self.state)
        return state

    def add(self, carry: StackCarry, controls: Sequence[Controls]) -> None:
        """More streams, after the others, from a carry (B, H)."""
        super().add(carry, controls)
        parts = zip(carry_parts(self.state), carry_parts(carry), strict=True)
        joined = iter([torch.cat(pair) for pair in parts])
        self.state = map_carry(lambda _: next(joined), self.state)

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        super().keep(streams)
        rows = torch.from_numpy(streams).to(carry_parts(self.state)[0].device)
        self.state = map_carry(itemgetter(rows), self.state)


class ModelWriter(TensorWriter):
    """Any backend and type of numbers; choices are made on the host."""

    def __init__(self, model: Model) -> None:
        """Write with a model."""
        self.choosers = Choosers(model.vocabulary)
        super().__init__(model, self.choosers)

    def write(self, uniforms: Array) -> Written:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""
        V = self.model.vocabulary
        written = Written(*self.choosers.room(len(uniforms)))
        room = np.empty(V, np.float32), np.empty(V, np.int64)
        features = self.model.last_features(self.state)
        for t, numbers in enumerate(uniforms):
            logits = self.model.output(features).float().cpu().numpy()
            rows = (part[t] for part in written)
            choose_rows(logits, numbers, *self.choosers.arguments, *room, *rows)
            read = torch.from_numpy(written.ids[t : t + 1]).to(features.device)
            (features,), self.state = self.model.features(read, self.state)
        return written


class DeviceWriter(TensorWriter):
    """An NVIDIA GPU: choices are made there too, and nobody waits before the last step."""

    def __init__(self, model: Model, *, capture: Capture = capture_on_gpu) -> None:
        """Write with a model; capture: what records a step, where the model asks for it."""
        self.choosers = TensorChoosers(model.vocabulary, model.output.weight.device)
        super().__init__(model, self.choosers)
        self._capture = capture
        self._replay: Callable[[], None] | None = None
        self._uniforms, self._chosen = torch.empty(0), Chosen(*[torch.empty(0)] * 4)

    def write(self, uniforms: Array) -> Written:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""
        numbers = torch.from_numpy(uniforms).to(self.choosers.device)
        steps: list[Chosen] = []
        for step in range(len(numbers)):
            if self._replay is None:
                self._uniforms = numbers[step].clone()
                self._write()
            else:
                self._uniforms.copy_(numbers[step])
                self._replay()
            steps.append(Chosen(*(part.clone() for part in self._chosen)))
            # After a step as it is, in which libraries make what they need, and before another.
            if self.model.cuda_graphs and self._replay is None and step + 1 < len(numbers):
                self._replay = self._capture(self._write)
        return Written(*(torch.stack(part).cpu().numpy() for part in zip(*steps, strict=True)))

    def _write(self) -> None:
        """One step, on tensors that stay where they are."""
        features = self.model.last_features(self.state)
        self._chosen = self.choosers.choose(self.model.output(features).float(), self._uniforms)
        _, state = self.model.features(self._chosen.ids[None], self.state)
        for place, part in zip(carry_parts(self.state), carry_parts(state), strict=True):
            place.copy_(part)

    def add(self, carry: StackCarry, controls: Sequence[Controls]) -> None:
        """More streams, after the others, from a carry (B, H)."""
        super().add(carry, controls)
        self._replay = None

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        super().keep(streams)
        self._replay = None


step: Any = STEPS["rnn"]


def _write(
    first: int,
    last: int,
    uniforms: Array,
    ids: Array,
    nats: Array,
    likely: Array,
    likely_nats: Array,
    temperature: Array,
    k: Array,
    p: Array,
    penalties: Array,
    bias: Array,
    seen: Array,
    told: Array,
    W_bridge: Array,
    b_bridge: Array,
    W: Array,
    b: Array,
    features: Array,
    logits: Array,
    weights: Array,
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
            ids[t, i] = decide(
                i, row, uniforms[t, i], temperature, k, p, penalties, bias, seen, told,
                weights[i], room[i], nats[t], likely[t], likely_nats[t],
            )  # fmt: skip
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

    def __init__(self, model: Model) -> None:
        """Pack the model's weights."""
        self.choosers = Choosers(model.vocabulary)
        super().__init__(self.choosers)
        cells = [directions[0] for directions in model.stack.cells]
        table: Tensor = cells[0].weight_x
        if model.embedding is not None:
            # The product that reads a window: a state is the same to the bit, read or written.
            table = multiply(model.embedding.weight, pack(table), table.shape[1])
        self.steps = Steps(cells, table, [layer[0] for layer in model.initial_carry(0)])
        bridge = (np.empty(0, np.float32), np.empty(0, np.float32))
        if model.bridge is not None:
            bridge = _linear(model.bridge)
        self.output: tuple[Array, ...] = (*bridge, *_linear(model.output))

    def write(self, uniforms: Array) -> Written:
        """The next ids (S, B), chosen at uniform numbers (S, B)."""
        B, V = uniforms.shape[1], len(self.output[-1])
        written = Written(*self.choosers.room(len(uniforms)))
        features, logits = (
            np.empty((B, padded_width(len(bias), bias.dtype)), np.float32)
            for bias in self.output[1::2]
        )
        buffers = features, logits, np.empty((B, V), np.float32), np.empty((B, V), np.int64)
        arguments = (
            *(*written, *self.choosers.arguments),
            *(*self.output, *buffers, *self.steps.arguments),
        )
        WRITE[self.steps.name](B, np.ascontiguousarray(uniforms), *arguments)
        return written

    def carry(self, stream: int) -> StackCarry:
        """The state of one stream, (1, H): a copy."""
        return tuple((layer,) for layer in self.steps.stream(stream))

    def add(self, carry: StackCarry, controls: Sequence[Controls]) -> None:
        """More streams, after the others, from a carry (B, H)."""
        super().add(carry, controls)
        self.steps.add([layer[0] for layer in carry])

    def keep(self, streams: Array) -> None:
        """Go on with these streams only."""
        super().keep(streams)
        self.steps.keep(streams)


def _linear(layer: nn.Linear) -> tuple[Array, Array]:
    """A linear layer's packed weights and its bias."""
    return pack(layer.weight, transposed=True), layer.bias.detach().numpy()
