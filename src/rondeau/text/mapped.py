"""Numbers in files, of which only what is being read is in memory.

A file that is mapped counts as memory of the process, page by page and their neighbours, until
somebody else needs it: what is read once is given back, what is read here and there isn't mapped.
"""

from __future__ import annotations

import mmap
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray


def release(array: Any) -> None:
    """Give back the pages of a mapped array; of any other nothing."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    if array is not None and hasattr(mmap, "MADV_DONTNEED"):
        array.madvise(mmap.MADV_DONTNEED)


def read_spans(array: NDArray[Any], spans: NDArray[np.int64]) -> NDArray[Any]:
    """Spans (N, 2) of an array, mapped or not, one after another; what is before it is 0."""
    found = np.zeros(int((spans[:, 1] - spans[:, 0]).sum()), dtype=array.dtype)
    apart = np.flatnonzero(spans[1:, 0] != spans[:-1, 1])
    spans = np.stack([spans[np.append(0, apart + 1), 0], spans[np.append(apart, -1), 1]], 1)
    at = 0
    path = array.filename if isinstance(array, np.memmap) else None
    if path is None:
        for begin, end in spans.tolist():
            skipped = max(0, -begin)
            found[at + skipped : at + end - begin] = array[begin + skipped : end]
            at += end - begin
        return found
    size, whole = array.itemsize, memoryview(found.data).cast("B")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for begin, end in (spans * size).tolist():
            skipped = max(0, -begin)
            part = whole[at + skipped : at + end - begin]
            if os.preadv(descriptor, [part], begin + skipped) != len(part):
                raise OSError(f"{path} has become shorter")
            at += end - begin
    finally:
        os.close(descriptor)
    return found
