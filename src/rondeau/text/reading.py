"""Files to documents: normalised, split, in batches. It knows no splits and no vocabulary.

Reads .txt (and any other plain text), .txt.gz, .zip, .jsonl (a `text` field), folders of these,
and standard input (`-`), all in blocks: a document is never longer in memory than it must be.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rondeau.config import Documents, TextConfig
from rondeau.errors import CorpusError
from rondeau.formats import read_object
from rondeau.text.encodings import read_text
from rondeau.text.hub import is_data_set, read_rows
from rondeau.text.repairs import MOST_MARKS, Repairs, mended, stream_safe
from rondeau.text.sources import Source, open_sources, readable
from rondeau.urls import label

BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
LOOKED_AT = 1000
"""Characters at the end of a block that are looked through for a place to cut."""

Batches = Iterator[tuple[list[str], bool]]
"""Documents some at a time, and whether the last of them goes on as the first of the next."""


class _Block(NamedTuple):
    """A block of a file or record; whole: it is one document by its format."""

    name: str
    text: str
    last: bool
    whole: bool


def read_documents(
    sources: Sequence[str | Path], config: TextConfig, repairs: Repairs
) -> list[str]:
    """The documents of all sources, in order: NFC, newlines as "\\n" or spaces, none of them empty.

    repairs: is told what was mended. Raises CorpusError for a source that is missing, unreadable or
    without text.
    """
    documents: list[str] = []
    begun: list[str] = []
    for batch, goes_on in read_batches(sources, config, repairs):
        begun += batch
        if not goes_on:
            documents += batch if len(begun) == len(batch) else ["".join(begun)]
            begun = []
    return documents


def read_batches(sources: Sequence[str | Path], config: TextConfig, repairs: Repairs) -> Batches:
    """The same documents in batches that fit into memory, errors as for `read_documents`."""
    found = False
    for batch in read_some(sources, config, repairs):
        found = True
        yield batch
    if not found:
        raise nothing_in(sources)


def read_some(sources: Sequence[str | Path], config: TextConfig, repairs: Repairs) -> Batches:
    """`read_batches` of sources that may be without a text all together, though not one by one."""
    return _batches(_blocks(sources, config.encoding, repairs), config, repairs)


def nothing_in(sources: Sequence[str | Path]) -> CorpusError:
    """The error where all sources together have no text."""
    return CorpusError(f"{', '.join(map(label, sources))}: no text in it; give a file with some")


def no_text(name: str) -> CorpusError:
    """The error where a file has none."""
    return CorpusError(f"{name}: has no text in it; give a file with some")


def read_part(
    text: str, source: Source, config: TextConfig, repairs: Repairs, *, line: int, last: bool
) -> Batches:
    """The documents of a part of a large file, cut where no document, character or line goes on.

    line: the number of the part's first line; last: whether the file ends with it. Where the file
    is one document, it goes on to the last part.
    """
    texts = mended([text], source.name, repairs, line=line)
    if source.records:
        yield from _batches(_records(texts, source, repairs, line), config, repairs)
        return
    blocks = _normalised(texts, config, source.name, repairs)
    if config.documents in ("line", "blank-line"):
        batches = split_documents(blocks, config.documents)
    else:
        end = [([""], False)] if last else []
        batches = itertools.chain((([block], True) for block in blocks), end)
    for documents, goes_on in batches:
        yield _spaced(documents, config), goes_on


def _batches(stream: Iterator[_Block], config: TextConfig, repairs: Repairs) -> Batches:
    left = config.limit
    for first in stream:
        unit = _until_last(first, stream)
        mode = "file" if first.whole else config.documents or "file"
        blank = True
        for batch, more in split_documents(_normalised(unit, config, first.name, repairs), mode):
            documents, goes_on = _spaced(batch, config), more
            if left is not None:
                documents, left = _at_most(left, documents)
                goes_on = goes_on and left > 0
            blank = blank and not documents
            yield documents, goes_on
            if left == 0:
                return
        if blank:
            raise no_text(first.name)


def _spaced(documents: list[str], config: TextConfig) -> list[str]:
    if config.newlines == "keep":
        return documents
    return [document.replace("\n", " ") for document in documents]


def normalise(text: str, config: TextConfig) -> str:
    """NFC; CRLF and CR become "\n"; with newlines="space" each of the characters is a space.

    U+0085 and U+2028 are characters as others. More than 30 combining marks in a row are broken up.
    """
    return _normal(stream_safe(text), config, keep_lines=False)


def joiner(config: TextConfig) -> str:
    """What stands between documents that are read as one text."""
    return "\n" if config.newlines == "keep" else " "


def split_documents(blocks: Iterator[str], documents: Documents) -> Batches:
    """A text's documents, blank ones left out: itself, its blocks between blank lines, its lines.

    A document goes on only where it is the text itself.
    """
    if documents == "file":
        blank: list[str] = []
        begun = False
        for block in blocks:
            begun = begun or not _is_blank(block)
            if begun:
                yield ["".join([*blank, block])], True
                blank = []
            else:
                blank.append(block)
        if begun:
            yield [""], False
        return
    parts = _lines(blocks) if documents == "line" else _between_blank_lines(blocks)
    for part in parts:
        yield [document for document in part if not _is_blank(document)], False


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _lines(blocks: Iterator[str]) -> Iterator[list[str]]:
    """Whole lines, and the last one even if nothing ends it."""
    begun: list[str] = []
    for block in blocks:
        first, *others = block.split("\n")
        begun.append(first)
        if others:
            yield ["".join(begun), *others[:-1]]
            begun = [others[-1]]
    yield ["".join(begun)]


def _between_blank_lines(blocks: Iterator[str]) -> Iterator[list[str]]:
    begun: list[str] = []
    rest = ""
    for block in blocks:
        text = rest + block
        # Blank lines at the end may yet go on.
        end = text.find("\n", len(text.rstrip(" \t\n")))
        text, rest = (text, "") if end < 0 else (text[:end], text[end:])
        first, *others = BLANK_LINES.split(text)
        begun.append(first)
        if others:
            yield [document.strip("\n") for document in ("".join(begun), *others[:-1])]
            begun = [others[-1]]
        if rest.count("\n") > 1:
            rest = "\n\n"
    yield ["".join([*begun, rest]).strip("\n")]


def _at_most(left: int, documents: list[str]) -> tuple[list[str], int]:
    """As many characters as are left, and how many are left then."""
    kept = []
    for document in documents:
        if left:
            kept.append(document[:left])
            left -= len(kept[-1])
    return kept, left


def _normalised(
    blocks: Iterator[str], config: TextConfig, name: str, repairs: Repairs
) -> Iterator[str]:
    """`normalise` block by block."""
    keep_lines = config.documents is not None  # which separate documents
    for text in _cut_anew(blocks):
        safe = stream_safe(text)
        if len(safe) > len(text):
            what = f"over {MOST_MARKS} combining marks in a row, broken up by U+034F"
            repairs.add(name, what, count=len(safe) - len(text))
        yield _normal(safe, config, keep_lines=keep_lines)


def _cut_anew(blocks: Iterator[str]) -> Iterator[str]:
    """A text in pieces, cut where what follows can't change what went before."""
    held: list[str] = []
    for block in blocks:
        last = range(len(block) - 1, max(-1, len(block) - 1 - LOOKED_AT), -1)
        cut = next((i for i in last if _begins_anew(block[i])), -1)
        if cut < 0:
            held.append(block)
        else:
            yield "".join([*held, block[:cut]])
            held = [block[cut:]]
    yield "".join(held)


def _normal(text: str, config: TextConfig, *, keep_lines: bool) -> str:
    if config.newlines == "space" and not keep_lines:
        text = text.replace("\n", " ").replace("\r", " ")
    else:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text)


def _begins_anew(character: str) -> bool:
    """Whether NFC and the joining of CRLF never join a character to the one before it."""
    if character < "\u0300":
        return character != "\n"
    if "\u1100" <= character <= "\u11ff" or "\uffff" <= character < "\U0001f000":
        return False  # parts of syllables, and scripts with letters that join
    return unicodedata.category(character)[0] != "M"


def _until_last(first: _Block, stream: Iterator[_Block]) -> Iterator[str]:
    """The texts of one file or record, whose first block is already there."""
    for block in itertools.chain([first], stream):
        yield block.text
        if block.last:
            return


def _blocks(
    sources: Sequence[str | Path], encoding: str | None, repairs: Repairs
) -> Iterator[_Block]:
    """Every file and row in the sources, block by block."""
    for name in sources:
        if is_data_set(name):
            yield from _rows(str(name), repairs)
        else:
            yield from _files([name], encoding, repairs)


def _rows(name: str, repairs: Repairs) -> Iterator[_Block]:
    """The rows of a data set, each a document by itself."""
    for text in mended(read_rows(name), name, repairs):
        if not _is_blank(text):
            yield _Block(name, text, True, True)


def _files(
    sources: Sequence[str | Path], encoding: str | None, repairs: Repairs
) -> Iterator[_Block]:
    for source in open_sources(sources, repairs):
        with readable(source.name):
            texts = read_text(source.file, source.name, encoding, repairs)
            if source.records:
                yield from _records(texts, source, repairs)
            else:
                for text in texts:
                    yield _Block(source.name, text, False, False)
                yield _Block(source.name, "", True, False)


def _records(
    texts: Iterator[str], source: Source, repairs: Repairs, first: int = 1
) -> Iterator[_Block]:
    """The texts of a .jsonl file, or of its lines from the first on, each a document by itself."""
    lines = itertools.chain.from_iterable(_lines(texts))
    for number, line in enumerate(lines, first):
        if _is_blank(line):
            continue
        name = f"{source.name}, line {number}"
        text = read_object(line.encode(), name, error=CorpusError).get("text")
        if not isinstance(text, str):
            raise CorpusError(f'{name}: has no "text" field with a text')
        (text,) = mended([text], source.name, repairs, line=number)
        if not _is_blank(text):
            yield _Block(name, text, True, True)
