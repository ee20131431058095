"""Bits a character against how far back a model may look, and which gate carries what.

Before each target the model reads only the last k characters, from a zero carry. The same targets
serve every k and every held gate, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rondeau.inspection.ablation import Held, hold_at_mean
from rondeau.inspection.gates import GATES, Activity
from rondeau.inspection.reading import Reading, bits_of_contexts
from rondeau.network.model import Model

TARGETS = 1_000
LENGTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
NEAR = 16
"""Characters up to which a dependency is called near."""


@dataclass(frozen=True)
class Curve:
    """Bits of every target after each context length, (K, N); None: no gate was held."""

    held: Held | None
    bits: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Bits a target, (K,)."""
        return np.asarray(self.bits.mean(1))

    @property
    def error(self) -> NDArray[np.float64]:
        """The standard error of that, (K,)."""
        return _error(self.bits)


@dataclass(frozen=True)
class Difference:
    """A difference in bits a character over the same targets, and its standard error."""

    value: float
    error: float


@dataclass(frozen=True)
class Context:
    """The curves of a model as it is, and with each gate held at its mean."""

    lengths: tuple[int, ...]
    whole: Curve
    held: tuple[Curve, ...]

    @property
    def targets(self) -> int:
        """How many targets were sampled."""
        return int(self.whole.bits.shape[1])

    @property
    def split(self) -> int:
        """Where the near ends, among the lengths."""
        return len([k for k in self.lengths if k <= NEAR]) - 1

    @property
    def saved(self) -> Difference:
        """What the characters before the last 16 save the model as it is."""
        return _difference(self.whole.bits[self.split] - self.whole.bits[-1])

    def near(self, curve: Curve) -> Difference:
        """What a held gate costs where only the last 16 characters may be read."""
        return _difference(curve.bits[self.split] - self.whole.bits[self.split])

    def far(self, curve: Curve) -> Difference:
        """What it costs beyond that where all may be read."""
        cost = curve.bits - self.whole.bits
        return _difference(cost[-1] - cost[self.split])


def _difference(bits: NDArray[np.float64]) -> Difference:
    return Difference(float(bits.mean()), float(_error(bits)))


def _error(bits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(bits.std(-1, ddof=bits.shape[-1] > 1) / np.sqrt(bits.shape[-1]))


def context_curves(
    model: Model,
    reading: Reading,
    activities: Sequence[Activity],
    *,
    targets: int = TARGETS,
    lengths: Sequence[int] = LENGTHS,
    seed: int = 0,
) -> Context:
    """Curves of a causal model over targets sampled from a text.

    A document that begins within the last k characters is read from its `<bos>` on. Lengths that no
    document has are left out, but for the first one beyond.
    """
    longest = max(len(ids) for ids in reading.framed) - 1
    lengths = [k for i, k in enumerate(lengths) if i == 0 or lengths[i - 1] < longest]
    places = sample(reading, targets, seed)
    models: Mapping[Held | None, Model] = {None: model} | {
        Held(gate, None): hold_at_mean(model, gate, activities) for gate in GATES[model.config.cell]
    }
    curves = [
        Curve(held, np.stack([bits_at(one, reading, places, k) for k in lengths]))
        for held, one in models.items()
    ]
    return Context(tuple(lengths), curves[0], tuple(curves[1:]))


Places = NDArray[np.int64]
"""Targets as rows (document, place in its ids), (N, 2)."""


def sample(reading: Reading, targets: int, seed: int) -> Places:
    """So many different targets of a text, or all that it has."""
    counts = np.array([len(ids) - 1 for ids in reading.framed])
    total = int(counts.sum())
    chosen = np.sort(np.random.default_rng(seed).permutation(total)[:targets])
    ends = np.cumsum(counts)
    document = np.searchsorted(ends, chosen, side="right")
    return np.stack([document, chosen - (ends - counts)[document] + 1], 1)


def bits_at(model: Model, reading: Reading, places: Places, length: int) -> NDArray[np.float64]:
    """Bits of targets (N,) after the last `length` ids before each."""
    contexts = [reading.framed[d][max(0, place - length) : place] for d, place in places]
    targets = np.array([reading.framed[d][place] for d, place in places])
    return bits_of_contexts(model, contexts, targets, reading.unknown_bits)
