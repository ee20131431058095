"""What of a held-out split stands in the training text too, letter by letter and line by line.

Runs of 20 characters and lines are compared by hashes of 64 bits; the training text is read once,
in blocks. It knows no model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE
from rondeau.text.documents import Documents
from rondeau.text.duplicates import fold
from rondeau.text.tokenizer import BOS

Array = NDArray[Any]
GRAM = 20
"""Characters of a run that is looked for."""
MOST = 2**21
"""Characters of the held-out split that are looked for."""
BLOCK = 2**20
FACTOR = 0x9E3779B97F4A7C15
LEAVING = pow(FACTOR, GRAM, 2**64)
"""What the hash of a run holds of the character before it."""

compiled: Callable[..., Any] = njit(nogil=True, error_model="numpy")
kernel: Callable[..., Any] = njit(nogil=True, error_model="numpy", cache=CACHE)


@dataclass(frozen=True)
class Overlap:
    """Shares of held-out text that stand in the training text as well.

    grams: of all runs of 20 characters inside a document, those that stand inside a training
    document, verbatim; lines: of all lines that are more than space and punctuation, those that
    are a line of the training text, but for space, punctuation and case. None where there are
    none: no document so long, or no line breaks in the texts. characters: how many held-out
    characters were looked at.
    """

    grams: float | None
    lines: float | None
    characters: int


def overlap(train: Documents, held_out: Documents) -> Overlap:
    """What is left of a split in the training text, both of one corpus.

    Of a large split the first two million characters are looked at (documents are shuffled), so
    that memory doesn't grow with either; the time grows with the training text, some 30 ns a
    character.
    """
    size = min(len(held_out.ring), MOST)
    runs = _share(_runs(train, len(train.ring)), _runs(held_out, size))
    lines = None
    if ord("\n") in train.codes:
        lines = _share(_lines(train, len(train.ring)), _lines(held_out, size))
    documents = int(np.searchsorted(held_out.starts[:-1], size))
    return Overlap(runs, lines, size - documents)


def _share(known: Iterator[Array], wanted: Iterator[Array]) -> float | None:
    """The share of wanted hashes that are among the known ones."""
    hashes, counts = np.unique(
        np.concatenate([np.empty(0, dtype=np.uint64), *wanted]), return_counts=True
    )
    if not len(hashes):
        return None
    # Half empty, so that what isn't there is soon found not to be.
    table = np.zeros(2 * len(hashes) + 1, dtype=np.uint64)
    places = np.empty(len(hashes), dtype=np.int64)
    _fill(table, hashes, places)
    found = np.zeros(len(table), dtype=np.bool_)
    for block in known:
        _find(table, block, found)
    return float(counts[found[places]].sum() / counts.sum())


def _blocks(documents: Documents, size: int, again: int) -> Iterator[Array]:
    """The first `size` ids of a ring in blocks, each begun by the last ids of the one before."""
    for begin in range(0, size, BLOCK):
        positions = np.arange(max(0, begin - again), min(begin + BLOCK, size))
        yield documents.ring[positions].astype(np.int64)


def _runs(documents: Documents, size: int) -> Iterator[Array]:
    """Hashes of all runs of GRAM characters inside a document."""
    for ids in _blocks(documents, size, GRAM - 1):
        hashes = np.empty(len(ids), dtype=np.uint64)
        yield hashes[: _hash_grams(ids, hashes)]


def _lines(documents: Documents, size: int) -> Iterator[Array]:
    """Hashes of all lines that are more than space and punctuation."""
    folded = fold(documents.codes)
    folded[BOS] = 0
    newline = int(np.flatnonzero(documents.codes == ord("\n"))[0])
    begun = np.zeros(1, dtype=np.uint64)
    for ids in _blocks(documents, size, 0):
        hashes = np.empty(len(ids), dtype=np.uint64)
        yield hashes[: _hash_lines(ids, folded, newline, begun, hashes)]
    if size == len(documents.ring):
        yield begun[begun > 0]


@kernel
def _hash_grams(ids: Array, hashes: Array) -> int:
    """Hashes of the runs of GRAM ids between two BOS -> how many there are."""
    h = np.uint64(0)
    length = count = 0
    for at in range(len(ids)):
        if ids[at] == BOS:
            h, length = np.uint64(0), 0
            continue
        h = h * np.uint64(FACTOR) + np.uint64(ids[at])
        length += 1
        if length > GRAM:
            h -= np.uint64(LEAVING) * np.uint64(ids[at - GRAM])
        if length >= GRAM:
            hashes[count] = h
            count += 1
    return count


@kernel
def _hash_lines(ids: Array, folded: Array, newline: int, begun: Array, hashes: Array) -> int:
    """Hashes of the lines that end in a block -> how many; `begun` (1) is the one that goes on."""
    h = begun[0]
    count = 0
    for at in range(len(ids)):
        if ids[at] == newline or ids[at] == BOS:
            if h:
                hashes[count] = h
                count += 1
            h = np.uint64(0)
        elif folded[ids[at]]:
            h = h * np.uint64(FACTOR) + np.uint64(folded[ids[at]])
    begun[0] = h
    return count


@compiled
def place_of(table: Array, number: Any) -> Any:
    """Where a hash (not 0) stands in a table, or the empty place where it would."""
    at: Any = np.int64(number % np.uint64(len(table)))
    while table[at] != number and table[at]:
        at = at + 1 if at + 1 < len(table) else 0
    return at


@kernel
def _fill(table: Array, hashes: Array, places: Array) -> None:
    """Put hashes into an empty table, and say where they are."""
    for i in range(len(hashes)):
        places[i] = place_of(table, hashes[i])
        table[places[i]] = hashes[i]


@kernel
def _find(table: Array, hashes: Array, found: Array) -> None:
    """Mark the places of those hashes that are in the table."""
    for i in range(len(hashes)):
        at = place_of(table, hashes[i])
        if table[at]:
            found[at] = True
