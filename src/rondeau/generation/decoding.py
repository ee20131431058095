"""From logits to a choice: greedy, temperature, top-k and top-p. It knows no model and no text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rondeau.config import DecodingConfig

Floats = NDArray[np.float64]


def probabilities(logits: Floats, config: DecodingConfig, banned: Sequence[int]) -> Floats:
    """The distribution that is sampled from, for logits of shape (V,).

    Order: banned ids out, temperature, top-k, then top-p (Holtzman et al. 2020) on what is left.
    """
    scaled = logits / config.temperature
    scaled[list(banned)] = -np.inf
    if config.greedy:
        chosen = np.zeros_like(scaled)
        chosen[scaled.argmax()] = 1.0
        return chosen
    weights: Floats = np.exp(scaled - scaled.max())
    if config.top_k is not None and config.top_k < len(weights):
        # A stable order keeps exactly k, the lower ids first among equals.
        weights[np.argsort(-weights, kind="stable")[config.top_k :]] = 0.0
    weights /= weights.sum()
    if config.top_p is not None and config.top_p < 1:
        order = np.argsort(-weights, kind="stable")
        # The first character is always kept; then those before which p was not yet reached.
        before = np.cumsum(weights[order]) - weights[order]
        weights[order[before >= config.top_p]] = 0.0
        weights /= weights.sum()
    return weights


def choose(distribution: Floats, uniform: float) -> int:
    """The id at a uniform number in [0, 1), by inverting the cumulative distribution (V,)."""
    cumulative = np.cumsum(distribution)
    index = int(np.searchsorted(cumulative, uniform * cumulative[-1], side="right"))
    return min(index, int(np.flatnonzero(distribution)[-1]))
