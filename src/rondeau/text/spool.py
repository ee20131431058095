"""A preparation under way: what has been read of a corpus, so that one that was cut off goes on.

    progress.jsonl   what is prepared (settings and files) and in which pieces, then a line for each
                     piece that has been read
    text.codes       their code points (uint32), one document after another
    text.lengths     how many characters each document has (int64)
    copies.groups    which of them are copies of each other (int64), once that is known

A line holds the CRC-32 of what its piece has added: a kill may cut off a line, and a loss of power
any of the files, since none is synced. It knows no splits and no vocabulary.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rondeau.errors import OptionError
from rondeau.formats import misfit
from rondeau.text.pieces import SPILLED, Piece, Read, piece_of
from rondeau.text.repairs import Repairs
from rondeau.text.splits import Ranges, ranges_of
from rondeau.text.tokenizer import Codes
from rondeau.urls import label

PROGRESS, CODES, LENGTHS, COPIES = (
    "progress.jsonl",
    "text.codes",
    "text.lengths",
    "copies.groups",
)
OURS = re.compile(
    rf"{PROGRESS}|{CODES}|{LENGTHS}|{COPIES}|{SPILLED}.*"
    r"|(train|validation|test)(\.starts|\.numbers|-\d+\.ids)|corpus\.json|tokenizer\.json"
)
"""Everything that a preparation puts into its folder, on its way and at its end."""
BLOCK = 2**20
"""Bytes that are copied or checked at once."""
PIECE = {
    "sources": [str],
    "begin": int,
    "end": (int, None),
    "line": int,
    "last": bool,
    "state": [int],
    "apart": bool,
    "repairs": list,
}
LINE = {"characters": int, "documents": int, "goes_on": bool, "repairs": list, "sums": [int]}


class Spool:
    """What has been read so far, in a folder that another process can go on with."""

    def __init__(self, folder: Path, wanted: Mapping[str, Any]) -> None:
        """Go on with what lies in the folder, if it is of what is wanted; else begin.

        `dropped` is then what else lay there, `wanted` as it was. Raises OptionError where there is
        anything that a preparation doesn't write.
        """
        self.folder = folder
        self.repairs = Repairs()
        self.characters = 0
        self.lengths = array("q")
        self.goes_on = False
        self.pieces: Sequence[Piece] | None = None
        self.read = 0
        self.dropped: Mapping[str, Any] | None = None
        self._groups_sum: int | None = None
        names = {path.name for path in folder.iterdir()}
        for name in sorted(names):
            if not OURS.fullmatch(name):
                raise OptionError(f"{folder / name}: is in the way; remove it")
        lines = _lines(folder / PROGRESS)
        first, _ = next(lines, (None, 0))
        if first == wanted:
            self._go_on(lines)
        elif first is not None:
            self.dropped = first
        kept = {PROGRESS, CODES, LENGTHS, COPIES} if self.read else set()
        for name in names - kept:
            (folder / name).unlink()
        self._files = [(folder / name).open("ab") for name in (CODES, LENGTHS)]
        if not self.read:
            self._write(wanted)

    def _go_on(self, lines: Iterator[tuple[dict[str, Any], int]]) -> None:
        """Take what the lines tell of, as far as it is there, and cut off the rest."""
        plan, end = next(lines, ({}, 0))
        if misfit(plan, {"pieces": [PIECE]}) is not None:
            return
        self.pieces = [piece_of(values) for values in plan["pieces"]]
        with (
            (self.folder / CODES).open("a+b") as codes,
            (self.folder / LENGTHS).open("a+b") as sizes,
        ):
            places = [file.seek(0) for file in (codes, sizes)]
            for line, after in lines:
                if self.read == len(self.pieces) and misfit(line, {"copies": int}) is None:
                    self._groups_sum, end = line["copies"], after
                if self.read == len(self.pieces) or misfit(line, LINE) is not None:
                    break
                characters, lengths = line["characters"], array("q")
                data = sizes.read(8 * line["documents"])
                if [_checksum(codes, 4 * characters), zlib.crc32(data)] != line["sums"]:
                    break
                lengths.frombytes(data)
                self._add(characters, lengths, line["goes_on"], line["repairs"])
                places, end = [codes.tell(), sizes.tell()], after
            for file, place in zip((codes, sizes), places, strict=True):
                file.truncate(place)
        os.truncate(self.folder / PROGRESS, end)

    def plan(self, pieces: Iterable[Piece]) -> Sequence[Piece]:
        """The pieces that are yet to be read, of those that are given or were before."""
        if self.pieces is None:
            self.pieces = list(pieces)
            # What has secrets in its name is never gone on with.
            told = (asdict(replace(p, sources=tuple(map(label, p.sources)))) for p in self.pieces)
            self._write({"pieces": list(told)})
        return self.pieces[self.read :]

    def take(self, read: Read) -> None:
        """Add what has been read of the next piece."""
        codes, lengths = self._files
        sums = [0, zlib.crc32(read.lengths)]
        characters = 0
        for block in _blocks(read.codes):
            codes.write(block)
            characters += len(block) // 4
            sums[0] = zlib.crc32(block, sums[0])
        lengths.write(read.lengths)
        for file in self._files:
            file.flush()
        self._write(
            {
                "characters": characters,
                "documents": len(read.lengths),
                "goes_on": read.goes_on,
                "repairs": read.repairs,
                "sums": sums,
            }
        )
        self._add(characters, read.lengths, read.goes_on, read.repairs)

    def _add(
        self, characters: int, lengths: array[int], goes_on: bool, repairs: Iterable[Any]
    ) -> None:
        for kind in repairs:
            self.repairs.add(*kind)
        self.characters += characters
        if self.goes_on:
            self.lengths[-1] += lengths[0]
        self.lengths.extend(lengths[self.goes_on :])
        self.goes_on = goes_on
        self.read += 1

    def _write(self, line: Mapping[str, Any]) -> None:
        with (self.folder / PROGRESS).open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")

    def text(self) -> tuple[Codes, Ranges]:
        """All code points, mapped, and where each document stands in them."""
        self.close()
        ranges = ranges_of(np.frombuffer(self.lengths, dtype=np.int64))
        self.lengths = array("q")
        if not self.characters:
            return np.empty(0, dtype="<u4"), ranges
        return np.memmap(self.folder / CODES, dtype="<u4", mode="r"), ranges

    def groups(self, find: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
        """The groups of copies: found, or as they were."""
        path = self.folder / COPIES
        if self._groups_sum is not None:
            with contextlib.suppress(OSError):
                data = path.read_bytes()
                if zlib.crc32(data) == self._groups_sum:
                    return np.frombuffer(data, dtype="<i8").astype(np.int64)
        groups = find()
        data = groups.astype("<i8").tobytes()
        path.write_bytes(data)
        self._write({"copies": zlib.crc32(data)})
        return groups

    def remove(self) -> None:
        """Leave only what is to stay: the files of the corpus."""
        for name in (COPIES, LENGTHS, CODES, PROGRESS):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """Close what is written to."""
        for file in self._files:
            file.close()


def _lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """The whole lines of a file that are JSON objects, to the first that isn't; where each ends."""
    with contextlib.suppress(OSError, ValueError, RecursionError), path.open("rb") as file:
        end = 0
        for line in file:
            value = json.loads(line) if line.endswith(b"\n") else None
            if not isinstance(value, dict):
                return
            end += len(line)
            yield value, end


def _checksum(file: BinaryIO, size: int) -> int:
    """The CRC-32 of so many bytes of a file."""
    found = 0
    while size > 0:
        block = file.read(min(size, BLOCK))
        if not block:
            return -1
        found, size = zlib.crc32(block, found), size - len(block)
    return found


def _blocks(codes: bytes | Path) -> Iterator[bytes | memoryview]:
    """Bytes a block at a time; their file is removed at its end."""
    if isinstance(codes, bytes):
        for begin in range(0, len(codes), BLOCK):
            yield memoryview(codes)[begin : begin + BLOCK]
        return
    with codes.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
    codes.unlink()
