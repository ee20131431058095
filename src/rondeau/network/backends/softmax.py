"""Output layer, softmax and cross-entropy as numba kernels, in float32.

The exponential is 2ⁿ times a polynomial (Cephes' coefficients, error under 2 units in the last
place), in a form that the compiler turns into vectors.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from rondeau.compilation import CACHE
from rondeau.network.backends.gemm import PRODUCTS, Array
from rondeau.network.backends.kernels import inlined
from rondeau.network.backends.threads import shared

ROWS = 64
"""Rows of logits at once: they stay in the second cache for all that is done to them."""


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


@njit(nogil=True, error_model="numpy", fastmath={"nnan", "nsz"}, cache=CACHE)
def add_bias(row: Any, bias: Any) -> Any:
    """Add a bias to a row; the largest of the sums."""
    largest = row[0] + bias[0]
    for j in range(row.shape[0]):
        x = row[j] + bias[j]
        row[j] = x
        largest = max(largest, x)
    return largest


@njit(nogil=True, error_model="numpy", fastmath={"contract", "nsz", "arcp"}, cache=CACHE)
def exponentials(row: Any, top: Any) -> Any:
    """Replace a row (V) by e to the row less its top; their sum.

    Added up in an order of its own: LLVM would choose one for each caller that this is linked into,
    and which of these copies runs depends on what else a process has loaded.
    """
    V = row.shape[0]
    for j in range(V):
        row[j] = exp32(row[j] - top)
    s = t = u = v = w = x = y = z = np.float32(0)
    for j in range(0, V - V % 8, 8):
        s += row[j]
        t += row[j + 1]
        u += row[j + 2]
        v += row[j + 3]
        w += row[j + 4]
        x += row[j + 5]
        y += row[j + 6]
        z += row[j + 7]
    for j in range(V - V % 8, V):
        s += row[j]
    return ((s + t) + (u + v)) + ((w + x) + (y + z))


multiply: Any = PRODUCTS[32].multiply
multiply_transposed: Any = PRODUCTS[32].multiply_transposed


@njit(nogil=True, error_model="numpy", cache=CACHE)
def cross_entropy_of_rows(
    first: int,
    last: int,
    features: Array,
    W_T: Array,
    W: Array,
    bias: Array,
    targets: Array,
    scale: float,
    losses: Array,
    logits: Array,
    d_features: Array,
) -> None:
    """losses (N) of targets (N); logits (N, ≥ V) as scale · ∂loss/∂logits; d_features (N, ≥ H).

    features (N, H); W_T, W: the output weights (V, H), packed for the two products.
    """
    V = bias.shape[0]
    for start in range(first, last, ROWS):
        stop = min(start + ROWS, last)
        multiply(features, W_T, logits, start, stop)
        for i in range(start, stop):
            row, target = logits[i], targets[i]
            row = row[:V]
            top = add_bias(row, bias)
            chosen = row[target]
            total = exponentials(row, top)
            losses[i] = math.log(total) + top - chosen
            factor = np.float32(scale / total)
            for j in range(V):
                row[j] *= factor
            row[target] -= np.float32(scale)
        multiply(logits[:, :V], W, d_features, start, stop)


@njit(nogil=True, error_model="numpy", cache=CACHE)
def output_gradient_of_rows(
    first: int,
    last: int,
    d_logits: Array,
    features: Array,
    more: bool,
    d_weight: Array,
    d_bias: Array,
) -> None:
    """Rows of d_weight (V, ≥ H) and d_bias (V), set or added to: sums over d_logits' rows.

    features: packed (N, H).
    """
    multiply_transposed(d_logits, 0, features, d_weight, more, first, last)
    total = d_bias[first:last]
    if not more:
        total[:] = 0
    for i in range(len(d_logits)):
        row = d_logits[i, first:last]
        for j in range(last - first):
            total[j] += row[j]


cross_entropy = shared(cross_entropy_of_rows)
output_gradient = shared(output_gradient_of_rows)
