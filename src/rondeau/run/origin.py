"""Where a run's text came from, and the same text read again.

`private/corpus.json` holds the sources and the fingerprint of the splits; a text that came by
standard input is kept beside it. Paths are nobody else's business: `private/` is not to be shared.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, RunError
from rondeau.formats import misfit, shown
from rondeau.run.folder import FORMAT_VERSION, RunFolder
from rondeau.run.results import read_results
from rondeau.text.corpus import Corpus
from rondeau.text.hub import is_data_set
from rondeau.text.loading import load_corpus
from rondeau.text.prepared import is_prepared
from rondeau.urls import label, url_of

ORIGIN, KEPT = "private/corpus.json", "private/corpus.jsonl"
MOST = 2**34
"""Most bytes of a text that is kept."""


def origin_files(corpus: Corpus) -> dict[str, bytes]:
    """The files of a run that say where its text came from, by name."""
    files = {}
    sources = [*map(whole, corpus.sources)] if corpus.named else []
    if "-" in corpus.sources:
        sources = [KEPT]
        lines = (json.dumps({"text": document}) + "\n" for document in corpus.documents)
        files[KEPT] = "".join(lines).encode()
    origin = {
        "format_version": FORMAT_VERSION,
        "sources": sources,
        "fingerprint": corpus.fingerprint,
    }
    # In ASCII: a path may hold bytes that are no UTF-8.
    return files | {ORIGIN: (json.dumps(origin, indent=2) + "\n").encode()}


def whole(source: str) -> str:
    """A source as it is found from anywhere: a URL, a data set, or a path from the root."""
    return source if url_of(source) or is_data_set(source) else str(Path(source).absolute())


def read_origin(folder: RunFolder) -> dict[str, Any]:
    """The `sources` and the `fingerprint` of a run's corpus; RunError if they aren't there."""
    origin = folder.read_json(ORIGIN)
    wrong = misfit(origin, {"sources": [str], "fingerprint": str}, "corpus")
    if wrong is not None:
        raise RunError(f"{folder.path / ORIGIN}: doesn't say where a text came from ({wrong})")
    return origin


def _refuse_strange(folder: RunFolder, sources: Sequence[str]) -> None:
    """RunError for what `origin_files` never writes: a pipe would be read for ever."""
    for source in sources:
        if url_of(source) or is_data_set(source):
            continue
        path = Path(source)
        try:
            plain = path.is_absolute() and (not path.exists() or path.is_file() or path.is_dir())
        except OSError:  # reading it says why
            plain = True
        if not plain:
            raise RunError(
                f"{folder.path / ORIGIN}: {shown(source)} is no file or folder with its whole path"
            )


def _no_further(folder: RunFolder, config: TextConfig, sources: Sequence[str]) -> TextConfig:
    """The settings of a text to stop reading it once it is longer than the run's ever was."""
    if len(sources) == 1 and is_prepared(sources[0]):
        return config
    characters = sum(read_results(folder)["data"]["characters"].values())
    return replace(config, limit=min(config.limit or MOST, characters + 1))


def read_corpus(
    folder: RunFolder, config: TextConfig, *, sources: Sequence[str | Path] = ()
) -> Corpus:
    """The corpus of a run, read again, from other sources if it has moved.

    Raises RunError if it is gone, or isn't the text and the splits that the run was trained on any
    more; CorpusError if the other sources can't be read.
    """
    origin = read_origin(folder)
    wanted = list(sources) or origin["sources"]
    if wanted == [KEPT]:
        folder.read(KEPT, most=MOST)
        wanted, config = [folder.path / KEPT], replace(config, encoding=None)
    elif not sources:
        _refuse_strange(folder, origin["sources"])
        config = _no_further(folder, config, origin["sources"])
    try:
        corpus = load_corpus(wanted, config)
    except CorpusError as error:
        if sources:
            raise
        raise RunError(f"{error}; {folder.path} was trained on it: put it back") from None
    if corpus.fingerprint != origin["fingerprint"]:
        name = ", ".join(map(label, wanted)) or "the embedded songs"
        raise RunError(
            f"{name}: no longer the text that {folder.path} was trained on, with the same splits; "
            "put that back, or to go on training name where it is now"
        )
    if wanted == [folder.path / KEPT]:
        return replace(corpus, sources=tuple(read_results(folder)["data"]["sources"]))
    return corpus
