"""Data sets of Hugging Face as sources: `datasets:NAME[:CONFIG][@SPLIT][#FIELD]`, row by row.

NAME is one on the hub (owner/name) or a folder of .json, .csv or .parquet files; SPLIT is `train`
and FIELD `text` where they are left out. Each row is a document. The library `datasets` is an
extra; from version 4 on it executes no code of a data set.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from rondeau.errors import CorpusError
from rondeau.formats import shown

SPELLING = re.compile(r"datasets:([^:@#]+)(?::([^:@#]+))?(?:@([^:@#]+))?(?:#(.+))?")


def is_data_set(source: str | Path) -> bool:
    """Whether a source is named as a data set."""
    return str(source).startswith("datasets:")


def read_rows(source: str) -> Iterator[str]:
    """The texts of a data set; CorpusError where it can't be read or has no such field."""
    named = SPELLING.fullmatch(source)
    if named is None:
        raise CorpusError(f"{source}: is not spelled datasets:NAME[:CONFIG][@SPLIT][#FIELD]")
    name, config, split, field = named[1], named[2], named[3] or "train", named[4] or "text"
    try:
        import datasets
    except ImportError:
        raise CorpusError(f"{source}: needs datasets: pip install 'rondeau[data]'") from None
    try:
        rows = iter(datasets.load_dataset(name, config, split=split, streaming=True))
        while (row := next(rows, None)) is not None:
            text = row.get(field)
            if not isinstance(text, str):
                fields = ", ".join(key for key in row if isinstance(row[key], str)) or "none"
                raise CorpusError(
                    f"{source}: has no text in its field {shown(field)}; name one of those that "
                    f"have after #: {fields}"
                )
            yield text
    except CorpusError:
        raise
    except Exception as reason:  # of many libraries, with nothing in common
        said = " ".join(str(reason).split())[:300]
        raise CorpusError(f"{source}: cannot be read: {said}") from None
