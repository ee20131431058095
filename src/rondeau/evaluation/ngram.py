"""Interpolated n-gram models over ids: what a network has to beat to have learned anything.

Witten–Bell smoothing (Witten & Bell 1991): a context seen c times with t different followers gives
its own counts the weight c / (c + t) and the shorter context the rest; order 0 is uniform over V.
An n-gram is numbered through its context, order by order: the number of its first n − 1 ids, times
V, plus its last id, so that counting is sorting. It knows no characters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rondeau.text.tokenizer import Ids


def witten_bell(
    trained: Sequence[Ids], scored: Sequence[Ids], *, vocabulary: int, order: int, given: int = 0
) -> Iterator[NDArray[np.float64]]:
    """P of every id of the scored sequences under orders 0, 1, … `order`: (N,) for each order.

    given: how many ids at the beginning of each sequence are context only, neither counted nor
    scored. Contexts end at the beginning of a sequence. Memory: some 60 bytes an id.
    """
    ids, places = _in_a_row([*trained, *scored])
    counted = sum(map(len, trained))
    contexts = np.zeros(len(ids), dtype=np.int32)
    p = np.full(len(ids) - counted, 1 / vocabulary)
    wanted = places[counted:] >= given
    yield p[wanted]
    for n in range(1, order + 1):
        full = places >= n - 1
        trained_here, scored_here = full[:counted], full[counted:]
        keys = contexts[full].astype(np.int64) * vocabulary + ids[full]
        grams, numbers = np.unique(keys, return_inverse=True)
        seen, asked = np.split(numbers, [np.count_nonzero(trained_here)])
        counts = np.bincount(seen, places[:counted][trained_here] >= given, len(grams))
        totals = np.bincount(grams // vocabulary, counts)
        kinds = np.bincount(grams // vocabulary, counts > 0)
        of_context = contexts[counted:][scored_here]
        c, t, shorter = totals[of_context], kinds[of_context], p[scored_here]
        # A context that was never seen leaves all to the shorter one.
        p[scored_here] = np.divide(counts[asked] + t * shorter, c + t, out=shorter, where=c > 0)
        yield p[wanted]
        contexts[1:][full[:-1]] = numbers[: np.count_nonzero(full[:-1])]


def _in_a_row(sequences: Sequence[Ids]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All ids one after another, (N,), and the place of each in its sequence, (N,)."""
    lengths = np.array([len(ids) for ids in sequences], dtype=np.int64)
    ids = np.concatenate([np.empty(0, dtype=np.int32), *sequences], dtype=np.int32)
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return ids, np.arange(len(ids), dtype=np.int32) - starts.astype(np.int32)
