"""Sources in pieces that can be read apart from each other, in any process, and put together again.

A piece is some files, or a part of a large plain one in UTF-8: cut where, by its bytes, no
document, line or character goes on. Whatever is cut, the documents are those of reading everything
from one end to the other. It knows no ids, and not who reads a piece.
"""

from __future__ import annotations

import codecs
import io
import itertools
import math
import os
import re
import stat
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from rondeau.config import TextConfig
from rondeau.errors import CorpusError
from rondeau.text.encodings import MARKS, SAMPLE, Survey
from rondeau.text.hub import is_data_set
from rondeau.text.reading import Batches, joiner, read_part, read_some
from rondeau.text.repairs import Repairs
from rondeau.text.sources import (
    PACKED,
    RECORDS,
    Source,
    changed,
    list_files,
    readable,
    state_of,
)
from rondeau.text.tokenizer import to_codes
from rondeau.text.workers import Answer
from rondeau.urls import Remote, url_of

SIZE = 2**23
"""Bytes of a piece, where there is a place to cut."""
TOGETHER = 256
"""Most files of a piece."""
WINDOW = 2**16
"""Bytes that are looked through at once for a place to cut."""
BLOCK = 2**20
"""Characters turned into code points at once."""
IN_MEMORY = 2**25
"""Bytes of code points that a piece keeps in memory; more go to a file."""
GAP = re.compile(rb"\n[ \t\r\n]*+")
SPILLED = "piece-"
"""How the names of such files begin."""
MARK = b"\xef"
"""How U+FEFF begins, which is left out, and what follows it then goes on."""

State = tuple[int, int]
"""Size and time of a file: another one is another file."""


@dataclass(frozen=True)
class Piece:
    """Some files, or the bytes of one file from `begin` to before `end`.

    line: the number of the first line; last: whether the file ends with it; state: what a part's
    file must still be; apart: whether another process can read it; repairs: what was mended while
    it was looked for.
    """

    sources: tuple[str, ...]
    begin: int = 0
    end: int | None = None
    line: int = 1
    last: bool = True
    state: State = (0, 0)
    apart: bool = True
    repairs: tuple[tuple[Any, ...], ...] = ()


@dataclass
class Read:
    """The documents of a piece: code points as bytes or in a file, and how long each document is.

    goes_on: the last of them goes on in the next piece, whose first it is.
    """

    codes: bytes | Path = b""
    lengths: array[int] = field(default_factory=lambda: array("q"))
    goes_on: bool = False
    repairs: tuple[tuple[Any, ...], ...] = ()


class Surveyed(NamedTuple):
    """What a part of a file is: UTF-8 and a text, all of it; how many lines end; whether blank."""

    sound: bool
    lines: int
    blank: bool


Parts = Iterable[tuple[str, int, int]]
"""Parts of files: a file's name, where a part begins, and where it ends."""
Surveys = Callable[[Parts], Iterator[Surveyed]]


def states_of(sources: Sequence[str | Path]) -> list[tuple[str, State | None]]:
    """Every file of the sources with its state, None for what can be read only once."""
    files = [file for source in sources for file in list_files(source, Repairs())]
    return [(file, _state(file)) for file in files]


def plan(sources: Sequence[str | Path], config: TextConfig, survey: Surveys) -> Iterator[Piece]:
    """The pieces of all sources, in order.

    survey: has parts of files surveyed. With a limit all is one piece, which ends early.
    """
    if config.limit is not None:
        yield Piece(tuple(map(str, sources)), apart=False)
        return
    group: list[str] = []
    kinds: tuple[tuple[Any, ...], ...] = ()
    held = 0
    for file, repairs in _files(sources):
        state = _state(file)
        size = state[0] if state else SIZE
        parts = [Piece((file,), apart=False, repairs=repairs)]
        if state is not None:
            splits = size >= 2 * SIZE and not url_of(file)
            parts = _parts(file, state, config, survey) if splits else []
        if group and (parts or repairs or held + size > SIZE or len(group) == TOGETHER):
            yield Piece(tuple(group), repairs=kinds)
            group, kinds, held = [], (), 0
        if parts:
            yield replace(parts[0], repairs=repairs)
            yield from parts[1:]
        else:
            group, kinds, held = [*group, file], kinds or repairs, held + size
    if group:
        yield Piece(tuple(group), repairs=kinds)


def _files(
    sources: Sequence[str | Path],
) -> Iterator[tuple[str, tuple[tuple[Any, ...], ...]]]:
    """Every file of the sources, and what was mended as it was looked for."""
    for source in sources:
        repairs = Repairs(most=math.inf)
        for number, file in enumerate(list_files(source, repairs)):
            yield file, () if number else repairs.kinds


def _state(file: str) -> State | None:
    if is_data_set(file):
        return None
    if url := url_of(file):
        return Remote(url, CorpusError).state()
    try:
        found = Path(file).stat()
    except OSError:
        return None
    return state_of(found) if stat.S_ISREG(found.st_mode) else None


def _parts(file: str, state: State, config: TextConfig, survey: Surveys) -> list[Piece]:
    """A large file in parts; none where it can only be read as a whole."""
    if file.endswith(PACKED) or not _may_be_utf8(config.encoding):
        return []
    with readable(file), Path(file).open("rb") as opened:
        if opened.read(4).startswith(tuple(mark for mark, _ in MARKS)):
            return []
        lines = file.endswith(RECORDS) or config.documents != "blank-line"
        cuts = [0, *_cuts(opened, state[0], lines=lines), state[0]]
    spans = list(itertools.pairwise(cuts))
    if max(end - begin for begin, end in spans) > 2 * SIZE:
        return []
    surveyed = list(survey((file, *span) for span in spans))
    if surveyed[0].blank or not all(part.sound for part in surveyed):
        return []
    pieces, line = [], 1
    for (begin, end), found in zip(spans, surveyed, strict=True):
        last = end == state[0]
        pieces.append(Piece((file,), begin, end, line=line, last=last, state=state))
        line += found.lines
    return pieces


def _may_be_utf8(encoding: str | None) -> bool:
    try:
        return encoding is None or codecs.lookup(encoding).name == "utf-8"
    except LookupError:  # reading says it
        return False


def _cuts(file: BinaryIO, size: int, *, lines: bool) -> Iterator[int]:
    """Places where a line begins, or a document after blank lines, some SIZE bytes apart."""
    at = SIZE
    while at < size:
        file.seek(at)
        window = file.read(WINDOW)
        cut = next(_gaps(window, lines=lines), None)
        if cut is None:
            at += max(1, len(window) - 1)  # a gap may end with it
            continue
        yield at + cut
        at += cut + SIZE


def _gaps(window: bytes, *, lines: bool) -> Iterator[int]:
    for gap in GAP.finditer(window):
        cut = gap.start() + 1 if lines else gap.end()
        begins = window[cut : cut + 1]
        if begins not in (b"", MARK) and (lines or gap[0].count(b"\n") > 1):
            yield cut


def survey_part(file: str, begin: int, end: int) -> Surveyed:
    """What a part of a file is."""
    with readable(file), Path(file).open("rb") as opened:
        opened.seek(begin)
        data = opened.read(end - begin)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Surveyed(False, 0, False)
    sample = "" if begin else text[:SAMPLE]
    sound = b"\0" not in data and Survey("utf-8", len(text), sample=sample).is_text
    return Surveyed(sound, text.count("\n"), not text.replace("\ufeff", "").strip())


def read_piece(piece: Piece, config: TextConfig, place: Path) -> Read:
    """The documents of a piece; what doesn't fit into memory goes to a file in this folder.

    Raises CorpusError as `read_batches`, but for sources that have no text all together.
    """
    repairs = Repairs(most=math.inf)
    for kind in piece.repairs:
        repairs.add(*kind)
    batches = read_some(piece.sources, config, repairs)
    if piece.end is not None:
        batches = _batches_of_part(piece, config, repairs)
    read = Read()
    with _Kept(place) as kept:
        held: list[str] = []
        size = 0
        for documents, goes_on in batches:
            # Documents stand in the text as a split by tail reads them: one after another.
            held.append(joiner(config).join(documents))
            size += len(held[-1])
            if documents and not goes_on:
                held.append(joiner(config))
            if read.goes_on:
                read.lengths[-1] += len(documents[0])
            read.lengths.extend(map(len, documents[read.goes_on :]))
            read.goes_on = goes_on
            if size >= BLOCK:
                kept.write(to_codes("".join(held)).data)
                held, size = [], 0
        kept.write(to_codes("".join(held)).data)
        read.codes = kept.content()
    read.repairs = repairs.kinds
    return read


def _batches_of_part(piece: Piece, config: TextConfig, repairs: Repairs) -> Batches:
    assert piece.end is not None
    (file,) = piece.sources
    with readable(file), Path(file).open("rb") as opened:
        opened.seek(piece.begin)
        data = opened.read(piece.end - piece.begin)
        if state_of(os.fstat(opened.fileno())) != piece.state:
            raise changed(file)
    source = Source(file, io.BytesIO(), file.endswith(RECORDS))
    yield from read_part(data.decode(), source, config, repairs, line=piece.line, last=piece.last)


def survey_job(job: list[Any]) -> Answer:
    """`survey_part` as a job of a worker's."""
    return survey_part(*job), []


def read_job(job: dict[str, Any]) -> Answer:
    """`read_piece` as a job of a worker's."""
    read = read_piece(piece_of(job["piece"]), TextConfig(**job["settings"]), Path(job["place"]))
    codes, path = (read.codes, None) if isinstance(read.codes, bytes) else (b"", str(read.codes))
    return [path, read.goes_on, read.repairs], [codes, read.lengths.tobytes()]


def read_of(answer: Answer) -> Read:
    """What such a job has read."""
    (path, goes_on, repairs), (codes, lengths) = answer
    return Read(Path(path) if path else codes, array("q", lengths), goes_on, repairs)


def piece_of(values: dict[str, Any]) -> Piece:
    """A piece that was a JSON value."""
    size, time = values["state"]
    sources, repairs = tuple(values["sources"]), tuple(map(tuple, values["repairs"]))
    return Piece(**values | {"sources": sources, "state": (size, time), "repairs": repairs})


class _Kept:
    """Bytes in memory, or in a file where there are many."""

    def __init__(self, place: Path) -> None:
        self.place, self.memory = place, io.BytesIO()
        self.file: BinaryIO | None = None
        self.path = place

    def __enter__(self) -> _Kept:
        return self

    def write(self, data: memoryview) -> None:
        if self.file is None and self.memory.tell() + data.nbytes > IN_MEMORY:
            handle, name = tempfile.mkstemp(dir=self.place, prefix=SPILLED)
            self.path, self.file = Path(name), os.fdopen(handle, "wb")
            self.file.write(self.memory.getbuffer())
            self.memory = io.BytesIO()
        (self.file or self.memory).write(data)

    def content(self) -> bytes | Path:
        return self.memory.getvalue() if self.file is None else self.path

    def __exit__(self, kind: object, *_: object) -> None:
        if self.file is not None:
            self.file.close()
            if kind is not None:
                self.path.unlink()
