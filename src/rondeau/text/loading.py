"""What a user names to a corpus: files and folders, a prepared corpus, or the embedded songs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

from rondeau.config import TextConfig
from rondeau.text.corpus import EMBEDDED, Corpus, split_corpus
from rondeau.text.prepared import is_prepared, open_prepared
from rondeau.text.reading import read_documents
from rondeau.text.repairs import Repairs
from rondeau.urls import label


def load_corpus(sources: Sequence[str | Path], config: TextConfig) -> Corpus:
    """Read the sources (none: the embedded songs) and split them as the settings say.

    A corpus of one document is split by its tail, and a note says so. A prepared corpus, which
    must be the only source, is already split; settings that differ from its own are refused.
    Raises CorpusError for sources that are missing, unreadable, without text or far too small.
    """
    if not sources:
        documents = read_songs(config)
        note = (
            f"no corpus given: using the {len(documents)} embedded songs "
            f"({sum(map(len, documents)):,} characters)"
        )
        corpus = split_corpus(documents, config)
        return replace(corpus, sources=(EMBEDDED,), notes=(note, *corpus.notes))
    names = tuple(map(label, sources))
    if len(sources) == 1 and is_prepared(sources[0]):
        return replace(open_prepared(sources[0], config), sources=names)
    repairs = Repairs()
    documents = read_documents(sources, config, repairs)
    kept = tuple(documents) if "-" in names else ()
    corpus = split_corpus(documents, config)
    return replace(corpus, sources=names, repairs=repairs.notes, documents=kept)


def read_songs(config: TextConfig) -> list[str]:
    """The songs that ship with Rondeau, one document each."""
    with resources.as_file(resources.files("rondeau.text") / "songs") as folder:
        config = replace(config, documents="file", encoding="utf-8")
        return read_documents([folder], config, Repairs())
