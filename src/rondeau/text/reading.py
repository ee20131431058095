"""Files to documents: formats, compression, normalising. It knows no splits and no vocabulary.

Reads .txt (and any other plain text), .txt.gz, .zip, .jsonl (a `text` field), folders of these,
and standard input (`-`), all in blocks: a document is never longer in memory than it must be.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import lzma
import re
import shutil
import sys
import tempfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from rondeau.config import Documents, TextConfig
from rondeau.errors import CorpusError
from rondeau.text.encodings import read_text

SUFFIXES = (".txt", ".txt.gz", ".zip", ".jsonl")
"""What is read from a folder; a file named directly may have any other ending."""
IN_MEMORY = 2**28
"""Bytes of unpacked data that are kept in memory; more goes to a temporary file."""
BLANK_LINES = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")

Batches = Iterator[tuple[list[str], bool]]
"""Documents some at a time, and whether the last of them goes on as the first of the next."""


class _Block(NamedTuple):
    """A block of a file or record; whole: it is one document by its format."""

    name: str
    text: str
    last: bool
    whole: bool


def read_documents(sources: Sequence[str | Path], config: TextConfig) -> list[str]:
    """The documents of all sources, in order: NFC, newlines as "\\n" or spaces, none of them empty.

    Raises CorpusError for a source that is missing, unreadable or without text.
    """
    documents: list[str] = []
    begun: list[str] = []
    for batch, goes_on in read_batches(sources, config):
        begun += batch
        if not goes_on:
            documents += batch if len(begun) == len(batch) else ["".join(begun)]
            begun = []
    return documents


def read_batches(sources: Sequence[str | Path], config: TextConfig) -> Batches:
    """The same documents in batches that fit into memory, errors as for `read_documents`."""
    left = config.limit
    found = False
    stream = _blocks(sources, config.encoding)
    for first in stream:
        unit = _until_last(first, stream)
        mode = "file" if first.whole else config.documents or "file"
        blank = True
        for batch, more in split_documents(_normalised(unit, config), mode):
            documents, goes_on = batch, more
            if config.newlines == "space":
                documents = [document.replace("\n", " ") for document in documents]
            if left is not None:
                documents, left = _at_most(left, documents)
                goes_on = goes_on and left > 0
            blank = blank and not documents
            yield documents, goes_on
            if left == 0:
                return
        if blank:
            raise CorpusError(f"{first.name}: has no text in it; give a file with some")
        found = True
    if not found:
        raise CorpusError(f"{', '.join(map(str, sources))}: no text in it; give a file with some")


def normalise(text: str, config: TextConfig, *, keep_lines: bool = False) -> str:
    """NFC; CRLF and CR become "\\n"; with newlines="space" each of the characters is a space.

    `keep_lines` leaves newlines alone for now, since they still separate documents.
    """
    if config.newlines == "space" and not keep_lines:
        return unicodedata.normalize("NFC", text.replace("\n", " ").replace("\r", " "))
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def split_documents(blocks: Iterator[str], documents: Documents) -> Batches:
    """A text's documents, blank ones left out: itself, its blocks between blank lines, its lines.

    A document goes on only where it is the text itself.
    """
    if documents == "file":
        held, begun = "", False
        for block in blocks:
            held += block
            begun = begun or not _is_blank(held)
            if begun:
                yield [held], True
                held = ""
        if begun:
            yield [""], False
        return
    parts = _lines(blocks) if documents == "line" else _between_blank_lines(blocks)
    for part in parts:
        yield [document for document in part if not _is_blank(document)], False


def repair(text: str) -> str:
    """Lone surrogates, which no file can hold, as U+FFFD."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def _is_blank(text: str) -> bool:
    return not text or text.isspace()


def _lines(blocks: Iterator[str]) -> Iterator[list[str]]:
    """Whole lines, and the last one even if nothing ends it."""
    rest = ""
    for block in blocks:
        *whole, rest = (rest + block).split("\n")
        yield whole
    yield [rest]


def _between_blank_lines(blocks: Iterator[str]) -> Iterator[list[str]]:
    rest = ""
    for block in blocks:
        *whole, rest = BLANK_LINES.split(rest + block)
        if whole and not rest:
            # Blank lines at the end may yet go on.
            rest = whole.pop() + "\n\n"
        yield [document.strip("\n") for document in whole]
    yield [rest.strip("\n")]


def _at_most(left: int, documents: list[str]) -> tuple[list[str], int]:
    """As many characters as are left, and how many are left then."""
    kept = []
    for document in documents:
        if left:
            kept.append(document[:left])
            left -= len(kept[-1])
    return kept, left


def _normalised(blocks: Iterator[str], config: TextConfig) -> Iterator[str]:
    """`normalise` block by block, cut where what follows can't change what went before."""
    keep_lines = config.documents is not None
    rest = ""
    for block in blocks:
        text = rest + block
        cut = next((i for i in range(len(text) - 1, 0, -1) if _begins_anew(text[i])), 0)
        yield normalise(text[:cut], config, keep_lines=keep_lines)
        rest = text[cut:]
    yield normalise(rest, config, keep_lines=keep_lines)


def _begins_anew(character: str) -> bool:
    """Whether NFC and the joining of CRLF never join a character to the one before it."""
    if character < "\u0300":
        return character != "\n"
    jamo = "\u1100" <= character <= "\u11ff"
    return character < "\uffff" and not jamo and unicodedata.category(character)[0] != "M"


def _until_last(first: _Block, stream: Iterator[_Block]) -> Iterator[str]:
    """The texts of one file or record, whose first block is already there."""
    for block in itertools.chain([first], stream):
        yield block.text
        if block.last:
            return


def _blocks(sources: Iterable[str | Path], encoding: str | None) -> Iterator[_Block]:
    """Every file in the sources, block by block."""
    for source in sources:
        path = Path(source)
        try:
            if str(path) == "-":
                with _unpacked(sys.stdin.buffer) as file:
                    yield from _text_blocks(file, "standard input", encoding)
            elif path.is_dir():
                yield from _blocks(_files_in(path), encoding)
            elif path.exists():
                yield from _file_blocks(path, encoding)
            else:
                raise CorpusError(f"{path}: no such file or folder")
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, lzma.LZMAError) as error:
            raise CorpusError(f"{path}: cannot be read: {error}") from None


def _files_in(folder: Path) -> list[Path]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
    if not files:
        raise CorpusError(f"{folder}: has no {', '.join(SUFFIXES)} file in it")
    return files


def _file_blocks(path: Path, encoding: str | None) -> Iterator[_Block]:
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                hidden = any(part.startswith((".", "__")) for part in Path(member.filename).parts)
                if not member.is_dir() and member.file_size and not hidden:
                    name = f"{path}:{member.filename}"
                    with _member(archive, member, name) as file:
                        yield from _text_blocks(file, name, encoding)
        return
    with path.open("rb") as plain:
        if path.name.endswith(".gz"):
            with _unpacked(cast(BinaryIO, gzip.GzipFile(fileobj=plain))) as file:
                yield from _text_blocks(file, str(path), encoding)
        elif path.name.endswith(".jsonl"):
            yield from _records(plain, path, encoding)
        elif plain.seekable():
            yield from _text_blocks(plain, str(path), encoding)
        else:
            with _unpacked(plain) as file:
                yield from _text_blocks(file, str(path), encoding)


def _text_blocks(file: BinaryIO, name: str, encoding: str | None) -> Iterator[_Block]:
    for text in read_text(file, name, encoding):
        yield _Block(name, text, False, False)
    yield _Block(name, "", True, False)


def _unpacked(stream: BinaryIO) -> BinaryIO:
    """All of a stream as a file that can be read several times."""
    with contextlib.ExitStack() as stack:
        spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
        shutil.copyfileobj(stream, spool)
        stack.pop_all()
    return cast(BinaryIO, spool)


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> BinaryIO:
    try:
        with archive.open(member) as packed:
            return _unpacked(cast(BinaryIO, packed))
    except (RuntimeError, NotImplementedError) as error:  # encrypted, or an unknown method
        raise CorpusError(f"{name}: cannot be read: {error}") from None


def _records(file: BinaryIO, path: Path, encoding: str | None) -> Iterator[_Block]:
    """The texts of a .jsonl file, each a document by itself."""
    lines = itertools.chain.from_iterable(_lines(read_text(file, str(path), encoding)))
    for number, line in enumerate(lines, 1):
        if _is_blank(line):
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path}, line {number}: is not JSON ({error})") from None
        if not isinstance(record, dict) or not isinstance(record.get("text"), str):
            raise CorpusError(f'{path}, line {number}: has no "text" field with a text')
        if not _is_blank(record["text"]):
            yield _Block(f"{path}, line {number}", repair(record["text"]), True, True)
