"""`prepare`: sources to a corpus on a disk, by several processes, in memory that doesn't grow.

Pieces of the sources are read side by side and put together in order (`spool`), then copies are
looked for, and the splits are written as `prepared` reads them. All of it comes to lie in a hidden
folder beside the result, which it becomes at the end; one that was interrupted or killed goes on
where it was.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rondeau.config import TextConfig
from rondeau.errors import CorpusError, OptionError, RondeauError
from rondeau.files import TEMPORARY, held_folder, make_folder, sha256, sync_folder
from rondeau.machine import processors
from rondeau.text import pieces
from rondeau.text.corpus import Corpus, arrange
from rondeau.text.documents import Alphabet
from rondeau.text.duplicates import find_copies
from rondeau.text.pieces import (
    Parts,
    Piece,
    Read,
    Surveyed,
    plan,
    read_job,
    read_of,
    read_piece,
    states_of,
    survey_job,
)
from rondeau.text.prepared import (
    FORMAT_VERSION,
    INDEX,
    TOKENIZER,
    Shard,
    Shards,
    open_prepared,
    seal,
)
from rondeau.text.reading import nothing_in
from rondeau.text.splits import SPLIT_NAMES, Ranges, SplitName
from rondeau.text.spool import Spool
from rondeau.text.tokenizer import Codes
from rondeau.text.workers import Workers
from rondeau.urls import label
from rondeau.version import __version__

SHARD = 2**26
"""Most ids of a shard."""

Report = Callable[[str, int], None]
"""Is told what is being done, and after how many characters."""


def prepare(
    sources: Sequence[str | Path],
    config: TextConfig | None = None,
    *,
    out: str | Path,
    workers: int | None = None,
    report: Report = lambda doing, characters: None,
) -> Corpus:
    """Read sources, split them, and keep them in a new folder as ids: all of it or nothing.

    workers: processes that read (default: as many as processors may be used); the result is the
    same whatever their number. Interrupted or killed, it leaves a hidden folder beside `out`, and
    the same call goes on from there, unless the sources have changed since. Memory grows with the
    number of documents only (some 110 bytes each); while it works, the disk holds 4 bytes a
    character beyond the result. Raises CorpusError as `load_corpus`, and OptionError for a folder
    that is already there, or is being prepared.
    """
    config, out = config or TextConfig(), Path(out)
    if not sources:
        raise CorpusError("prepare: name a file or folder to prepare")
    if workers is not None and workers < 1:
        raise OptionError(f"--workers {workers}: must be at least 1")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"--out {out}: already exists; choose another")
    try:
        make_folder(out.parent)
    except OSError as error:
        raise OptionError(f"--out {out}: cannot be made: {error.strerror}") from None
    place = under_way(out)
    try:
        with held_folder(place) as free:
            if not free:
                raise OptionError(f"--out {out}: is being prepared by another process")
            notes, repairs = _prepare(place, sources, config, workers or processors(), report)
            sync_folder(place)
            place.chmod(0o755)
            place.replace(out)
            sync_folder(out.parent)
    except OSError as error:
        raise RondeauError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    return replace(open_prepared(out, config), notes=notes, repairs=repairs)


def under_way(out: Path) -> Path:
    """The folder in which a corpus is prepared, and from which an interrupted one goes on."""
    return out.parent / f".{out.name}{TEMPORARY}"


def _prepare(
    place: Path, sources: Sequence[str | Path], config: TextConfig, workers: int, report: Report
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Fill the folder of a corpus -> notes for the user, and what was mended.

    An interruption leaves what has been read, where it can be gone on with; a failure nothing.
    """
    states = states_of(sources)
    wanted: dict[str, Any] = {
        "rondeau": __version__,
        "settings": config.as_dict(),
        "files": sha256(json.dumps(states).encode()),
        "size": pieces.SIZE,
    }
    again = all(state is not None for _, state in states)
    if not again:
        wanted["files"] = secrets.token_hex()
    spool = Spool(place, wanted)
    try:
        with Workers(workers) as pool, contextlib.closing(spool):
            notes = _read(spool, sources, config, pool, report)
        more, repairs = _write(spool, sources, config, workers, report)
    except BaseException as error:
        if not (isinstance(error, KeyboardInterrupt) and again and spool.read):
            shutil.rmtree(place, ignore_errors=True)
        raise
    return (*notes, *more), repairs


def _read(
    spool: Spool, sources: Sequence[str | Path], config: TextConfig, pool: Workers, report: Report
) -> list[str]:
    """Read every piece that hasn't been read -> what is to be said of those that had been."""
    notes = []
    if spool.dropped is not None:
        same = spool.dropped.get("settings") == config.as_dict()
        what = "sources have changed" if same else "settings are others"
        notes = [f"the {what} since a preparation that was cut off: begun anew"]
    if spool.read:
        notes = [f"went on after {spool.characters:,} characters, as far as one was cut off"]

    def survey(parts: Parts) -> Iterator[Surveyed]:
        return (Surveyed(*found) for found, _ in pool.in_order(survey_job, parts))

    def read(pieces: Iterable[Piece]) -> Iterator[Read]:
        settings, place = config.as_dict(), str(spool.folder)
        jobs = ({"piece": asdict(p), "settings": settings, "place": place} for p in pieces)
        return map(read_of, pool.in_order(read_job, jobs))

    def read_here(pieces: Iterable[Piece]) -> Iterator[Read]:
        return (read_piece(piece, config, spool.folder) for piece in pieces)

    left = spool.plan(plan(sources, config, survey))
    for apart, some in itertools.groupby(left, lambda piece: piece.apart):
        for found in read(some) if apart else read_here(some):
            spool.take(found)
            report("reading", spool.characters)
    if not spool.lengths:
        raise nothing_in(sources)
    return notes


class _Writer:
    """Numbers to files of at most SHARD each, hashed on the way."""

    def __init__(self, folder: Path, pattern: str, dtype: str) -> None:
        self.folder, self.pattern, self.dtype = folder, pattern, dtype
        self.shards: list[Shard] = []
        self.file: BinaryIO | None = None
        self.length = 0

    def write(self, numbers: NDArray[Any]) -> None:
        for at in range(0, len(numbers), SHARD):
            part = np.ascontiguousarray(numbers[at : at + SHARD], dtype=self.dtype)
            if self.file is None or self.length + len(part) > SHARD:
                self.close()
                self.path = self.folder / self.pattern.format(len(self.shards))
                self.file, self.length, self.digest = self.path.open("wb"), 0, hashlib.sha256()
            self.file.write(part.data)
            self.digest.update(part.data)
            self.length += len(part)

    def close(self) -> None:
        if self.file is None:
            return
        file, self.file = self.file, None
        with file:
            _sync(file)
        shard = Shard(self.path, self.length, self.digest.hexdigest(), self.dtype)
        self.shards.append(shard)


def _write(
    spool: Spool, sources: Sequence[str | Path], config: TextConfig, workers: int, report: Report
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every file of a prepared corpus -> notes for the user, and what was mended."""
    folder, repairs = spool.folder, spool.repairs
    text, ranges = spool.text()
    shards: dict[SplitName, list[Shard]] = {}
    done = 0

    def keep(name: SplitName, alphabet: Alphabet, blocks: Iterator[NDArray[np.int32]]) -> Shards:
        nonlocal done
        dtype = "<u2" if len(alphabet.codes) <= 2**16 else "<u4"
        writer = _Writer(folder, f"{name}-{{:05d}}.ids", dtype)
        with contextlib.closing(writer):
            for block in blocks:
                writer.write(block)
                done += len(block)
                report("writing", done)
        shards[name] = writer.shards
        return Shards(writer.shards)

    def copies(text: Codes, documents: Ranges) -> NDArray[np.int64]:
        report("looking for copies", spool.characters)
        return spool.groups(lambda: find_copies(text, documents, near=True, threads=workers))

    corpus = arrange(text, ranges, config, copies=copies, keep=keep)
    del text
    splits = {}
    for name in SPLIT_NAMES:
        documents = corpus.parts[name]
        splits[name] = {
            "documents": len(documents),
            "characters": documents.characters,
            "utf8_bytes": documents.utf8_bytes,
            "starts": _record(_write_numbers(folder / f"{name}.starts", documents.starts)),
            "numbers": _record(_write_numbers(folder / f"{name}.numbers", documents.numbers)),
            "shards": [_record(shard) for shard in shards[name]],
        }
    stored = corpus.tokenizer.to_json()
    index = {
        "format_version": FORMAT_VERSION,
        "rondeau": __version__,
        "settings": corpus.settings.as_dict(),
        "sources": [Path(label(source)).name for source in sources],
        "fingerprint": corpus.fingerprint,
        "repairs": repairs.public_notes,
        "tokenizer": sha256(stored.encode()),
        "once": "".join(sorted(corpus.tokenizer.once)),
        "unknown": corpus.alphabet.unknown.tolist(),
        "splits": splits,
    }
    index["sha256"] = seal(index)
    for file_name, content in (
        (TOKENIZER, stored),
        (INDEX, json.dumps(index, indent=1) + "\n"),
    ):
        with (folder / file_name).open("wb") as file:
            file.write(content.encode())
            _sync(file)
    spool.remove()
    return corpus.notes, repairs.notes


def _write_numbers(path: Path, numbers: NDArray[np.int64]) -> Shard:
    """A file of its own for numbers of documents, whatever their number."""
    data = np.ascontiguousarray(numbers, dtype="<i8").data
    with path.open("wb") as file:
        file.write(data)
        _sync(file)
    return Shard(path, len(numbers), hashlib.sha256(data).hexdigest(), "<i8")


def _record(shard: Shard) -> dict[str, Any]:
    return {
        "file": shard.path.name,
        "length": shard.length,
        "dtype": shard.dtype,
        "sha256": shard.sha256,
    }


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
