"""Softmax and cross-entropy of rows of logits as a numba kernel, in float32.

The exponential is 2ⁿ times a polynomial (Cephes' coefficients, error under 2 units in the last
place), in a form that the compiler turns into vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from rondeau.network.backends.kernels import inlined
from rondeau.network.backends.threads import CACHE, shared


@inlined
def exp32(x: Any) -> Any:
    """e to the x for float32 x ≤ 0; 0 below −87."""
    x = max(x, np.float32(-87.0))
    n = np.floor(x * np.float32(1.44269504088896341) + np.float32(0.5))
    r = x - n * np.float32(0.693359375) - n * np.float32(-2.12194440e-4)
    p = r * np.float32(1.9875691500e-4) + np.float32(1.3981999507e-3)
    p = r * p + np.float32(8.3334519073e-3)
    p = r * p + np.float32(4.1665795894e-2)
    p = r * p + np.float32(1.6666665459e-1)
    p = r * p + np.float32(5.0000001201e-1)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23))
    return (r * r * p + r + np.float32(1)) * power.view(np.float32)


@njit(nogil=True, error_model="numpy", fastmath=True, cache=CACHE)
def add_bias(row: Any, bias: Any) -> Any:
    """Add a bias to a row; the largest of the sums."""
    largest = row[0] + bias[0]
    for j in range(row.shape[0]):
        x = row[j] + bias[j]
        row[j] = x
        largest = max(largest, x)
    return largest


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp", "reassoc"}, cache=CACHE)
def exponentials(row: Any, top: Any) -> Any:
    """Replace a row (V) by e to the row less its top; their sum."""
    total = np.float32(0)
    for j in range(row.shape[0]):
        e = exp32(row[j] - top)
        row[j] = e
        total += e
    return total


@njit(nogil=True, error_model="numpy", cache=CACHE)
def cross_entropy_of_rows(
    first: int, last: int, logits: Any, bias: Any, targets: Any, losses: Any, scale: float
) -> None:
    """losses (N) of targets (N), and logits (N, V), still without their bias, turned
    into scale · ∂loss/∂logits.
    """
    V = logits.shape[1]
    for i in range(first, last):
        row, target = logits[i], targets[i]
        top = add_bias(row, bias)
        chosen = row[target]
        total = exponentials(row, top)
        losses[i] = math.log(total) + top - chosen
        factor = np.float32(scale / total)
        for j in range(V):
            row[j] *= factor
        row[target] -= np.float32(scale)


cross_entropy = shared(cross_entropy_of_rows)
