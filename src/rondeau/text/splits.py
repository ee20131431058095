"""Which documents are held out: ranges of a text, in the order in which they are read.

By document: a seeded shuffle, 80/10/10 train, validation and test. Tail: the first 90 % trains, the
last 10 % validates, nothing is inserted. None: all of it trains. It knows no ids.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rondeau.config import Split, TextConfig
from rondeau.errors import CorpusError

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")
FEWEST_CHARACTERS = 20
"""Below this there is nothing to learn and to hold out."""

Ranges = NDArray[np.int64]
"""Documents as (N, 2): where each begins in a text, and where it ends."""


@dataclass(frozen=True)
class Splits:
    """The ranges of each split, the kind of split it became, and notes for the user."""

    kind: Split
    ranges: dict[SplitName, Ranges]
    notes: tuple[str, ...] = ()


def ranges_of(lengths: NDArray[np.int64]) -> Ranges:
    """Where documents of such lengths stand in a text with one character between them."""
    ends = np.cumsum(lengths + 1) - 1
    return np.stack([ends - lengths, ends], 1)


def split_ranges(documents: Ranges, config: TextConfig) -> Splits:
    """Documents to splits, as the settings say; one document is split by its tail.

    Raises CorpusError for far too little text.
    """
    characters = int((documents[:, 1] - documents[:, 0]).sum())
    if characters < FEWEST_CHARACTERS:
        raise CorpusError(
            f"the corpus has {characters} characters; give at least {FEWEST_CHARACTERS}"
        )
    kind: Split = config.split
    notes: tuple[str, ...] = ()
    if kind == "document" and len(documents) == 1:
        kind = "tail"
        notes = (
            "the corpus is one document: its last tenth is held out instead of whole documents "
            "(--documents blank-line or line says what a document is)",
        )
    nothing = documents[:0]
    if kind == "document":
        order = list(range(len(documents)))
        random.Random(config.seed).shuffle(order)
        shuffled = documents[order]
        held = max(1, round(len(documents) / 10))
        tested = held if len(documents) > 2 else 0
        ranges = (shuffled[held + tested :], shuffled[:held], shuffled[held : held + tested])
    else:
        begin, end = documents[0, 0], documents[-1, 1]
        cut = begin + (end - begin) * 9 // 10 if kind == "tail" else end
        tail = np.array([[cut, end]]) if kind == "tail" else nothing
        ranges = (np.array([[begin, cut]]), tail, nothing)
    return Splits(kind, dict(zip(SPLIT_NAMES, ranges, strict=True)), notes)
