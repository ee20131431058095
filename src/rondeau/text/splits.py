"""Which documents are held out: ranges of a text, in the order in which they are read.

By document: a seeded shuffle, 80/10/10 train, validation and test, copies on one side. Tail: the
first 90 % trains, the last 10 % (or so many characters) validates, nothing is inserted. None: all
of it trains. It knows no ids, and not what a copy is.
"""

from __future__ import annotations

import random
from array import array
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
    """The ranges of each split, the kind of split it became, and notes for the user.

    numbers: which documents they are, counted from 0 as they were read; cut texts count as one.
    """

    kind: Split
    ranges: dict[SplitName, Ranges]
    numbers: dict[SplitName, NDArray[np.int64]]
    notes: tuple[str, ...] = ()


def ranges_of(lengths: NDArray[np.int64]) -> Ranges:
    """Where documents of such lengths stand in a text with one character between them."""
    ends = np.cumsum(lengths + 1) - 1
    return np.stack([ends - lengths, ends], 1)


def split_ranges(
    documents: Ranges, config: TextConfig, groups: NDArray[np.int64] | None = None
) -> Splits:
    """Documents to splits, as the settings say; one document is split by its tail.

    groups: numbers (N,) that copies have in common; no documents are copies where it is left out.
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
    if kind == "document":
        if groups is None:
            groups = np.arange(len(documents))
        chosen = _hold_out(groups, config.seed)
        notes = _about_copies(groups)
        ranges = [documents[numbers] for numbers in chosen]
    else:
        begin, end = documents[0, 0], documents[-1, 1]
        cut = _cut(int(begin), int(end), config) if kind == "tail" else end
        nothing, first = np.arange(0), np.arange(1)
        chosen = [first, first if kind == "tail" else nothing, nothing]
        tail = np.array([[cut, end]]) if kind == "tail" else documents[:0]
        ranges = [np.array([[begin, cut]]), tail, documents[:0]]
    return Splits(
        kind,
        dict(zip(SPLIT_NAMES, ranges, strict=True)),
        dict(zip(SPLIT_NAMES, chosen, strict=True)),
        notes,
    )


def _cut(begin: int, end: int, config: TextConfig) -> int:
    """Where the end of a text begins that is held out."""
    if config.held_out is None:
        return begin + (end - begin) * 9 // 10
    if end - begin - config.held_out < FEWEST_CHARACTERS:
        raise CorpusError(
            f"--held-out {config.held_out}: leaves less than {FEWEST_CHARACTERS} of the "
            f"{end - begin:,} characters to train on; hold out fewer"
        )
    return end - config.held_out


def _hold_out(groups: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """The documents of each split in shuffled order, a tenth validation and test, groups whole."""
    drawn = array("q", range(len(groups)))
    random.Random(seed).shuffle(drawn)
    order = np.frombuffer(drawn, dtype=np.int64)
    _, groups, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = groups[order]
    # A tenth has room for the smallest group, so that something is held out if anything can be.
    held = max(int(sizes.min()), round(len(groups) / 10)) if len(sizes) > 1 else 0
    room = {1: held, 2: held if len(sizes) > 2 else 0}
    split = np.zeros(len(sizes), dtype=np.int64)
    _, first = np.unique(shuffled, return_index=True)
    for group in shuffled[np.sort(first)]:
        for number, left in room.items():
            if sizes[group] <= left:
                split[group], room[number] = number, left - int(sizes[group])
                break
        if not any(room.values()):
            break
    sides = split[shuffled]
    return [order[sides == number] for number in range(len(SPLIT_NAMES))]


def _about_copies(groups: NDArray[np.int64]) -> tuple[str, ...]:
    """What the user is told about copies, if there are any."""
    sizes = np.unique(groups, return_counts=True)[1]
    copies = int(sizes[sizes > 1].sum())
    if not copies:
        return ()
    said = f"{copies:,} of {len(groups):,} documents are copies or near copies of another: "
    if len(sizes) == 1:
        return (said + "nothing can be held out",)
    return (said + "kept on one side of the split",)
