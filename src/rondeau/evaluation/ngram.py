"""Interpolated n-gram models over ids: what a network has to beat to have learned anything.

Witten–Bell smoothing (Witten & Bell 1991): a context seen c times with t different followers gives
its own counts the weight c / (c + t) and the shorter context the rest; order 0 is uniform over V.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rondeau.text.tokenizer import Ids


class NGram:
    """An interpolated n-gram model of orders 1 to `order`, over a vocabulary of V ids."""

    def __init__(self, order: int, vocabulary: int, sequences: Sequence[Ids]) -> None:
        """Count every context of up to order − 1 ids, and its followers."""
        self.order, self.vocabulary = order, vocabulary
        self.contexts: list[_Table] = []
        self.followers: list[_Table] = []
        for n in range(1, order + 1):
            grams = [g for s in sequences if len(g := _windows(s, n))]
            together = np.concatenate(grams) if grams else np.empty((0, n), np.int64)
            unique, counts = np.unique(together, axis=0, return_counts=True)
            contexts, where = np.unique(unique[:, :-1], axis=0, return_inverse=True)
            totals = np.bincount(where.ravel(), counts, len(contexts))
            kinds = np.bincount(where.ravel(), minlength=len(contexts))
            self.followers.append(_Table(unique, counts.astype(float)[:, None]))
            self.contexts.append(_Table(contexts, np.stack([totals, kinds], 1)))

    def probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """P of every id of a sequence after the ones before it, (N,)."""
        p = np.full(len(ids), 1 / self.vocabulary)
        for n in range(1, self.order + 1):
            grams = _windows(ids, n)
            if not len(grams):
                break
            (count,) = self.followers[n - 1].find(grams).T
            total, kinds = self.contexts[n - 1].find(grams[:, :-1]).T
            seen = total > 0
            longer = (count + kinds * p[n - 1 :])[seen] / (total + kinds)[seen]
            p[n - 1 :][seen] = longer
        return p


class _Table:
    """Rows of ids with numbers, found by hashing the row's bytes; unseen rows give zeros."""

    def __init__(self, rows: Ids, numbers: NDArray[np.float64]) -> None:
        self.width = numbers.shape[1]
        self.index = {row.tobytes(): i for i, row in enumerate(rows)}
        self.numbers = np.concatenate([numbers, np.zeros((1, self.width))])

    def find(self, rows: Ids) -> NDArray[np.float64]:
        at = [self.index.get(row.tobytes(), -1) for row in np.ascontiguousarray(rows)]
        return self.numbers[at]


def _windows(ids: Ids, n: int) -> Ids:
    """All runs of n ids, (N − n + 1, n)."""
    if len(ids) < n:
        return np.empty((0, n), np.int64)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(ids, n))
