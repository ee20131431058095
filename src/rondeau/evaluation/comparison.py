"""How sure a figure is, and a difference: the bootstrap over documents (Efron 1979).

Documents are drawn again and again with replacement; the interval is where 95 % of the figures
fall, widened for few documents (Hesterberg 2015). Two models are compared on the same draws (Koehn
2004), since documents differ far more than models do. It knows bits and characters only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

DRAWS = 2_000
SHARE = 0.95
FEWEST = 6
"""Documents of which not even the range from the lowest to the highest is too narrow."""
BLOCK = 2**20
"""Documents drawn together."""

Figures = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A figure and the interval of 95 % around it, in bits a character; NaN for too few documents.

    It tells how the figure would vary with the documents, not with another training.
    """

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there were enough documents to tell."""
        return not math.isnan(self.low)

    @property
    def within_noise(self) -> bool:
        """Of a difference: whether none at all is among what is likely, for all that is known."""
        return not (self.low > 0 or self.high < 0)


def bits_per_character(bits: Figures, characters: Figures) -> Interval:
    """The bits a character of documents, from the bits and the characters of each, (D,)."""
    return _interval(bits.sum() / characters.sum(), _drawn(bits, characters), len(characters))


def difference(bits: Figures, others: Figures, characters: Figures) -> Interval:
    """How many bits a character more the others need, on the same documents, (D,) each."""
    return bits_per_character(others - bits, characters)


def _drawn(bits: Figures, characters: Figures) -> Figures:
    """Bits a character of each draw, (DRAWS,); the draws depend on the number of documents only."""
    generator = np.random.default_rng(0)
    documents = len(characters)
    figures = np.empty(DRAWS)
    together = max(1, BLOCK // documents)
    for start in range(0, DRAWS, together):
        block = figures[start : start + together]
        drawn = generator.integers(0, documents, (len(block), documents))
        block[:] = bits[drawn].sum(1) / characters[drawn].sum(1)
    return figures


def _interval(value: float, drawn: Figures, documents: int) -> Interval:
    if documents < FEWEST:
        return Interval(float(value), math.nan, math.nan)
    outside = NormalDist().cdf(-math.sqrt(documents / (documents - 1)) * _student(documents - 1))
    low, high = np.quantile(drawn, [outside, 1 - outside])
    return Interval(float(value), float(low), float(high))


def _student(freedom: int) -> float:
    """Where 95 % of Student's t lie within, by Fisher's expansion: to 0.003 from 5 degrees on."""
    z = NormalDist().inv_cdf((1 + SHARE) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, 1)))
