"""What a cloze hides: some ids of a window become `<mask>`, to be restored from both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rondeau.text.batches import ALL
from rondeau.text.tokenizer import BOS, MASK, Ids

MOST_HIDDEN = 0.3
"""Each stream hides a share of its own between 0 and this: few gaps and many are both learned."""

STREAM = 1
"""Tells these random numbers from those of the same step's windows."""


def hide(ids: Ids, seed: tuple[int, int]) -> tuple[Ids, NDArray[np.bool_]]:
    """Ids (T, B) with some of them hidden, and which (T, B): at least one, but no `<bos>`.

    seed: of the training, and the step.
    """
    hidden = chosen(ids, seed)
    if not hidden.any():
        hidden.flat[first(ids)] = True
    return mask(ids, hidden), hidden


def chosen(
    ids: Ids, seed: tuple[int, int], *, streams: slice = ALL, batch: int | None = None
) -> NDArray[np.bool_]:
    """Which of the ids (T, B) chance hides, (T, B): perhaps none.

    streams: which of a batch of `batch` streams these are (default: all), hidden as in all of it.
    """
    shape = len(ids), ids.shape[1] if batch is None else batch
    generator = np.random.default_rng((*seed, STREAM))
    shares = generator.uniform(0, MOST_HIDDEN, shape[1])[streams]
    hidden: NDArray[np.bool_] = (generator.random(shape)[:, streams] < shares) & (ids != BOS)
    return hidden


def first(ids: Ids) -> int:
    """The place of the first id that may be hidden, in all of them row by row."""
    return int(np.argmax(ids != BOS))


def mask(ids: Ids, hidden: NDArray[np.bool_]) -> Ids:
    """The ids as they are read, with `<mask>` for those that are hidden."""
    masked: Ids = np.where(hidden, MASK, ids)
    return masked
