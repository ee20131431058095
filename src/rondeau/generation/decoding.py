"""From logits to a choice: greedy, temperature, top-k and top-p, as a numba kernel.

Order: banned ids out, temperature, top-k, then top-p (Holtzman et al. 2020) on what is left; among
equals the lower id comes first. The choice inverts the cumulative distribution, in the order of
ids, at a uniform number. It knows no model and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.config import DecodingConfig
from rondeau.network.backends.softmax import exponentials
from rondeau.network.backends.threads import CACHE, copy_with

Array = NDArray[Any]
options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


def controls(config: DecodingConfig, V: int, banned: Sequence[int]) -> tuple[Any, ...]:
    """The settings as `choose` takes them: banned ids, temperature, k (V for all) and p."""
    k = 1 if config.greedy else min(config.top_k or V, V)
    return np.array(banned, dtype=np.int64), config.temperature, k, config.top_p or 1.0


@njit(**options, inline="always")
def before(weights: Any, i: int, j: int) -> Any:
    """Whether id i comes before id j: by weight, then by number."""
    return weights[i] > weights[j] or (weights[i] == weights[j] and i < j)


@njit(**options)
def sift(heap: Array, size: int, at: int, weights: Array) -> None:
    """Let an id sink to its place in a heap whose first is the first in order."""
    moved = heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        if child + 1 < size and before(weights, heap[child + 1], heap[child]):
            child += 1
        if before(weights, moved, heap[child]):
            break
        heap[at] = heap[child]
        at = child
    heap[at] = moved


@njit(**options)
def truncate(weights: Array, total: float, k: int, p: float, heap: Array) -> float:
    """Set the weights (V) outside the first k, and of these outside the top p, to zero; the sum."""
    V = len(weights)
    # Ids below this make up less than 1 - p together, so that none of them is among the first.
    least = 0.5 * (1 - p) * total / V if k == V else 0.0
    size = 0
    for i in range(V):
        if weights[i] > 0 and weights[i] >= least:
            heap[size] = i
            size += 1
    for at in range(size // 2 - 1, -1, -1):
        sift(heap, size, at, weights)
    count = min(k, size)
    reached = 0.0
    for taken in range(count):
        if k == V and reached >= p * total:
            count = taken
            break
        # The first in order goes behind the heap, which shrinks by one.
        last = size - 1 - taken
        first = heap[0]
        heap[0], heap[last] = heap[last], first
        sift(heap, last, 0, weights)
        reached += weights[first]
    if k < V:
        total, kept, reached = reached, count, 0.0
        for taken in range(kept):
            if reached >= p * total:
                count = taken
                break
            reached += weights[heap[size - 1 - taken]]
    least_kept = heap[size - count]
    edge = weights[least_kept]
    for i in range(V):
        if weights[i] < edge or (weights[i] == edge and i > least_kept):
            weights[i] = 0
    return reached


def _choose(
    logits: Array,
    banned: Array,
    temperature: float,
    k: int,
    p: float,
    uniform: float,
    heap: Array,
) -> int:
    """The id chosen from logits (V), which are overwritten by their weights; heap is (V)."""
    V = len(logits)
    for i in banned:
        logits[i] = -np.inf
    top = logits[0]
    for i in range(V):
        top = max(top, logits[i])
    if k > 1:
        inverse = np.float32(1 / temperature)
        for i in range(V):
            logits[i] = (logits[i] - top) * inverse
        total = np.float64(exponentials(logits, np.float32(0)))
        for i in banned:
            logits[i] = 0
        if k < V or p < 1:
            total = truncate(logits, total, k, p, heap)
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


choose: Any = njit(**options, cache=CACHE)(copy_with(_choose, "choose", {}))


def _choose_rows(
    logits: Array,
    banned: Array,
    temperature: float,
    k: int,
    p: float,
    uniforms: Array,
    heap: Array,
    chosen: Array,
) -> None:
    """The choice of every row of logits (N, V) at its uniform number (N)."""
    for row in range(len(logits)):
        chosen[row] = choose(logits[row], banned, temperature, k, p, uniforms[row], heap)


choose_rows: Any = njit(**options, cache=CACHE)(copy_with(_choose_rows, "choose_rows", {}))
