"""The leak guard: whether a model, as it is evaluated, reads its own answer.

What scores a character may depend on the characters before it only. So the guard replaces a
character and everything after it, and looks whether the distribution that scores it has changed.
It doesn't know how the model is built, so that it can't be talked out of what it measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rondeau.evaluation.surprisal import STEPS, log_probabilities
from rondeau.network.model import Model
from rondeau.text.tokenizer import Ids

PROBES = 16
"""Positions that are tried."""
LONGEST = STEPS + 64
"""Ids of a document that are read: more than a window, so that its edge is crossed."""
TOLERANCE = 1e-3
"""Largest change of a log-probability, in nats, that rounding may explain."""

Frame = Callable[[Ids], tuple[Ids, Ids]]
"""What makes the inputs and the targets of a document: target j is to be its character j."""


def leak(model: Model, documents: Sequence[Ids], frame: Frame, *, seed: int = 0) -> float:
    """The largest change, in nats, of ln P of any id at a target that is replaced with all after.

    documents: ids of at least one character; seed: of the positions and of what replaces. Above
    `TOLERANCE` the model, or the batch that `frame` makes, leaks; 0 where there is nothing to try.
    """
    documents = [document[:LONGEST] for document in documents if len(document)]
    if not documents:
        return 0.0
    generator = np.random.default_rng(seed)
    asked, replaced, places = [], [], []
    for number in generator.integers(0, len(documents), PROBES):
        ids = documents[number]
        place = int(generator.integers(0, len(ids)))
        # Any id but the one that stands there.
        others = (ids + generator.integers(1, model.vocabulary, len(ids))) % model.vocabulary
        asked.append(frame(ids))
        replaced.append(frame(np.concatenate([ids[:place], others[place:]])))
        places.append(place)
    before, after = (log_probabilities(model, pairs, places) for pairs in (asked, replaced))
    return float(np.abs(before - after).max())


def assert_causal(model: Model, documents: Sequence[Ids], frame: Frame) -> None:
    """For tests of models: AssertionError, with the size of the leak, if there is one."""
    size = leak(model, documents, frame)
    if size > TOLERANCE:
        raise AssertionError(f"reads its own answer: ln P changed by {size:.3g} nats")
