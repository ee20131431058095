"""Documents as ids: a split is one ring, `<bos> document <bos> document …`, and where each begins.

Ids below V are the vocabulary's. Those from V on are characters that training never saw: a model
reads them as `<unk>`, and every document comes back to the letter. It knows no files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from rondeau.text.mapped import read_spans
from rondeau.text.splits import Ranges
from rondeau.text.tokenizer import (
    BOS,
    CODE_POINTS,
    SPECIALS,
    CharTokenizer,
    Codes,
    count_codes,
    to_codes,
)

BLOCK = 2**20
"""Ids made at once."""


class Ring(Protocol):
    """Ids by position: an array, or shards on a disk."""

    def __len__(self) -> int:
        """Number of ids."""

    def __getitem__(self, positions: Any, /) -> NDArray[Any]:
        """The ids at an array of positions, in its shape."""


@dataclass(frozen=True)
class Alphabet:
    """Every character of a corpus: `codes[id]` is its code point, the first V the vocabulary's."""

    tokenizer: CharTokenizer
    codes: Codes

    @classmethod
    def of(cls, trained: NDArray[np.int64], held_out: NDArray[np.int64]) -> Alphabet:
        """From how often each code point stands in the training text and in the rest."""
        tokenizer = CharTokenizer.from_counts(trained)
        return cls.beyond(tokenizer, np.flatnonzero((held_out > 0) & (trained == 0)))

    @classmethod
    def beyond(cls, tokenizer: CharTokenizer, unknown: NDArray[Any]) -> Alphabet:
        """A vocabulary and the code points of the corpus that are not in it."""
        return cls(tokenizer, np.concatenate([tokenizer.codes, unknown]).astype(np.uint32))

    @property
    def unknown(self) -> Codes:
        """The code points that training never saw."""
        return self.codes[len(self.tokenizer) :]

    def table(self) -> NDArray[np.int32]:
        """Ids by code point, (0x110000,)."""
        ids = np.zeros(CODE_POINTS, dtype=np.int32)
        ids[self.codes[len(SPECIALS) :]] = np.arange(len(SPECIALS), len(self.codes))
        return ids


@dataclass(frozen=True, eq=False)
class Documents(Sequence[str]):
    """The documents of a split, read back from their ids when they are asked for.

    starts: the places of their `<bos>`, and the ring's length last (N + 1); numbers: which of the
    corpus's documents they are (N), counted from 0 as they were read.
    """

    ring: Ring
    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    codes: Codes
    utf8_bytes: int

    def __len__(self) -> int:
        """Number of documents."""
        return len(self.starts) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """A document's text, or those of several."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.excerpt(range(len(self))[index], 0)

    @property
    def characters(self) -> int:
        """Characters of all documents."""
        return int(self.starts[-1]) - len(self)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters of each document, (N,)."""
        return np.diff(self.starts) - 1

    def excerpt(self, document: int, start: int, stop: int | None = None) -> str:
        """The characters of a document from `start` to before `stop`, or to its end."""
        first, last = int(self.starts[document]) + 1, int(self.starts[document + 1])
        stop = last if stop is None else min(last, first + stop)
        ids = self.ring[np.arange(first + start, stop)]
        text: str = self.codes[ids].tobytes().decode("utf-32-le", "surrogatepass")
        return text


def ring_starts(ranges: Ranges) -> NDArray[np.int64]:
    """Where the `<bos>` of each document of a split stands in its ring, and the ring's length."""
    sizes = ranges[:, 1] - ranges[:, 0] + 1
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def ring_codes(text: Codes, ranges: Ranges) -> Iterator[tuple[Codes, NDArray[np.int64]]]:
    """The code points of a ring in blocks, and the places in a block where a `<bos>` stands."""
    starts = ring_starts(ranges)
    begin = first = 0
    while begin < starts[-1]:
        end = min(begin + BLOCK, int(starts[-1]))
        last = int(np.searchsorted(starts, end))
        # A `<bos>` stands in the place of what is before its document in the text.
        spans = ranges[first:last].copy()
        spans[:, 0] -= 1
        spans[-1, 1] = spans[-1, 0] + end - starts[last - 1]
        spans[0, 0] += begin - starts[first]
        heads = starts[first:last] - begin
        yield read_spans(text, spans), heads[heads >= 0]
        begin, first = end, last - (starts[last] > end)


def ring_ids(text: Codes, ranges: Ranges, alphabet: Alphabet) -> Iterator[NDArray[np.int32]]:
    """The ids of a ring in blocks."""
    table = alphabet.table()
    for codes, heads in ring_codes(text, ranges):
        ids = table[codes]
        ids[heads] = BOS
        yield ids


def ring_counts(text: Codes, ranges: Ranges) -> NDArray[np.int64]:
    """How often each code point stands in a split, (0x110000,)."""
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    for codes, heads in ring_codes(text, ranges[np.argsort(ranges[:, 0])]):
        found = np.bincount(codes)
        counts[: len(found)] += found
        beginnings = np.bincount(codes[heads])
        counts[: len(beginnings)] -= beginnings
    return counts


def utf8_bytes(counts: NDArray[np.int64]) -> int:
    """Bytes of a text in UTF-8, from how often it has each code point."""
    return int(counts.sum() + sum(counts[more:].sum() for more in (0x80, 0x800, 0x10000)))


def documents_of(texts: Sequence[str], tokenizer: CharTokenizer) -> Documents:
    """Texts as documents of a vocabulary that was made from others."""
    codes = [to_codes(text) for text in texts]
    counts = count_codes(np.concatenate([*codes, np.empty(0, dtype=np.uint32)]))
    alphabet = Alphabet.beyond(
        tokenizer, np.setdiff1d(np.flatnonzero(counts), tokenizer.codes[len(SPECIALS) :])
    )
    table = alphabet.table()
    parts = [np.concatenate([[BOS], table[c]]) for c in codes]
    ring = np.concatenate([np.empty(0, dtype=np.int64), *parts])
    starts = np.cumsum([0, *map(len, parts)])
    numbers = np.arange(len(texts))
    return Documents(ring, starts, numbers, alphabet.codes, utf8_bytes(counts))
