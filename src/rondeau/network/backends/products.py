"""Matrix products of tensors by our kernels, the rows shared out among threads.

On the CPU, in float32 and float64. Weights that several products read are packed once. Knows
nothing of cells.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numba import njit
from torch import Tensor, autograd
from torch.autograd.function import once_differentiable

from rondeau.compilation import CACHE, copy_with
from rondeau.network.backends.gemm import PRODUCTS, Array, padded_width
from rondeau.network.backends.threads import shared

PANELS = 8
"""Fewest panels that are packed by a thread of their own."""
compiled: Any = njit(nogil=True, error_model="numpy", cache=CACHE)
# The kernels below find these names in their globals: of float64 here, each size's in its copies.
multiply_: Any = PRODUCTS[64].multiply
multiply_transposed_: Any = PRODUCTS[64].multiply_transposed
pack_: Any = PRODUCTS[64].pack


def product_rows(first: int, last: int, A: Array, packed: Array, C: Array) -> None:
    """Rows of C = A W."""
    multiply_(A, packed, C, first, last)


def transposed_rows(first: int, last: int, A: Array, a: int, packed: Array, C: Array) -> None:
    """Rows of C = Aᵀ B."""
    multiply_transposed_(A, a, packed, C, False, first, last)


def pack_panels(
    first: int, last: int, W: Array, transposed: bool, start: int, N: int, packed: Array
) -> None:
    """Panels of W or Wᵀ."""
    pack_(first, last, W, transposed, start, N, packed)


def _compile(bits: int) -> SimpleNamespace:
    kernels = PRODUCTS[bits]
    names = {
        "multiply_": kernels.multiply,
        "multiply_transposed_": kernels.multiply_transposed,
        "pack_": kernels.pack,
    }
    return SimpleNamespace(
        width=kernels.width,
        **{
            function.__name__: shared(
                compiled(copy_with(function, f"{function.__name__}{bits}", names))
            )
            for function in (product_rows, transposed_rows, pack_panels)
        },
    )


_KERNELS = {bits: _compile(bits) for bits in (32, 64)}


def as_array(tensor: Tensor) -> Array:
    """A tensor's own numbers, without its gradient.

    `Tensor.numpy` forbids its storage to change its size from then on, which FSDP does with that of
    weights (`--shard`): this doesn't.
    """
    array: Array = np.from_dlpack(tensor.detach())
    return array


def pack(weights: Tensor, *, transposed: bool = False, columns: slice | None = None) -> Array:
    """Weights (K, N), or their transpose, as panels for a product; columns: only these of N."""
    kernels = _kernels(weights)
    W = as_array(weights.contiguous())
    K, N = W.shape[::-1] if transposed else W.shape
    columns = columns or slice(0, N)
    N = columns.stop - columns.start
    packed = np.empty(K * padded_width(N, W.dtype), W.dtype)
    panels = -(-N // kernels.width)
    kernels.pack_panels(panels, W, transposed, columns.start, N, packed, unit=PANELS)
    return packed


def multiply(A: Tensor, packed: Array, columns: int) -> Tensor:
    """A (M, K) by packed weights (K, N), N columns -> (M, N)."""
    C = empty_result(A, len(A), columns)
    _kernels(A).product_rows(len(A), A.detach().contiguous().numpy(), packed, C.numpy())
    return trim(C, columns)


def multiply_transposed(
    A: Tensor, B: Tensor, *, a: slice | None = None, b: slice | None = None
) -> Tensor:
    """Aᵀ B of A (K, M) and B (K, N) -> (M, N); a, b: only these of their columns."""
    a, b = a or slice(0, A.shape[1]), b or slice(0, B.shape[1])
    C = empty_result(A, a.stop - a.start, b.stop - b.start)
    arrays = A.detach().contiguous().numpy(), a.start, pack(B, columns=b), C.numpy()
    _kernels(A).transposed_rows(len(C), *arrays)
    return trim(C, b.stop - b.start)


class Project(autograd.Function):
    """vectors (N, K) W (K, M) -> (N, M)."""

    @staticmethod
    def forward(ctx: Any, vectors: Tensor, W: Tensor) -> Tensor:
        """One product."""
        ctx.save_for_backward(vectors, W)
        return multiply(vectors, pack(W), W.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_result: Tensor) -> Any:
        """Two products, of which that for inputs without a gradient is left out."""
        vectors, W = ctx.saved_tensors
        d_vectors = None
        if ctx.needs_input_grad[0]:
            d_vectors = multiply(d_result, pack(W, transposed=True), len(W))
        return d_vectors, multiply_transposed(vectors, d_result)


def _kernels(tensor: Tensor) -> SimpleNamespace:
    return _KERNELS[tensor.element_size() * 8]


def empty_result(like: Tensor, rows: int, columns: int) -> Tensor:
    """Room for a product: rows of whole vectors, uninitialised."""
    dtype = np.dtype(str(like.dtype).removeprefix("torch."))
    return like.new_empty(rows, padded_width(columns, dtype))


def trim(result: Tensor, columns: int) -> Tensor:
    """A product without what fills up its last vectors."""
    return result if result.shape[1] == columns else result[:, :columns].contiguous()
