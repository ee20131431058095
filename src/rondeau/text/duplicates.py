"""Documents that are copies of each other: exact ones, and near ones that share half their text.

Copies are told by what is left of a text without spaces, punctuation, control characters and case.
Near copies are looked for by MinHash (Broder 1997): two documents whose runs of five characters
are the same to a share J agree in the least of a random order of these runs with probability J.
It knows no splits.
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rondeau.compilation import CACHE
from rondeau.text.mapped import release
from rondeau.text.tokenizer import CODE_POINTS, Codes

Array = NDArray[Any]
Groups = NDArray[np.int64]
"""For each document, (N,), the number of the first that it is a copy of, or its own."""

LIMIT = 8_000_000
"""Characters of a text up to which near copies are looked for at every start."""
RUN = 5
"""Characters of the runs that documents are compared by."""
SIMILAR = 0.5
"""Share of their distinct runs that two near copies have in common, at least."""
SHORTEST = 20
"""Fewest characters of a near copy: shorter documents are alike by their words."""
LONGEST = 2**16
"""Characters of a document that are compared with others."""
COMPARED = 8
"""Documents of a bucket that each further one is compared with."""
BANDS, ROWS = 20, 2
"""Pairs are compared if all of the ROWS least runs of one of the BANDS are the same."""
BANDS_AT_ONCE = 4
BLOCK = 2**22
"""Characters that are read at once."""
TOGETHER = 2**10
"""Candidates that are compared at once: each may have pages of its own."""

compiled: Callable[..., Any] = njit(nogil=True, error_model="numpy")
kernel: Callable[..., Any] = njit(nogil=True, error_model="numpy", cache=CACHE)


def find_copies(text: Codes, documents: Array, *, near: bool, threads: int = 1) -> Groups:
    """The group of each document, of a text and the ranges (N, 2) of its documents.

    Exact copies are always found (by a hash of 64 bits). near: near copies too; of two documents
    with just half their runs in common 997 of 1,000 pairs are found, and what is a near copy of the
    same document is in one group. A document of punctuation alone is no copy. Memory: some 70
    bytes a document; of a text on a disk only what is being read.
    """
    # Kernels take one type: memory that isn't written to, mapped or not.
    text = text.view(np.ndarray)
    text.flags.writeable = False
    table = _folding_table(text)
    hashes = np.zeros(len(documents), dtype=np.uint64)
    lengths = np.zeros(len(documents), dtype=np.int64)
    for begin in range(0, len(text), BLOCK):
        _hash_documents(text, documents, table, begin, begin + BLOCK, hashes, lengths)
        release(text)
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    del hashes
    own = np.arange(len(documents))
    groups: Groups = np.where(lengths > 0, first[which], own)
    del first, which
    if near:
        candidates = np.flatnonzero((groups == own) & (lengths >= SHORTEST))
        room = min(int(lengths.max(initial=0)), LONGEST)
        del own, lengths
        search = _Search(text, documents, table, candidates, room, groups)
        for bands in np.split(_orders(), BANDS // BANDS_AT_ONCE):
            keys = search.keys(bands, threads)
            for band in range(len(bands)):
                search.join(np.ascontiguousarray(keys[:, band]))
    while (groups != groups[groups]).any():
        groups = groups[groups]
    return groups


@dataclass(frozen=True)
class _Search:
    """Near copies among the candidates of a text, a stretch of which is read at a time."""

    text: Codes
    documents: Array
    table: Codes
    candidates: Array
    room: int
    groups: Groups

    def keys(self, bands: Array, threads: int) -> NDArray[np.uint32]:
        """A hash of each candidate for each of some bands, (candidates, bands)."""
        keys = np.empty((len(self.candidates), len(bands)), dtype=np.uint32)
        starts = self.documents[self.candidates, 0]
        edges = np.searchsorted(starts, range(0, len(self.text) + BLOCK, BLOCK))

        def stretch(first: int, last: int) -> None:
            chosen = self.candidates[first:last]
            args = (self.text, self.documents, self.table, chosen, bands, self.room)
            _band_keys(*args, keys[first:last])
            release(self.text)

        if threads == 1 or len(edges) < 3:
            for first, last in itertools.pairwise(edges):
                stretch(first, last)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(stretch, edges[:-1], edges[1:]))
        return keys

    def join(self, keys: NDArray[np.uint32]) -> None:
        """Join the groups of candidates that share a key and half their runs."""
        order = np.argsort(keys, kind="stable")
        candidates, keys = self.candidates[order], keys[order]
        bucket = Bucket(
            np.zeros(1, np.int64),
            np.empty(COMPARED, np.int64),
            np.empty(COMPARED, np.int64),
            np.empty((COMPARED, self.room), np.uint64),
        )
        for first in range(0, len(keys), TOGETHER):
            some = slice(max(0, first - 1), first + TOGETHER)  # with the one before
            args = (self.text, self.documents, self.table, candidates[some], keys[some], first > 0)
            _join_similar(*args, self.room, self.groups, bucket)
            release(self.text)


def fold(codes: Array) -> Codes:
    """What each code point counts as: itself in lower case, or 0 where it doesn't count."""
    return np.array([_fold(chr(code)) for code in codes.tolist()], dtype=np.uint32)


def _fold(character: str) -> int:
    category = unicodedata.category(character)
    if category[0] in "ZP" or category in ("Cc", "Cf"):
        return 0
    lower = character.lower()
    return ord(lower if len(lower) == 1 else character)


def _folding_table(text: Codes) -> Codes:
    """`fold` of every code point that is in the text, (0x110000,)."""
    table: Codes = np.zeros(CODE_POINTS, dtype=np.uint32)
    for begin in range(0, len(text), BLOCK):
        table[text[begin : begin + BLOCK]] = 1
        release(text)
    codes = np.flatnonzero(table)
    table[codes] = fold(codes)
    return table


def _orders() -> NDArray[np.uint32]:
    """Random orders of hashes, (BANDS, ROWS, 2): by an odd factor and what is added."""
    drawn = hashlib.shake_128(b"orders").digest(BANDS * ROWS * 8)
    orders = np.frombuffer(drawn, dtype="<u4").reshape(BANDS, ROWS, 2).copy()
    orders[:, :, 0] |= 1
    return orders


@compiled
def mixed(number: Any) -> Any:
    """A hash of 64 bits in which every bit of a number of 64 bits counts (as in splitmix64)."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


@kernel
def _hash_documents(
    text: Codes,
    documents: Array,
    table: Codes,
    begin: int,
    end: int,
    hashes: Array,
    lengths: Array,
) -> None:
    """Go on with a hash of what counts of each document, and how many characters that is."""
    for d in range(np.searchsorted(documents[:, 1], begin), len(documents)):
        if documents[d, 0] >= end:
            break
        h, length = hashes[d], lengths[d]
        for at in range(max(begin, documents[d, 0]), min(end, documents[d, 1])):
            code = np.uint64(table[text[at]])
            if code:
                h = mixed(h ^ code)
                length += 1
        hashes[d] = h
        lengths[d] = length


@compiled
def hash_runs(text: Codes, span: Array, table: Codes, counting: Codes, runs: Array) -> int:
    """Hashes of all runs of a document's characters that count -> how many there are."""
    length = 0
    for at in range(span[0], span[1]):
        code = table[text[at]]
        if code:
            counting[length] = code
            length += 1
            if length == len(counting):
                break
    count = length - RUN + 1
    for i in range(count):
        h = np.uint64(0)
        for j in range(RUN):
            h = h * np.uint64(0x9E3779B97F4A7C15) + np.uint64(counting[i + j])
        runs[i] = mixed(h)
    return count


@kernel
def _band_keys(
    text: Codes,
    documents: Array,
    table: Codes,
    candidates: Array,
    orders: Array,
    room: int,
    keys: Array,
) -> None:
    """For each band and candidate a hash of its least runs in the band's orders."""
    counting, runs = np.empty(room, np.uint32), np.empty(room, np.uint64)
    for c in range(len(candidates)):
        count = hash_runs(text, documents[candidates[c]], table, counting, runs)
        for band in range(orders.shape[0]):
            key = np.uint64(0)
            for row in range(ROWS):
                factor, added = orders[band, row, 0], orders[band, row, 1]
                least = np.uint32(0xFFFFFFFF)
                for i in range(count):
                    least = min(least, np.uint32(np.uint32(runs[i]) * factor + added))
                key = mixed(key ^ np.uint64(least))
            keys[c, band] = np.uint32(key)


@compiled
def root_of(groups: Array, document: int) -> int:
    """The first document of a group, to which the path becomes shorter."""
    while groups[document] != document:
        groups[document] = groups[groups[document]]
        document = groups[document]
    return document


@compiled
def distinct_runs(text: Codes, span: Array, table: Codes, counting: Codes, runs: Array) -> int:
    """Hashes of a document's runs, sorted, each of them once -> how many there are."""
    count = hash_runs(text, span, table, counting, runs)
    runs[:count].sort()
    kept = 0
    for i in range(count):
        if i == 0 or runs[i] != runs[i - 1]:
            runs[kept] = runs[i]
            kept += 1
    return kept


@compiled
def in_common(a: Array, b: Array) -> int:
    """How many numbers two sorted sets have in common."""
    common = i = j = 0
    while i < len(a) and j < len(b):
        x, y = a[i], b[j]
        common += x == y
        i += x <= y
        j += y <= x
    return common


class Bucket(NamedTuple):
    """Of the candidates that share a key: how many there were, and those that others are compared
    with, with how many runs they have (0: not looked at yet) and which.
    """

    seen: Array
    compared: Array
    sizes: Array
    sets: Array


@kernel
def _join_similar(
    text: Codes,
    documents: Array,
    table: Codes,
    candidates: Array,
    keys: Array,
    goes_on: bool,
    room: int,
    groups: Array,
    bucket: Bucket,
) -> None:
    """Join the groups of candidates, sorted by their keys, that share a key and half their runs.

    goes_on: the first of them is the last of those before, with whose bucket this begins.
    """
    counting, runs = np.empty(room, np.uint32), np.empty(room, np.uint64)
    seen, compared, sizes, sets = bucket.seen[0], bucket.compared, bucket.sizes, bucket.sets
    for c in range(goes_on, len(candidates)):
        if c == 0 or keys[c] != keys[c - 1]:
            seen = 0
        document, size, found = candidates[c], 0, False
        for i in range(min(seen, COMPARED)):
            root, other = root_of(groups, document), root_of(groups, compared[i])
            if root != other:
                if size == 0:
                    size = distinct_runs(text, documents[document], table, counting, runs)
                if sizes[i] == 0:
                    span = documents[compared[i]]
                    sizes[i] = distinct_runs(text, span, table, counting, sets[i])
                common = in_common(runs[:size], sets[i, : sizes[i]])
                if common < SIMILAR * (size + sizes[i] - common):
                    continue
                groups[max(root, other)] = min(root, other)
            found = True
        # In a large bucket those that are like none before take the places of the oldest.
        if not found or seen < COMPARED:
            compared[seen % COMPARED], sizes[seen % COMPARED] = document, 0
            seen += 1
    bucket.seen[0] = seen
