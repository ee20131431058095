"""A matrix product for numba kernels: few rows by packed weights, at the speed of the machine.

A recurrent step multiplies a few dozen rows by weights that stay the same for a whole window. The
weights are packed once into panels; a tile of a few rows × 3 vectors of columns then stays in
registers while it runs over the inner axis (Goto & van de Geijn 2008). The tile is written in
LLVM's vector types, since a compiler's own vectoriser doesn't find it. Knows nothing of cells.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether there are 32 vector registers of 64 bytes; else 16 of 32 bytes."""
VECTOR_BYTES = 64 if WIDE else 32
VECTORS = 3
"""Vectors of columns in a tile."""
ROWS = 8 if WIDE else 4
"""Rows of a tile: with its sums, a panel's vectors and one of A it fills the registers."""

Array = NDArray[Any]


def panel_width(dtype: np.dtype[Any]) -> int:
    """Columns of a panel: 48 for float32 and 24 for float64 with 64-byte vectors."""
    return VECTORS * VECTOR_BYTES // dtype.itemsize


def padded_width(columns: int, dtype: np.dtype[Any]) -> int:
    """Columns of a product's buffer: whole panels."""
    width = panel_width(dtype)
    return -(-columns // width) * width


def pack(weights: Tensor) -> Array:
    """Weights (K, N) -> panels (N / width, K, width), the last one padded with zeros."""
    K, N = weights.shape
    width = panel_width(np.dtype(str(weights.dtype).removeprefix("torch.")))
    panels = weights.new_empty(-(-N // width), K, width)
    whole = N // width
    panels[:whole].copy_(weights[:, : whole * width].reshape(K, whole, width).transpose(0, 1))
    if whole < len(panels):
        panels[whole] = 0
        panels[whole, :, : N - whole * width] = weights[:, whole * width :]
    return panels.numpy()


def _make_tile(rows: int, bits: int) -> Any:
    """An intrinsic: a tile of `rows` rows and one panel of columns, summed over K.

    Arguments: the address of A, the bytes from row to row of A, the addresses of the panel and of
    C, the bytes from row to row of C, and K.
    """
    scalar = ir.FloatType() if bits == 32 else ir.DoubleType()
    step = bits // 8
    lanes = VECTOR_BYTES // step
    vector = ir.VectorType(scalar, lanes)
    i32, i64 = ir.IntType(32), ir.IntType(64)
    undefined = ir.Constant(vector, ir.Undefined)

    @intrinsic
    def tile(context: Any, a: Any, a_row: Any, panel: Any, c: Any, c_row: Any, K: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_row, panel, c, c_row, K = arguments
            fma_type = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module, fma_type, f"llvm.fma.v{lanes}f{bits}"
            )

            def load(kind: Any, address: Any) -> Any:
                value = builder.load(builder.inttoptr(address, kind.as_pointer()))
                value.align = step
                return value

            a_rows = [a]
            for _ in range(1, rows):
                a_rows.append(builder.add(a_rows[-1], a_row))
            entry = builder.block
            loop, end = builder.append_basic_block("loop"), builder.append_basic_block("end")
            builder.branch(loop)
            builder.position_at_end(loop)
            k = builder.phi(i64)
            k.add_incoming(i64(0), entry)
            sums = [[builder.phi(vector) for _ in range(VECTORS)] for _ in range(rows)]
            at = builder.add(panel, builder.mul(k, i64(VECTORS * VECTOR_BYTES)))
            columns = [load(vector, builder.add(at, i64(v * VECTOR_BYTES))) for v in range(VECTORS)]
            offset = builder.mul(k, i64(step))
            added = []
            for row in range(rows):
                single = builder.insert_element(
                    undefined, load(scalar, builder.add(a_rows[row], offset)), i32(0)
                )
                everywhere = builder.shuffle_vector(
                    single, undefined, ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)
                )
                added.append(
                    [
                        builder.call(fma, [everywhere, columns[v], sums[row][v]])
                        for v in range(VECTORS)
                    ]
                )
            following = builder.add(k, i64(1))
            k.add_incoming(following, builder.block)
            for row in range(rows):
                for v in range(VECTORS):
                    sums[row][v].add_incoming(ir.Constant(vector, [0.0] * lanes), entry)
                    sums[row][v].add_incoming(added[row][v], builder.block)
            builder.cbranch(builder.icmp_signed("<", following, K), loop, end)
            builder.position_at_end(end)
            for row in range(rows):
                for v in range(VECTORS):
                    address = builder.add(c, i64(v * VECTOR_BYTES))
                    pointer = builder.inttoptr(address, vector.as_pointer())
                    builder.store(added[row][v], pointer).align = step
                c = builder.add(c, c_row)
            return context.get_dummy_value()

        return types.void(*[types.intp] * 6), generate

    return tile


def _make_multiply(bits: int) -> Any:
    whole, half, single = (_make_tile(rows, bits) for rows in (ROWS, ROWS // 2, 1))
    step = bits // 8
    width = VECTORS * VECTOR_BYTES // step

    @njit(nogil=True, error_model="numpy", inline="never")
    def multiply(A: Array, panels: Array, C: Array, first: int, last: int) -> None:
        """C[first:last] = A[first:last] @ weights, for A (B, K) with contiguous rows."""
        K = A.shape[1]
        a_row, c_row = A.strides[0], C.strides[0]
        a, p, c = A.ctypes.data, panels.ctypes.data, C.ctypes.data
        for panel in range(panels.shape[0]):
            at = p + panel * K * width * step
            c_panel = c + panel * width * step
            row = first
            while row + ROWS <= last:
                whole(a + row * a_row, a_row, at, c_panel + row * c_row, c_row, K)
                row += ROWS
            while row + ROWS // 2 <= last:
                half(a + row * a_row, a_row, at, c_panel + row * c_row, c_row, K)
                row += ROWS // 2
            while row < last:
                single(a + row * a_row, a_row, at, c_panel + row * c_row, c_row, K)
                row += 1

    return multiply


multiply32, multiply64 = _make_multiply(32), _make_multiply(64)
