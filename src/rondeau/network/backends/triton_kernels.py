"""One step of each cell as a Triton kernel, forwards and backwards, its matrix product fused in.

A program has some rows b of the batch and some columns j of the state, for all gates: it
multiplies, applies the gates and writes. None waits for another, so that an interpreter can run
them one after another; a GRU whose reset acts before the product needs two kernels a step, since
all of r ⊙ h must be there first. The steps are those of `kernels`, in the same letters. Pointers
are to one step's rows, which are contiguous; B_TILE, H_TILE and K_TILE are powers of two, at
least 16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import triton
import triton.language as tl

constexpr: Any = tl.constexpr


def jit(kernel: Callable[..., Any]) -> Any:
    """A kernel, or a part of one: compiled at its first call."""
    return triton.jit(kernel)


@jit
def sigmoid(x: tl.tensor) -> Any:
    """1 / (1 + e⁻ˣ)."""
    return 1 / (1 + tl.exp(-x))


@jit
def tanh(x: tl.tensor) -> Any:
    """Tanh x, exact to the last bit but a few of what is near 1."""
    return 1 - 2 / (1 + tl.exp(2 * x))


@jit
def tile(B: tl.tensor, H: tl.tensor, B_TILE: constexpr, H_TILE: constexpr) -> Any:
    """This program's rows and columns, and which of them there are."""
    b = tl.program_id(0) * B_TILE + tl.arange(0, B_TILE)[:, None]
    j = tl.program_id(1) * H_TILE + tl.arange(0, H_TILE)[None, :]
    return b, j, (b < B) & (j < H)


@jit
def read(pointers: tl.tensor, there: tl.tensor) -> Any:
    """What is there, zeros elsewhere."""
    return tl.load(pointers, mask=there, other=0)


@jit
def add_product(
    total: tl.tensor, a: tl.tensor, a_row: tl.tensor, U: tl.tensor,
    U_row: tl.tensor, U_column: tl.tensor, K: tl.tensor,
    b: tl.tensor, j: tl.tensor, B: tl.tensor, H: tl.tensor, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """total + a U for a (B, K) and U (K, H), which have so many elements from one to the next.

    Multiplied in the numbers of U, and summed in those of total.
    """
    for start in range(0, K, K_TILE):
        k = start + tl.arange(0, K_TILE)
        rows, columns = k[:, None], k[None, :]
        a_part = read(a + b * a_row + columns, (b < B) & (columns < K))
        U_part = read(U + rows * U_row + j * U_column, (rows < K) & (j < H))
        total = tl.dot(a_part.to(U_part.dtype), U_part, total, input_precision=PRECISION)
    return total


@jit
def rnn_forward(
    x: tl.tensor, U: tl.tensor, c: tl.tensor, h: tl.tensor, out: tl.tensor,
    B: tl.tensor, H: tl.tensor, RELU: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """h' = φ(x + h U + c)."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    n = read(x + b * H + j, there) + read(c + j, j < H)
    n = add_product(n, h, H, U, H, 1, H, b, j, B, H, K_TILE, PRECISION)
    n = tl.where(n < 0, 0, n) if RELU else tanh(n)
    tl.store(out + b * H + j, n, mask=there)


@jit
def rnn_backward(
    d_out: tl.tensor, d_later: tl.tensor, U: tl.tensor, out: tl.tensor, d_gates: tl.tensor,
    B: tl.tensor, H: tl.tensor, LAST: constexpr, RELU: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """d_gates: of what φ is given."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    d = read(d_out + b * H + j, there)
    if not LAST:
        d = add_product(d, d_later, H, U, 1, H, H, b, j, B, H, K_TILE, PRECISION)
    n = read(out + b * H + j, there)
    d = tl.where(n > 0, d, 0) if RELU else d * (1 - n * n)
    tl.store(d_gates + b * H + j, d, mask=there)


@jit
def gru_after_forward(
    x: tl.tensor, U: tl.tensor, c: tl.tensor, h: tl.tensor, out: tl.tensor, saved: tl.tensor,
    B: tl.tensor, H: tl.tensor, KEEP: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """Keeps r, z, n and the product that r scales."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    G, inside, x = 3 * H, j < H, x + b * 3 * H + j
    r = read(x, there) + read(c + j, inside)
    z = read(x + H, there) + read(c + H + j, inside)
    s = tl.zeros_like(r) + read(c + 2 * H + j, inside)
    r = sigmoid(add_product(r, h, H, U, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    z = sigmoid(add_product(z, h, H, U + H, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    s = add_product(s, h, H, U + 2 * H, G, 1, H, b, j, B, H, K_TILE, PRECISION)
    n = tanh(read(x + 2 * H, there) + r * s)
    tl.store(out + b * H + j, n + z * (read(h + b * H + j, there) - n), mask=there)
    if KEEP:
        saved += b * 4 * H + j
        tl.store(saved, r, mask=there)
        tl.store(saved + H, z, mask=there)
        tl.store(saved + 2 * H, n, mask=there)
        tl.store(saved + 3 * H, s, mask=there)


@jit
def gru_after_backward(
    d_out: tl.tensor, d_later: tl.tensor, U: tl.tensor, h: tl.tensor,
    saved: tl.tensor, d_gates: tl.tensor, d_h: tl.tensor,
    B: tl.tensor, H: tl.tensor, LAST: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """d_gates: of r, of z, of the scaled product, and of n. d_h: what passes by the gates."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    d_h += b * H + j
    d = read(d_out + b * H + j, there) + read(d_h, there)
    if not LAST:
        d = add_product(d, d_later, 4 * H, U, 1, 3 * H, 3 * H, b, j, B, H, K_TILE, PRECISION)
    saved += b * 4 * H + j
    r, z = read(saved, there), read(saved + H, there)
    n, s = read(saved + 2 * H, there), read(saved + 3 * H, there)
    d_n = d * (1 - z) * (1 - n * n)
    d_gates += b * 4 * H + j
    tl.store(d_gates, d_n * s * r * (1 - r), mask=there)
    tl.store(d_gates + H, d * (read(h + b * H + j, there) - n) * z * (1 - z), mask=there)
    tl.store(d_gates + 2 * H, d_n * r, mask=there)
    tl.store(d_gates + 3 * H, d_n, mask=there)
    tl.store(d_h, d * z, mask=there)


@jit
def gru_before_forward_reset(
    x: tl.tensor, U: tl.tensor, c: tl.tensor, h: tl.tensor, saved: tl.tensor,
    B: tl.tensor, H: tl.tensor,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """Of r, z, n and r ⊙ h that a step keeps, all but n."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    G, inside, x = 3 * H, j < H, x + b * 3 * H + j
    r = read(x, there) + read(c + j, inside)
    z = read(x + H, there) + read(c + H + j, inside)
    r = sigmoid(add_product(r, h, H, U, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    z = sigmoid(add_product(z, h, H, U + H, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    saved += b * 4 * H + j
    tl.store(saved, r, mask=there)
    tl.store(saved + H, z, mask=there)
    tl.store(saved + 3 * H, r * read(h + b * H + j, there), mask=there)


@jit
def gru_before_forward(
    x: tl.tensor, U: tl.tensor, c: tl.tensor, h: tl.tensor, out: tl.tensor, saved: tl.tensor,
    B: tl.tensor, H: tl.tensor,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """After `gru_before_forward_reset`: n, and the next h."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    n = read(x + b * 3 * H + 2 * H + j, there) + read(c + 2 * H + j, j < H)
    n = tanh(
        add_product(n, saved + 3 * H, 4 * H, U + 2 * H, 3 * H, 1, H, b, j, B, H, K_TILE, PRECISION)
    )
    saved += b * 4 * H + j
    z = read(saved + H, there)
    tl.store(saved + 2 * H, n, mask=there)
    tl.store(out + b * H + j, n + z * (read(h + b * H + j, there) - n), mask=there)


@jit
def gru_before_backward(
    d_out: tl.tensor, d_later: tl.tensor, U: tl.tensor, h: tl.tensor,
    saved: tl.tensor, d_gates: tl.tensor, d_h: tl.tensor,
    B: tl.tensor, H: tl.tensor, LAST: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """d_gates: of r (not yet), of z, of n. d_h: what passes by the gates."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    d_h += b * H + j
    d = read(d_out + b * H + j, there) + read(d_h, there)
    if not LAST:
        d = add_product(d, d_later, 3 * H, U, 1, 3 * H, 2 * H, b, j, B, H, K_TILE, PRECISION)
    saved += b * 4 * H + j
    z, n = read(saved + H, there), read(saved + 2 * H, there)
    d_gates += b * 3 * H + j
    tl.store(d_gates + H, d * (read(h + b * H + j, there) - n) * z * (1 - z), mask=there)
    tl.store(d_gates + 2 * H, d * (1 - z) * (1 - n * n), mask=there)
    tl.store(d_h, d * z, mask=there)


@jit
def gru_before_backward_reset(
    U: tl.tensor, h: tl.tensor, saved: tl.tensor, d_gates: tl.tensor, d_h: tl.tensor,
    B: tl.tensor, H: tl.tensor,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """After `gru_before_backward`: of r, and what passes by it to h."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    r = read(saved + b * 4 * H + j, there)
    d_n, U_n = d_gates + 2 * H, U + 2 * H
    d = add_product(tl.zeros_like(r), d_n, 3 * H, U_n, 1, 3 * H, H, b, j, B, H, K_TILE, PRECISION)
    d_h += b * H + j
    tl.store(d_gates + b * 3 * H + j, d * read(h + b * H + j, there) * r * (1 - r), mask=there)
    tl.store(d_h, read(d_h, there) + d * r, mask=there)


@jit
def lstm_forward(
    x: tl.tensor, U: tl.tensor, bias: tl.tensor, h: tl.tensor,
    c: tl.tensor, out: tl.tensor, c_new: tl.tensor, saved: tl.tensor,
    B: tl.tensor, H: tl.tensor, KEEP: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """Keeps i, f, g, o and tanh of the new c."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    G, inside, x = 4 * H, j < H, x + b * 4 * H + j
    i = read(x, there) + read(bias + j, inside)
    f = read(x + H, there) + read(bias + H + j, inside)
    g = read(x + 2 * H, there) + read(bias + 2 * H + j, inside)
    o = read(x + 3 * H, there) + read(bias + 3 * H + j, inside)
    i = sigmoid(add_product(i, h, H, U, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    f = sigmoid(add_product(f, h, H, U + H, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    g = tanh(add_product(g, h, H, U + 2 * H, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    o = sigmoid(add_product(o, h, H, U + 3 * H, G, 1, H, b, j, B, H, K_TILE, PRECISION))
    kept = f * read(c + b * H + j, there) + i * g
    shown = tanh(kept)
    tl.store(c_new + b * H + j, kept, mask=there)
    tl.store(out + b * H + j, o * shown, mask=there)
    if KEEP:
        saved += b * 5 * H + j
        tl.store(saved, i, mask=there)
        tl.store(saved + H, f, mask=there)
        tl.store(saved + 2 * H, g, mask=there)
        tl.store(saved + 3 * H, o, mask=there)
        tl.store(saved + 4 * H, shown, mask=there)


@jit
def lstm_backward(
    d_out: tl.tensor, d_later: tl.tensor, U: tl.tensor, c: tl.tensor,
    saved: tl.tensor, d_gates: tl.tensor, d_c: tl.tensor,
    B: tl.tensor, H: tl.tensor, LAST: constexpr,
    B_TILE: constexpr, H_TILE: constexpr, K_TILE: constexpr, PRECISION: constexpr,
) -> Any:  # fmt: skip
    """d_gates: of i, f, g and o. d_c: of the c before."""
    b, j, there = tile(B, H, B_TILE, H_TILE)
    d = read(d_out + b * H + j, there)
    if not LAST:
        d = add_product(d, d_later, 4 * H, U, 1, 4 * H, 4 * H, b, j, B, H, K_TILE, PRECISION)
    saved += b * 5 * H + j
    i, f, g = read(saved, there), read(saved + H, there), read(saved + 2 * H, there)
    o, shown = read(saved + 3 * H, there), read(saved + 4 * H, there)
    d_c += b * H + j
    d_kept = read(d_c, there) + d * o * (1 - shown * shown)
    d_gates += b * 4 * H + j
    tl.store(d_gates, d_kept * g * i * (1 - i), mask=there)
    tl.store(d_gates + H, d_kept * read(c + b * H + j, there) * f * (1 - f), mask=there)
    tl.store(d_gates + 2 * H, d_kept * i * (1 - g * g), mask=there)
    tl.store(d_gates + 3 * H, d * shown * o * (1 - o), mask=there)
    tl.store(d_c, d_kept * f, mask=there)
