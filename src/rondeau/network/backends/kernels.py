"""The unrolls of every cell, forward and backward, as numba kernels over a share of the batch.

A kernel runs through the whole window for rows `first` to `last` of the batch, without allocating
and without the interpreter's lock: threads split the batch and meet at the window's end only. A
step's input comes as a row of a table: a token's row of the weights, or a projected vector.

float32 uses a rational tanh with an error of at most 2e-7 (σ(x) = ½ tanh(x/2) + ½), which the
compiler turns into vectors; float64 uses the exact one. Shapes: table (N, G·H), rows (T, B); states
and cells (T + 1, B, H), the initial ones first; saved (T, B, …) what the backward pass needs, or
(1, B, …) where there will be none. The letters are those of `cells`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE, copy_with
from rondeau.network.backends.gemm import PRODUCTS
from rondeau.network.backends.threads import shared

Array = NDArray[Any]
options: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"contract", "nsz", "arcp"},
}
inlined: Callable[..., Any] = njit(**options, inline="always")


@inlined
def tanh32(x: Any) -> Any:
    """tanh as a quotient of polynomials on [-7.9, 7.9], the coefficients of Eigen's ptanh."""
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    s = x * x
    p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = s * p + np.float32(-8.60467152213735e-11)
    p = s * p + np.float32(5.12229709037114e-08)
    p = s * p + np.float32(1.48572235717979e-05)
    p = s * p + np.float32(6.37261928875436e-04)
    p = s * p + np.float32(4.89352455891786e-03)
    q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = s * q + np.float32(2.26843463243900e-03)
    q = s * q + np.float32(4.89352518554385e-03)
    return x * p / q


@inlined
def sigmoid32(x: Any) -> Any:
    """σ(x) = ½ tanh(x/2) + ½."""
    half = np.float32(0.5)
    return half * tanh32(half * x) + half


@inlined
def tanh64(x: Any) -> Any:
    """The exact tanh."""
    return math.tanh(x)


@inlined
def sigmoid64(x: Any) -> Any:
    """σ(x) = ½ tanh(x/2) + ½."""
    return 0.5 * math.tanh(0.5 * x) + 0.5


# The kernels below find these names in their globals: of float64 here, of float32 in their copies.
multiply: Any = PRODUCTS[64].multiply
tanh: Any = tanh64
sigmoid: Any = sigmoid64
one: Any = np.float64(1)
zero: Any = np.float64(0)


def rnn_forward(
    first: int,
    last: int,
    table: Array,
    rows: Array,
    U: Array,
    c: Array,
    relu: bool,
    states: Array,
    product: Array,
) -> None:
    """h' = φ(x + h U + c), φ = tanh or relu."""
    T, H = rows.shape[0], states.shape[2]
    for t in range(T):
        multiply(states[t], U, product, first, last)
        for b in range(first, last):
            x, h, out = table[rows[t, b]], product[b], states[t + 1, b]
            if relu:
                for j in range(H):
                    out[j] = max(x[j] + h[j] + c[j], zero)
            else:
                for j in range(H):
                    out[j] = tanh(x[j] + h[j] + c[j])


def rnn_backward(
    first: int,
    last: int,
    d_outputs: Array,
    states: Array,
    U_T: Array,
    relu: bool,
    d_gates: Array,
    d_h: Array,
    product: Array,
) -> None:
    """Through the same: d_gates is the gradient of the sum inside φ."""
    T, H = d_outputs.shape[0], d_outputs.shape[2]
    for t in range(T - 1, -1, -1):
        for b in range(first, last):
            d_out, n, dn, dh = d_outputs[t, b], states[t + 1, b], d_gates[t, b], d_h[b]
            if relu:
                for j in range(H):
                    dn[j] = (dh[j] + d_out[j]) if n[j] > zero else zero
            else:
                for j in range(H):
                    dn[j] = (dh[j] + d_out[j]) * (one - n[j] * n[j])
        multiply(d_gates[t], U_T, product, first, last)
        for b in range(first, last):
            for j in range(H):
                d_h[b, j] = product[b, j]


def gru_after_forward(
    first: int,
    last: int,
    table: Array,
    rows: Array,
    U: Array,
    c: Array,
    b_n: Array,
    states: Array,
    saved: Array,
    product: Array,
) -> None:
    """Keeps r, z, n and the product that r scales."""
    T, H = rows.shape[0], states.shape[2]
    kept = saved.shape[0] - 1
    c_r, c_z, c_n = c[:H], c[H : 2 * H], c[2 * H :]
    for t in range(T):
        before = states[t]
        multiply(states[t], U, product, first, last)
        for b in range(first, last):
            x, hU, h, out = table[rows[t, b]], product[b], before[b], states[t + 1, b]
            x_r, x_z, x_n = x[:H], x[H : 2 * H], x[2 * H :]
            h_r, h_z, h_n = hU[:H], hU[H : 2 * H], hU[2 * H : 3 * H]
            s = saved[min(t, kept), b]
            s_r, s_z, s_n, s_h = s[:H], s[H : 2 * H], s[2 * H : 3 * H], s[3 * H :]
            for j in range(H):
                s_r[j] = sigmoid(x_r[j] + h_r[j] + c_r[j])
                s_z[j] = sigmoid(x_z[j] + h_z[j] + c_z[j])
            for j in range(H):
                s_h[j] = h_n[j] + c_n[j]
                n = tanh(x_n[j] + b_n[j] + s_r[j] * s_h[j])
                s_n[j] = n
                out[j] = n + s_z[j] * (h[j] - n)


def gru_after_backward(
    first: int,
    last: int,
    d_outputs: Array,
    states: Array,
    saved: Array,
    U_T: Array,
    d_gates: Array,
    d_h: Array,
    product: Array,
) -> None:
    """d_gates: of r, of z, of the scaled product, and of n."""
    T, H = d_outputs.shape[0], d_outputs.shape[2]
    for t in range(T - 1, -1, -1):
        before = states[t]
        for b in range(first, last):
            h, d_out, dh = before[b], d_outputs[t, b], d_h[b]
            s = saved[t, b]
            s_r, s_z, s_n, s_h = s[:H], s[H : 2 * H], s[2 * H : 3 * H], s[3 * H :]
            g = d_gates[t, b]
            g_r, g_z, g_h, g_n = g[:H], g[H : 2 * H], g[2 * H : 3 * H], g[3 * H :]
            for j in range(H):
                r, z, n = s_r[j], s_z[j], s_n[j]
                d = dh[j] + d_out[j]
                dz = d * (h[j] - n) * z * (one - z)
                dn = d * (one - z) * (one - n * n)
                g_r[j] = dn * s_h[j] * r * (one - r)
                g_z[j] = dz
                g_h[j] = dn * r
                g_n[j] = dn
                dh[j] = d * z
        multiply(d_gates[t][:, : 3 * H], U_T, product, first, last)
        for b in range(first, last):
            for j in range(H):
                d_h[b, j] += product[b, j]


def gru_before_forward(
    first: int,
    last: int,
    table: Array,
    rows: Array,
    U_rz: Array,
    U_n: Array,
    c: Array,
    states: Array,
    saved: Array,
    product: Array,
) -> None:
    """Keeps r, z, n and r ⊙ h."""
    T, H = rows.shape[0], states.shape[2]
    kept = saved.shape[0] - 1
    c_r, c_z, c_n = c[:H], c[H : 2 * H], c[2 * H :]
    for t in range(T):
        before = states[t]
        multiply(states[t], U_rz, product, first, last)
        for b in range(first, last):
            x, hU, h = table[rows[t, b]], product[b], before[b]
            x_r, x_z = x[:H], x[H : 2 * H]
            h_r, h_z = hU[:H], hU[H : 2 * H]
            s = saved[min(t, kept), b]
            s_r, s_z, s_h = s[:H], s[H : 2 * H], s[3 * H :]
            for j in range(H):
                s_r[j] = sigmoid(x_r[j] + h_r[j] + c_r[j])
                s_z[j] = sigmoid(x_z[j] + h_z[j] + c_z[j])
                s_h[j] = s_r[j] * h[j]
        multiply(saved[min(t, kept)][:, 3 * H :], U_n, product, first, last)
        for b in range(first, last):
            x, hU, h, out = table[rows[t, b]], product[b], before[b], states[t + 1, b]
            x_n = x[2 * H :]
            s = saved[min(t, kept), b]
            s_z, s_n = s[H : 2 * H], s[2 * H : 3 * H]
            for j in range(H):
                n = tanh(x_n[j] + hU[j] + c_n[j])
                s_n[j] = n
                out[j] = n + s_z[j] * (h[j] - n)


def gru_before_backward(
    first: int,
    last: int,
    d_outputs: Array,
    states: Array,
    saved: Array,
    U_rz_T: Array,
    U_n_T: Array,
    d_x: Array,
    d_h: Array,
    product: Array,
) -> None:
    """d_gates (here d_x): of r, of z, of n."""
    T, H = d_outputs.shape[0], d_outputs.shape[2]
    for t in range(T - 1, -1, -1):
        before = states[t]
        for b in range(first, last):
            h, d_out, dh = before[b], d_outputs[t, b], d_h[b]
            s = saved[t, b]
            s_z, s_n = s[H : 2 * H], s[2 * H : 3 * H]
            x = d_x[t, b]
            x_z, x_n = x[H : 2 * H], x[2 * H :]
            for j in range(H):
                z, n = s_z[j], s_n[j]
                d = dh[j] + d_out[j]
                x_z[j] = d * (h[j] - n) * z * (one - z)
                x_n[j] = d * (one - z) * (one - n * n)
                dh[j] = d * z
        multiply(d_x[t][:, 2 * H :], U_n_T, product, first, last)
        for b in range(first, last):
            h, d_rh, dh = before[b], product[b], d_h[b]
            s_r, x_r = saved[t, b, :H], d_x[t, b, :H]
            for j in range(H):
                r = s_r[j]
                x_r[j] = d_rh[j] * h[j] * r * (one - r)
                dh[j] += d_rh[j] * r
        multiply(d_x[t][:, : 2 * H], U_rz_T, product, first, last)
        for b in range(first, last):
            for j in range(H):
                d_h[b, j] += product[b, j]


def lstm_forward(
    first: int,
    last: int,
    table: Array,
    rows: Array,
    U: Array,
    bias: Array,
    states: Array,
    cells: Array,
    saved: Array,
    product: Array,
) -> None:
    """Keeps i, f, g, o and tanh of the new c."""
    T, H = rows.shape[0], states.shape[2]
    kept = saved.shape[0] - 1
    b_i, b_f, b_g, b_o = bias[:H], bias[H : 2 * H], bias[2 * H : 3 * H], bias[3 * H :]
    for t in range(T):
        multiply(states[t], U, product, first, last)
        before = cells[t]
        for b in range(first, last):
            x, hU, c, out, c_new = (
                table[rows[t, b]], product[b], before[b], states[t + 1, b], cells[t + 1, b],
            )  # fmt: skip
            x_i, x_f, x_g, x_o = x[:H], x[H : 2 * H], x[2 * H : 3 * H], x[3 * H :]
            h_i, h_f, h_g = hU[:H], hU[H : 2 * H], hU[2 * H : 3 * H]
            h_o = hU[3 * H : 4 * H]
            s = saved[min(t, kept), b]
            s_i, s_f, s_g = s[:H], s[H : 2 * H], s[2 * H : 3 * H]
            s_o, s_c = s[3 * H : 4 * H], s[4 * H :]
            for j in range(H):
                s_i[j] = sigmoid(x_i[j] + h_i[j] + b_i[j])
                s_f[j] = sigmoid(x_f[j] + h_f[j] + b_f[j])
            for j in range(H):
                s_g[j] = tanh(x_g[j] + h_g[j] + b_g[j])
                s_o[j] = sigmoid(x_o[j] + h_o[j] + b_o[j])
            for j in range(H):
                c_new[j] = s_f[j] * c[j] + s_i[j] * s_g[j]
                s_c[j] = tanh(c_new[j])
                out[j] = s_o[j] * s_c[j]


def lstm_backward(
    first: int,
    last: int,
    d_outputs: Array,
    cells: Array,
    saved: Array,
    U_T: Array,
    d_x: Array,
    d_h: Array,
    d_c: Array,
    product: Array,
) -> None:
    """d_gates (here d_x): of i, f, g and o."""
    T, H = d_outputs.shape[0], d_outputs.shape[2]
    for t in range(T - 1, -1, -1):
        before = cells[t]
        for b in range(first, last):
            c, d_out, dh, dc = before[b], d_outputs[t, b], d_h[b], d_c[b]
            s = saved[t, b]
            s_i, s_f, s_g = s[:H], s[H : 2 * H], s[2 * H : 3 * H]
            s_o, s_c = s[3 * H : 4 * H], s[4 * H :]
            x = d_x[t, b]
            x_i, x_f, x_g, x_o = x[:H], x[H : 2 * H], x[2 * H : 3 * H], x[3 * H :]
            for j in range(H):
                i, f, g, o, tc = s_i[j], s_f[j], s_g[j], s_o[j], s_c[j]
                d = dh[j] + d_out[j]
                d_kept = dc[j] + d * o * (one - tc * tc)
                x_i[j] = d_kept * g * i * (one - i)
                x_f[j] = d_kept * c[j] * f * (one - f)
                x_g[j] = d_kept * i * (one - g * g)
                x_o[j] = d * tc * o * (one - o)
                dc[j] = d_kept * f
        multiply(d_x[t], U_T, product, first, last)
        for b in range(first, last):
            for j in range(H):
                d_h[b, j] = product[b, j]


def add_rows(
    first: int, last: int, d_gates: Array, source: int, rows: Array, d_table: Array, target: int
) -> None:
    """Columns first to last of d_gates, from `source` on, added to those from `target` on."""
    for t in range(rows.shape[0]):
        for b in range(rows.shape[1]):
            added = d_gates[t, b, source + first : source + last]
            total = d_table[rows[t, b], target + first : target + last]
            for j in range(last - first):
                total[j] += added[j]


def _compile(kernel: Any, bits: int) -> Any:
    names: dict[str, Any] = {}
    if bits == 32:
        names = {"multiply": PRODUCTS[32].multiply, "tanh": tanh32, "sigmoid": sigmoid32}
        names |= {"one": np.float32(1), "zero": np.float32(0)}
    return shared(
        njit(**options, cache=CACHE)(copy_with(kernel, f"{kernel.__name__}{bits}", names))
    )


_ALL: list[Any] = [rnn_forward, rnn_backward, gru_after_forward, gru_after_backward]
_ALL += [gru_before_forward, gru_before_backward, lstm_forward, lstm_backward, add_rows]

KERNELS = {
    bits: SimpleNamespace(**{kernel.__name__: _compile(kernel, bits) for kernel in _ALL})
    for bits in (32, 64)
}
"""The kernels by bits of a number and name, as run(count, *arguments): see `threads.shared`."""
