"""Matrix products for numba kernels, at the speed of the machine: A W and Aᵀ B.

A recurrent step multiplies a few dozen rows by weights that stay the same for a whole window. The
weights are packed once into panels; a tile of a few rows × 3 vectors of columns then stays in
registers while it runs over the inner axis (Goto & van de Geijn 2008). The tile is written in
LLVM's vector types, since a compiler's own vectoriser doesn't find it. Knows nothing of cells.

Packed weights (K, N) are one array: panels of 3 vectors of columns, K rows each, then what is left,
1 or 2 vectors wide, the last vector filled up with zeros. A result has rows of whole vectors.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

WIDE = bool(binding.get_host_cpu_features().get("avx512f"))
"""Whether there are 32 vector registers of 64 bytes; else 16 of 32 bytes."""
VECTOR_BYTES = 64 if WIDE else 32
VECTORS = 3
"""Vectors of columns in a tile."""
ROWS = 8 if WIDE else 4
"""Rows of a tile: with its sums, a panel's vectors and one of A it fills the registers."""
INNER = 128
"""Inner steps of Aᵀ B at once: a panel of so many rows stays in the first cache."""

Array = NDArray[Any]


def padded_width(columns: int, dtype: np.dtype[Any]) -> int:
    """Columns of a result: whole vectors, of 16 float32 with 64 bytes each."""
    lanes = VECTOR_BYTES // dtype.itemsize
    return -(-columns // lanes) * lanes


def _make_tile(rows: int, vectors: int, bits: int) -> Any:
    """An intrinsic: a tile of `rows` rows and some vectors of columns, summed over K.

    Arguments: the address of A, the bytes from row to row of A and from column to column, the
    addresses of the panel and of C, the bytes from row to row of C, K, and whether to add to C.
    """
    scalar = ir.FloatType() if bits == 32 else ir.DoubleType()
    step = bits // 8
    lanes = VECTOR_BYTES // step
    vector = ir.VectorType(scalar, lanes)
    i32, i64 = ir.IntType(32), ir.IntType(64)
    undefined = ir.Constant(vector, ir.Undefined)
    none = ir.Constant(vector, [0.0] * lanes)
    places = [(row, v) for row in range(rows) for v in range(vectors)]

    @intrinsic
    def tile(
        context: Any, a: Any, a_row: Any, a_step: Any, panel: Any, c: Any, c_row: Any, K: Any,
        more: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            a, a_row, a_step, panel, c, c_row, K, more = arguments
            fma_type = ir.FunctionType(vector, [vector] * 3)
            fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
                builder.module, fma_type, f"llvm.fma.v{lanes}f{bits}"
            )

            def pointer(kind: Any, address: Any) -> Any:
                return builder.inttoptr(address, kind.as_pointer())

            def load(kind: Any, address: Any) -> Any:
                value = builder.load(pointer(kind, address))
                value.align = step
                return value

            a_rows, c_rows = [a], [c]
            for _ in range(1, rows):
                a_rows.append(builder.add(a_rows[-1], a_row))
                c_rows.append(builder.add(c_rows[-1], c_row))
            results = {
                (row, v): builder.add(c_rows[row], i64(v * VECTOR_BYTES)) for row, v in places
            }
            entry = builder.block
            before, loop, end = map(builder.append_basic_block, ("before", "loop", "end"))
            builder.cbranch(builder.icmp_signed("!=", more, i64(0)), before, loop)
            builder.position_at_end(before)
            found = {place: load(vector, results[place]) for place in places}
            builder.branch(loop)
            builder.position_at_end(loop)
            k, at, column = builder.phi(i64), builder.phi(i64), builder.phi(i64)
            sums = {place: builder.phi(vector) for place in places}
            columns = [load(vector, builder.add(at, i64(v * VECTOR_BYTES))) for v in range(vectors)]
            added = {}
            for row in range(rows):
                single = builder.insert_element(
                    undefined, load(scalar, builder.add(a_rows[row], column)), i32(0)
                )
                everywhere = builder.shuffle_vector(
                    single, undefined, ir.Constant(ir.VectorType(i32, lanes), [0] * lanes)
                )
                for v in range(vectors):
                    added[row, v] = builder.call(fma, [everywhere, columns[v], sums[row, v]])
            following = builder.add(k, i64(1))
            steps = (
                (k, i64(0), following),
                (at, panel, builder.add(at, i64(vectors * VECTOR_BYTES))),
                (column, i64(0), builder.add(column, a_step)),
            )
            for phi, start, next_ in steps:
                for value, block in ((start, entry), (start, before), (next_, loop)):
                    phi.add_incoming(value, block)
            for place in places:
                for value, block in ((none, entry), (found[place], before), (added[place], loop)):
                    sums[place].add_incoming(value, block)
            builder.cbranch(builder.icmp_signed("<", following, K), loop, end)
            builder.position_at_end(end)
            for place in places:
                builder.store(added[place], pointer(vector, results[place])).align = step
            return context.get_dummy_value()

        return types.void(*[types.intp] * 8), generate

    return tile


def _make_products(bits: int) -> SimpleNamespace:
    step = bits // 8
    lanes = VECTOR_BYTES // step
    width = VECTORS * lanes

    def compiled(function: Any, of: str = "") -> Any:
        # Processes that share a cache find code by name and types: these types are all the same.
        function.__name__ = function.__qualname__ = f"{function.__name__}{of}_{bits}"
        return njit(nogil=True, error_model="numpy", inline="never")(function)

    tiles = {
        (rows, vectors): _make_tile(rows, vectors, bits)
        for rows in (ROWS, ROWS // 2, 1)
        for vectors in range(1, VECTORS + 1)
    }

    def columns_of(vectors: int) -> Any:
        whole, half, single = (tiles[rows, vectors] for rows in (ROWS, ROWS // 2, 1))

        def columns(
            a: int, a_row: int, a_step: int, at: int, c: int, c_row: int, K: int, more: int,
            first: int, last: int,
        ) -> None:  # fmt: skip
            """Rows first to last of one panel's columns."""
            row = first
            while row + ROWS <= last:
                whole(a + row * a_row, a_row, a_step, at, c + row * c_row, c_row, K, more)
                row += ROWS
            while row + ROWS // 2 <= last:
                half(a + row * a_row, a_row, a_step, at, c + row * c_row, c_row, K, more)
                row += ROWS // 2
            while row < last:
                single(a + row * a_row, a_row, a_step, at, c + row * c_row, c_row, K, more)
                row += 1

        return compiled(columns, of=str(vectors))

    three, two, one = (columns_of(vectors) for vectors in (3, 2, 1))

    @compiled
    def panel_columns(
        a: int, a_row: int, a_step: int, at: int, c: int, c_row: int, K: int, more: int,
        first: int, last: int, vectors: int,
    ) -> None:  # fmt: skip
        if vectors == 3:
            three(a, a_row, a_step, at, c, c_row, K, more, first, last)
        elif vectors == 2:
            two(a, a_row, a_step, at, c, c_row, K, more, first, last)
        else:
            one(a, a_row, a_step, at, c, c_row, K, more, first, last)

    @compiled
    def multiply(A: Array, packed: Array, C: Array, first: int, last: int) -> None:
        """C[first:last] = A[first:last] W, for A (B, K) with contiguous rows."""
        K = A.shape[1]
        vectors = packed.size // K // lanes
        a, at, c = A.ctypes.data, packed.ctypes.data, C.ctypes.data
        for done in range(0, vectors, VECTORS):
            some = min(VECTORS, vectors - done)
            panel = at + done * K * VECTOR_BYTES
            to = c + done * VECTOR_BYTES
            panel_columns(a, A.strides[0], step, panel, to, C.strides[0], K, 0, first, last, some)

    @compiled
    def multiply_transposed(
        A: Array, a_first: int, packed: Array, C: Array, more: bool, first: int, last: int
    ) -> None:
        """C[first:last] = (Aᵀ B)[first:last], or added to it, for packed B (K, N) and the columns
        of A (K, …) from a_first on.
        """
        K = len(A)
        vectors = packed.size // K // lanes
        a, c = A.ctypes.data + a_first * step, C.ctypes.data
        for k in range(0, K, INNER):
            for done in range(0, vectors, VECTORS):
                some = min(VECTORS, vectors - done)
                panel = packed.ctypes.data + (done * K + k * some) * VECTOR_BYTES
                panel_columns(
                    a + k * A.strides[0], step, A.strides[0], panel,
                    c + done * VECTOR_BYTES, C.strides[0], min(INNER, K - k),
                    int(more or k > 0), first, last, some,
                )  # fmt: skip

    @compiled
    def pack(
        first: int, last: int, W: Array, transposed: bool, start: int, N: int, packed: Array
    ) -> None:
        """Panels first to last of N columns of W (K, …) from `start` on, or of N rows as Wᵀ."""
        K = W.shape[1] if transposed else W.shape[0]
        for panel in range(first, last):
            at = panel * width
            filled = min(width, N - at)
            columns = -(-filled // lanes) * lanes
            to = packed[at * K : (at + columns) * K].reshape(K, columns)
            at += start
            if transposed:
                for j in range(filled):
                    row = W[at + j]
                    for k in range(K):
                        to[k, j] = row[k]
            else:
                for k in range(K):
                    row = W[k, at : at + filled]
                    for j in range(filled):
                        to[k, j] = row[j]
            to[:, filled:] = 0

    return SimpleNamespace(
        multiply=multiply, multiply_transposed=multiply_transposed, pack=pack, width=width
    )


PRODUCTS = {bits: _make_products(bits) for bits in (32, 64)}
"""The kernels by bits of a number."""
