"""How sure a figure is, and a difference: the bootstrap over documents (Efron 1979).

Documents are drawn again and again with replacement; the interval is where 95 % of the figures
fall. Two models are compared on the same draws (Koehn 2004), since documents differ far more than
models do. It knows bits and characters only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
SHARE = 0.95

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the interval of 95 % around it, in bits a character."""

    value: float
    low: float
    high: float

    @property
    def within_noise(self) -> bool:
        """Of a difference: whether none at all is among what is likely."""
        return self.low <= 0 <= self.high


def bits_per_character(bits: Figures, characters: Figures) -> Interval:
    """The bits a character of documents, from the bits and the characters of each, (D,)."""
    return _interval(bits.sum() / characters.sum(), _drawn(bits[None], characters)[0])


def difference(bits: Figures, others: Figures, characters: Figures) -> Interval:
    """How many bits a character more the others need, on the same documents, (D,) each."""
    mine, theirs = _drawn(np.stack([bits, others]), characters)
    return _interval((others.sum() - bits.sum()) / characters.sum(), theirs - mine)


def _drawn(bits: Figures, characters: Figures) -> Figures:
    """Bits a character, (models, draws), from the bits of each model and document."""
    generator = np.random.default_rng(0)
    documents = len(characters)
    figures = np.empty((len(bits), DRAWS))
    for draw in range(DRAWS):
        times = np.bincount(generator.integers(0, documents, documents), minlength=documents)
        figures[:, draw] = (bits @ times) / float(characters @ times)
    return figures


def _interval(value: float, drawn: Figures) -> Interval:
    low, high = np.quantile(drawn, [(1 - SHARE) / 2, (1 + SHARE) / 2])
    return Interval(float(value), float(low), float(high))
