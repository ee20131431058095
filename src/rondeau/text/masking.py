"""What a cloze hides: some ids of a window become `<mask>`, to be restored from both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rondeau.text.tokenizer import BOS, MASK, Ids

MOST_HIDDEN = 0.3
"""Each stream hides a share of its own between 0 and this: few gaps and many are both learned."""

STREAM = 1
"""Tells these random numbers from those of the same step's windows."""


def hide(ids: Ids, seed: tuple[int, int]) -> tuple[Ids, NDArray[np.bool_]]:
    """Ids (T, B) with some of them hidden, and which (T, B): at least one, but no `<bos>`.

    seed: of the training, and the step.
    """
    generator = np.random.default_rng((*seed, STREAM))
    shares = generator.uniform(0, MOST_HIDDEN, ids.shape[1])
    hidden = (generator.random(ids.shape) < shares) & (ids != BOS)
    if not hidden.any():
        hidden.flat[np.argmax(ids != BOS)] = True
    return np.where(hidden, MASK, ids), hidden
