"""Python threads that split a batch: one fork and one join for a whole window.

The kernels hold no interpreter lock, allocate nothing and share no state, so that any number of
callers may run them at once. Knows nothing of cells.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

TILE = 8
"""Rows that a matrix product takes at once: shares are multiples of it where there are enough."""


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="rondeau")


def share(count: int, work: Callable[[int, int], None], *, unit: int = TILE) -> None:
    """Call work(first, last) for shares of range(count), one a thread, and wait for all.

    The number of threads is torch's; a share is a multiple of `unit` where there is enough for all.
    """
    threads = torch.get_num_threads()
    size = -(-count // threads)
    if count >= unit * threads:
        size = -(-size // unit) * unit
    starts = list(range(0, count, max(1, size)))
    if len(starts) == 1:
        work(0, count)
        return
    others = [
        _pool(threads - 1).submit(work, start, min(start + size, count)) for start in starts[1:]
    ]
    work(0, size)
    for other in others:
        other.result()
