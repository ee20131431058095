"""Threads that split a window's work: one fork and one join for all its steps.

The fork is OpenMP's, as torch's own are: its threads are still awake when the next piece of work
comes. (Python threads were tried: waking one took 0.1 to 1 ms, eight times a step.) The kernels
hold no interpreter lock, allocate nothing and share no state, so that any number of callers may run
them at once. Knows nothing of cells.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import njit, prange, set_num_threads, typeof, types
from numba.core import cgutils
from numba.core import config as numba_config
from numba.extending import intrinsic
from numba.np.ufunc.parallel import threading_layer

from rondeau.compilation import CACHE, copy_with

TILE = 8
"""Rows that a matrix product takes at once: shares are multiples of it where there are enough."""
SHARES = 4
"""Shares for each thread, where there are so many."""

_config: Any = numba_config
_cgutils: Any = cgutils
_typeof: Any = typeof
_layer: Any = threading_layer
_one_caller, _one_compiles = threading.Lock(), threading.Lock()


@functools.cache
def _many_callers() -> bool:
    """Whether several threads may fork at once: yes with OpenMP, not with numba's own pool."""
    _config.THREADING_LAYER_PRIORITY = ["omp", "workqueue", "tbb"]
    _wake(np.zeros(2))
    return bool(_layer() == "omp")


@njit(parallel=True, nogil=True, cache=CACHE)
def _wake(array: Any) -> None:
    for i in prange(len(array)):
        array[i] += 1


def _take_typed(context: Any, address: Any) -> Any:
    """The number at an address, which is one more afterwards, for one thread at a time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = ir.IntType(64)
        counter = builder.inttoptr(arguments[0], number.as_pointer())
        return builder.atomic_rmw("add", counter, number(1), "monotonic")

    return types.int64(types.intp), generate


_take: Any = intrinsic(_take_typed)


def _call_typed(
    context: Any, address: Any, first: Any, last: Any, arguments: types.BaseTuple
) -> Any:
    """Call the compiled kernel at an address."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = (*signature.args[1:3], *signature.args[3])
        kernel = context.call_conv.get_function_type(types.none, kinds)
        status, result = context.call_conv.call_function(
            builder,
            builder.inttoptr(values[0], kernel.as_pointer()),
            types.none,
            kinds,
            [*values[1:3], *_cgutils.unpack_tuple(builder, values[3])],
        )
        with _cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return result

    return types.none(types.int64, types.int64, types.int64, arguments), generate


_call: Any = intrinsic(_call_typed)


def _fork(
    count: int, size: int, threads: int, taken: Any, address: int, arguments: tuple[Any, ...]
) -> None:
    for _ in prange(threads):
        first = _take(taken.ctypes.data) * size
        while first < count:
            _call(address, first, min(first + size, count), arguments)
            first = _take(taken.ctypes.data) * size


def shared(kernel: Any) -> Callable[..., None]:
    """A kernel(first, last, *arguments) as run(count, *arguments, unit=8), its range shared out.

    The number of threads is torch's. Each takes a share, a multiple of `unit` where there is enough
    for all, and then another, so that one whose core is busy with something else does less. The
    kernel is called by its address: linked into its loop it would be compiled once more.
    """
    fork = njit(parallel=True, nogil=True, error_model="numpy", cache=CACHE)(
        copy_with(_fork, f"fork_{kernel.py_func.__name__}", {})
    )
    address = 0

    def compiled(*arguments: Any) -> int:
        """The kernel's address, for the types of these arguments: the loop takes no others."""
        nonlocal address
        with _one_compiles:
            if not address:
                kinds = tuple(map(_typeof, arguments))
                kernel.compile(kinds)
                found = kernel.overloads[kinds]
                number = types.int64
                fork.compile((*[number] * 3, number[::1], number, _typeof(arguments[2:])))
                fork.disable_compile()
                address = found.library.get_pointer_to_function(found.fndesc.llvm_func_name)
        return address

    def run(count: int, *arguments: Any, unit: int = TILE) -> None:
        threads = min(torch.get_num_threads(), _config.NUMBA_NUM_THREADS)
        size = -(-count // threads)
        if threads > 1 and count >= unit * threads:
            size = -(-count // (threads * SHARES * unit)) * unit
        threads = min(threads, -(-count // size))
        if threads == 1:
            kernel(0, count, *arguments)
            return
        at = address or compiled(0, count, *arguments)
        with contextlib.nullcontext() if _many_callers() else _one_caller:
            set_num_threads(threads)
            fork(count, size, threads, np.zeros(1, np.int64), at, arguments)

    run.kernel, run.fork = kernel, fork  # type: ignore[attr-defined]
    return run
