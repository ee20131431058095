"""A corpus: documents in their splits as ids, the vocabulary, and where they came from.

The vocabulary is the training split's. It knows no files: `loading` reads them, `prepared` keeps
the same on a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rondeau.config import Split, TextConfig
from rondeau.text.documents import (
    Alphabet,
    Documents,
    Ring,
    ring_counts,
    ring_ids,
    ring_starts,
    utf8_bytes,
)
from rondeau.text.duplicates import LIMIT, Groups, find_copies
from rondeau.text.reading import joiner
from rondeau.text.splits import SPLIT_NAMES, Ranges, SplitName, ranges_of, split_ranges
from rondeau.text.tokenizer import CharTokenizer, Codes, to_codes

EMBEDDED = "embedded songs"

FindCopies = Callable[[Codes, Ranges], Groups]
KeepRing = Callable[[SplitName, Alphabet, Iterator[NDArray[np.int32]]], Ring]


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Documents in their splits, and how they came there.

    settings: how they were read and split, whose `split` is the one that it became; fingerprint:
    SHA-256 over the splits' texts, equal if and only if the same text is in each; notes: sentences
    for the user about what was done differently from what was asked; repairs: what of the text was
    mended; documents: all of them in the order of the sources, where those can't be read again.
    """

    parts: Mapping[SplitName, Documents]
    alphabet: Alphabet
    settings: TextConfig
    fingerprint: str
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    repairs: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    @property
    def tokenizer(self) -> CharTokenizer:
        """The vocabulary of the training split."""
        return self.alphabet.tokenizer

    @property
    def split(self) -> Split:
        """How it is split."""
        return self.settings.split

    @property
    def named(self) -> bool:
        """Whether it came from sources of the user's, not from the embedded songs."""
        return self.sources != (EMBEDDED,)

    @property
    def whole_documents(self) -> bool:
        """Whether documents are kept whole, so that their ends are targets."""
        return self.split == "document"

    @property
    def train(self) -> Documents:
        """What is learned from."""
        return self.parts["train"]

    @property
    def validation(self) -> Documents:
        """What is chosen by."""
        return self.parts["validation"]

    @property
    def test(self) -> Documents:
        """What is reported once."""
        return self.parts["test"]


def split_corpus(documents: Sequence[str], config: TextConfig) -> Corpus:
    """Documents to a corpus in memory, split as the settings say; CorpusError for too few.

    Of more than 8 million characters only exact copies are kept on one side, which takes no time;
    `prepare` looks for near copies in a text of any size, and may then hold out other documents.
    """
    lengths = np.array([len(document) for document in documents], dtype=np.int64)
    text = to_codes(one_text(documents, config))
    near = len(text) <= LIMIT
    copies = partial(find_copies, near=near)
    corpus = arrange(text, ranges_of(lengths), config, copies=copies, keep=in_memory)
    if near or not corpus.whole_documents:
        return corpus
    note = (
        "in a text of this size only exact copies are kept on one side of the split "
        "(rondeau prepare looks for near copies too)"
    )
    return replace(corpus, notes=(*corpus.notes, note))


def arrange(
    text: Codes, documents: Ranges, config: TextConfig, *, copies: FindCopies, keep: KeepRing
) -> Corpus:
    """A text of code points, with the ranges of its documents, to a corpus.

    copies: tells which documents are copies of each other; keep: takes a split's ids in blocks and
    gives back what stands for all of them.
    """
    by_document = config.split == "document" and len(documents) > 1
    groups = copies(text, documents) if by_document else None
    splits = split_ranges(documents, config, groups)
    counts = {name: ring_counts(text, ranges) for name, ranges in splits.ranges.items()}
    alphabet = Alphabet.of(counts["train"], counts["validation"] + counts["test"])
    digest = hashlib.sha256(alphabet.codes.astype("<u4").tobytes())

    def told(blocks: Iterator[NDArray[np.int32]]) -> Iterator[NDArray[np.int32]]:
        for block in blocks:
            digest.update(block.astype("<u4").data)
            yield block

    parts: dict[SplitName, Documents] = {}
    for name in SPLIT_NAMES:
        ranges = splits.ranges[name]
        starts = ring_starts(ranges)
        digest.update(starts.astype("<i8").data)
        ring = keep(name, alphabet, told(ring_ids(text, ranges, alphabet)))
        parts[name] = Documents(
            ring, starts, splits.numbers[name], alphabet.codes, utf8_bytes(counts[name])
        )
    return Corpus(
        parts=parts,
        alphabet=alphabet,
        settings=replace(config, split=splits.kind),
        fingerprint=digest.hexdigest(),
        notes=splits.notes,
    )


def in_memory(
    name: SplitName, alphabet: Alphabet, blocks: Iterator[NDArray[np.int32]]
) -> NDArray[np.int32]:
    """All of a ring as one array."""
    return np.concatenate([np.empty(0, dtype=np.int32), *blocks])


def one_text(documents: Sequence[str], config: TextConfig) -> str:
    """Documents as the one text that a split by tail, or none, reads."""
    return joiner(config).join(documents)
