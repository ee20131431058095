"""Documents to splits: what is trained on, chosen by, and reported once.

By document: a seeded shuffle, 80/10/10 train, validation and test. Tail: the first 90 % trains, the
last 10 % validates, nothing is inserted. None: all of it trains. It knows no ids.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from rondeau.config import Split, TextConfig
from rondeau.errors import CorpusError
from rondeau.text.reading import read_documents

SplitName = Literal["train", "validation", "test"]
SPLIT_NAMES: tuple[SplitName, ...] = ("train", "validation", "test")
EMBEDDED = "embedded songs"
FEWEST_CHARACTERS = 20
"""Below this there is nothing to learn and to hold out."""


@dataclass(frozen=True)
class Corpus:
    """Documents in their splits, and how they came there.

    `whole_documents` says whether a document's end is a thing to learn: not where one text was cut.
    `documents` are all of them in the order of the sources; `notes` are sentences for the user
    about what was done differently from what was asked.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    split: Split = "document"
    sources: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether it came from sources of the user's, not from the embedded songs."""
        return self.sources != (EMBEDDED,)

    @property
    def whole_documents(self) -> bool:
        """Whether documents are kept whole, so that their ends are targets."""
        return self.split == "document"

    def of(self, split: SplitName) -> tuple[str, ...]:
        """The documents of one split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the splits' texts: equal if and only if the same text is in each."""
        digest = hashlib.sha256()
        for name in SPLIT_NAMES:
            for document in self.of(name):
                data = document.encode("utf-8", "surrogatepass")
                digest.update(f"{name} {len(data)}\n".encode() + data)
        return digest.hexdigest()


def load_corpus(sources: Sequence[str | Path], config: TextConfig) -> Corpus:
    """Read the sources (none: the embedded songs) and split them as the settings say.

    A corpus of one document is split by its tail, and a note says so.
    Raises CorpusError for sources that are missing, unreadable, without text or far too small.
    """
    if sources:
        documents = read_documents(sources, config)
        notes: tuple[str, ...] = ()
        names = tuple(str(Path(source)) for source in sources)
    else:
        documents = read_songs(config)
        notes = (
            f"no corpus given: using the {len(documents)} embedded songs "
            f"({sum(map(len, documents)):,} characters)",
        )
        names = (EMBEDDED,)
    corpus = split_corpus(documents, config)
    return replace(corpus, sources=names, notes=notes + corpus.notes, documents=tuple(documents))


def read_songs(config: TextConfig) -> list[str]:
    """The songs that ship with Rondeau, one document each."""
    with resources.as_file(resources.files("rondeau.text") / "songs") as folder:
        return read_documents([folder], replace(config, documents="file", encoding="utf-8"))


def split_corpus(documents: Sequence[str], config: TextConfig) -> Corpus:
    """Documents to splits, as the settings say."""
    characters = sum(map(len, documents))
    if characters < FEWEST_CHARACTERS:
        raise CorpusError(
            f"the corpus has {characters} characters; give at least {FEWEST_CHARACTERS}"
        )
    split: Split = config.split
    notes: tuple[str, ...] = ()
    if split == "document" and len(documents) == 1:
        split = "tail"
        notes = (
            "the corpus is one document: its last tenth is held out instead of whole documents "
            "(--documents blank-line or line says what a document is)",
        )
    if split == "document":
        shuffled = list(documents)
        random.Random(config.seed).shuffle(shuffled)
        held = max(1, round(len(shuffled) / 10))
        tested = held if len(shuffled) > 2 else 0
        return Corpus(
            train=tuple(shuffled[held + tested :]),
            validation=tuple(shuffled[:held]),
            test=tuple(shuffled[held : held + tested]),
            notes=notes,
        )
    text = one_text(documents, config)
    if split == "none":
        return Corpus(train=(text,), split=split, notes=notes)
    cut = len(text) * 9 // 10
    return Corpus(train=(text[:cut],), validation=(text[cut:],), split=split, notes=notes)


def one_text(documents: Sequence[str], config: TextConfig) -> str:
    """Documents as the one text that a split by tail, or none, reads."""
    return ("\n" if config.newlines == "keep" else " ").join(documents)
