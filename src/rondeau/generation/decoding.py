"""From logits to a choice: greedy, temperature, top-k and top-p, as a numba kernel.

Order: banned ids out, temperature, top-k, then top-p (Holtzman et al. 2020) on what is left; among
equals the lower id comes first. The choice inverts the cumulative distribution, in the order of
ids, at a uniform number. It knows no model and no text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE, copy_with
from rondeau.config import DecodingConfig
from rondeau.network.backends.softmax import exponentials

Array = NDArray[Any]
compiled: Callable[..., Any] = njit(nogil=True, error_model="numpy")


def controls(config: DecodingConfig, V: int, banned: Sequence[int]) -> tuple[Any, ...]:
    """The settings as `choose` takes them: banned ids, temperature, k (V for all) and p."""
    k = 1 if config.greedy else min(config.top_k or V, V)
    # Of one type each: the kernel would be compiled again for whole numbers.
    return np.array(banned, dtype=np.int64), float(config.temperature), k, float(config.top_p or 1)


@compiled
def before(weights: Any, i: int, j: int) -> Any:
    """Whether id i comes before id j: by weight, then by number."""
    return weights[i] > weights[j] or (weights[i] == weights[j] and i < j)


@compiled
def leading(weights: Array, ids: Array, size: int, count: int, mass: float) -> int:
    """How many of the first ids[:size] in order are `count`, or already weigh `mass`.

    They are moved to the front (a quickselect by weight, Hoare 1961).
    """
    low, high, reached = 0, size, 0.0
    # ids[:low] are among them and weigh `reached`; ids[high:] are not.
    while high - low > 1:
        middle, last = (low + high) // 2, high - 1
        pivot = ids[middle]
        ids[middle], ids[last] = ids[last], pivot
        at, left = low, 0.0
        for j in range(low, last):
            i = ids[j]
            if before(weights, i, pivot):
                ids[at], ids[j] = i, ids[at]
                left += weights[i]
                at += 1
        ids[at], ids[last] = pivot, ids[at]
        if at >= count or reached + left >= mass:
            high = at
        elif at + 1 >= count or reached + left + weights[pivot] >= mass:
            return at + 1
        else:
            low, reached = at + 1, reached + left + weights[pivot]
    return high


@compiled
def truncate(weights: Array, total: float, k: int, p: float, ids: Array) -> Any:
    """Set the weights (V) outside the first k, and of these outside the top p, to zero; the sum."""
    V = len(weights)
    # Ids below this weigh less than 1 - p together, so that none of them is among the first.
    least = 0.5 * (1 - p) * total / V if k == V else 0.0
    size = 0
    for i in range(V):
        if weights[i] > 0 and weights[i] >= least:
            ids[size] = i
            size += 1
        else:
            weights[i] = 0
    count = size
    if k < V:
        count = leading(weights, ids, size, k, np.inf)
        total = weight_of(weights, ids, count)
    if p < 1:
        count = leading(weights, ids, count, count, p * total)
    for at in range(count, size):
        weights[ids[at]] = 0
    return weight_of(weights, ids, count)


@compiled
def weight_of(weights: Array, ids: Array, count: int) -> Any:
    """What the first `count` of the ids weigh together."""
    total = 0.0
    for at in range(count):
        total += weights[ids[at]]
    return total


@compiled
def choose(
    logits: Array,
    banned: Array,
    temperature: float,
    k: int,
    p: float,
    uniform: float,
    ids: Array,
) -> int:
    """The id chosen from logits (V), overwritten by their weights; ids (V) is room to work in."""
    V = len(logits)
    for i in banned:
        logits[i] = -np.inf
    top = logits[0]
    for i in range(V):
        top = max(top, logits[i])
    if k > 1:
        inverse = np.float32(min(1 / temperature, 1e30))
        for i in range(V):
            logits[i] = (logits[i] - top) * inverse
        total = np.float64(exponentials(logits, np.float32(0)))
        for i in banned:
            logits[i] = 0
        if k < V or p < 1:
            total = truncate(logits, total, k, p, ids)
        reached, chosen = 0.0, 0
        for i in range(V):
            if logits[i] > 0:
                reached += logits[i]
                chosen = i
                if reached > uniform * total:
                    break
        return chosen
    for i in range(V):
        if logits[i] == top:
            return i
    return 0


def _choose_rows(
    logits: Array,
    banned: Array,
    temperature: float,
    k: int,
    p: float,
    uniforms: Array,
    ids: Array,
    chosen: Array,
) -> None:
    """The choice of every row of logits (N, V) at its uniform number (N)."""
    for row in range(len(logits)):
        chosen[row] = choose(logits[row], banned, temperature, k, p, uniforms[row], ids)


choose_rows: Any = njit(nogil=True, error_model="numpy", cache=CACHE)(
    copy_with(_choose_rows, "choose_rows", {})
)
