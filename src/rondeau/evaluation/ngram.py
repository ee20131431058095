"""Interpolated n-gram models over ids: what a network has to beat to have learned anything.

Witten–Bell smoothing (Witten & Bell 1991): a context seen c times with t different followers gives
its own counts the weight c / (c + t) and the shorter context the rest; order 0 is uniform over V.
An n-gram is numbered through its context, order by order: the number of its first n − 1 ids, times
V, plus its last id, so that counting is sorting. It knows no characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondeau.text.tokenizer import Ids


def witten_bell(
    trained: Sequence[Ids], scored: Sequence[Ids], *, vocabulary: int, order: int, given: int = 0
) -> Iterator[NDArray[np.float64]]:
    """P of every id of the scored sequences under orders 0, 1, … `order`: (N,) for each order.

    given: how many ids at the beginning of each sequence are context only, neither counted nor
    scored. No context reaches across the beginning of a sequence. Memory: some 70 bytes an id.
    """
    ids, places = _in_a_row([*trained, *scored])
    first = sum(map(len, trained))
    contexts = np.zeros(len(ids), dtype=np.int32)
    p = np.full(len(ids) - first, 1 / vocabulary)
    wanted = places[first:] >= given
    yield p[wanted]
    for n in range(1, order + 1):
        full = places >= n - 1
        grams, numbers = _numbered(contexts[full].astype(np.int64) * vocabulary + ids[full])
        seen, asked = np.split(numbers, [np.count_nonzero(full[:first])])
        counts = np.bincount(seen, places[:first][full[:first]] >= given, len(grams))
        p[full[first:]] = _interpolated(counts, grams // vocabulary, asked, p[full[first:]])
        yield p[wanted]
        contexts[1:][full[:-1]] = numbers[: np.count_nonzero(full[:-1])]


def _interpolated(
    counts: NDArray[Any],
    contexts: NDArray[np.int64],
    asked: NDArray[np.int32],
    shorter: NDArray[np.float64],
) -> NDArray[np.float64]:
    """P of the n-grams asked for (N,), from counts and contexts of all n-grams (M,).

    shorter: P of their last id after the context without its first, (N,); overwritten.
    """
    c = np.bincount(contexts, counts)[contexts[asked]]
    t = np.bincount(contexts, counts > 0)[contexts[asked]]
    # A context that was never seen leaves all to the shorter one.
    np.divide(counts[asked] + t * shorter, c + t, out=shorter, where=c > 0)
    return shorter


def _numbered(keys: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The distinct keys in order, and the number of each key among them (N,).

    As `numpy.unique` with `return_inverse`, in half its memory.
    """
    order = np.argsort(keys)
    in_order = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = in_order[1:] != in_order[:-1]
    numbers = np.empty(len(keys), dtype=np.int32)
    numbers[order] = np.cumsum(new, dtype=np.int32) - 1
    return in_order[new], numbers


def _in_a_row(sequences: Sequence[Ids]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All ids one after another, (N,), and the place of each in its sequence, (N,)."""
    lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
    ids = np.concatenate([np.empty(0, dtype=np.int32), *sequences], dtype=np.int32)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return ids, np.arange(len(ids), dtype=np.int32) - starts.astype(np.int32)
