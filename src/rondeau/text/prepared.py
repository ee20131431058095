"""A corpus on a disk: shards of ids that are mapped into memory, whatever their size.

    corpus.json      settings, splits, sizes and SHA-256 of every file, the fingerprint
    tokenizer.json   the vocabulary of the training split
    train.starts     where each document begins (int64), and the ring's length
    train.numbers    which of the documents they are (int64), as they were read
    train-00000.ids  a shard of the ring (uint16, or uint32 for more than 65,536 characters)

A shard's hash is checked when it is first read. It knows no batches and no model.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from rondeau.config import TextConfig, flag
from rondeau.errors import CorpusError, OptionError, RondeauError
from rondeau.files import make_folder, new_folder
from rondeau.formats import check_version, read_object
from rondeau.text.corpus import Corpus, arrange, joiner
from rondeau.text.documents import Alphabet, Documents
from rondeau.text.reading import Batches, read_batches
from rondeau.text.repairs import Repairs
from rondeau.text.splits import SPLIT_NAMES, Ranges, SplitName, ranges_of
from rondeau.text.tokenizer import CharTokenizer, to_codes
from rondeau.version import __version__

INDEX, TOKENIZER = "corpus.json", "tokenizer.json"
FORMAT_VERSION = 1
SHARD = 2**26
"""Most ids of a shard."""
BLOCK = 2**20
"""Characters turned into code points at once."""

DTYPES = ("<u2", "<u4", "<i8")
"""What the numbers of a file may be."""

Report = Callable[[str, int], None]
"""Is told what is being done, and after how many characters."""


def prepare(
    sources: Sequence[str | Path],
    config: TextConfig | None = None,
    *,
    out: str | Path,
    report: Report = lambda doing, characters: None,
) -> Corpus:
    """Read sources, split them, and keep them in a new folder as ids: all of it or nothing.

    Memory grows with the number of documents only (some 130 bytes each); while it works, the disk
    holds 4 bytes a character beyond the result. Raises CorpusError as `load_corpus`, and
    OptionError for a folder that is already there.
    """
    config, out = config or TextConfig(), Path(out)
    if not sources:
        raise CorpusError("prepare: name a file or folder to prepare")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OptionError(f"--out {out}: already exists; choose another")
    try:
        make_folder(out.parent)
    except OSError as error:
        raise OptionError(f"--out {out}: cannot be made: {error.strerror}") from None
    try:
        with new_folder(out) as folder:
            notes, repairs = _write(folder, sources, config, report)
    except OSError as error:
        raise RondeauError(f"--out {out}: cannot be written: {error.strerror or error}") from None
    return replace(open_prepared(out, config), notes=notes, repairs=repairs)


def is_prepared(path: str | Path) -> bool:
    """Whether a path is a prepared corpus."""
    try:
        return (Path(path) / INDEX).is_file()
    except OSError:  # reading it says why
        return False


def open_prepared(path: str | Path, config: TextConfig) -> Corpus:
    """A prepared corpus; CorpusError if it is damaged, OptionError for settings not its own."""
    folder = Path(path)
    try:
        source = str(folder / INDEX)
        index = read_object((folder / INDEX).read_bytes(), source, error=CorpusError)
        maker = index.get("rondeau")
        check_version(index, FORMAT_VERSION, source, error=CorpusError, maker=maker)
        settings = TextConfig.from_mapping(index["settings"], source)
        source = str(folder / TOKENIZER)
        tokenizer = CharTokenizer.from_json((folder / TOKENIZER).read_bytes(), source)
        tokenizer.once = frozenset(index["once"])
        alphabet = Alphabet.beyond(tokenizer, np.array(index["unknown"], dtype=np.uint32))
        parts = {name: _documents(folder, index["splits"][name], alphabet) for name in SPLIT_NAMES}
        fingerprint, repairs = index["fingerprint"], tuple(map(str, index.get("repairs", ())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder}: is damaged ({error!r}); prepare it again") from None
    for name in TextConfig.field_names():
        wanted, own = getattr(config, name), getattr(settings, name)
        if name != "seed" and wanted not in (own, getattr(TextConfig(), name)):
            raise OptionError(
                f"{flag(name)} {wanted}: {folder} was prepared with {own}; prepare it again"
            )
    return Corpus(
        parts=parts,
        alphabet=alphabet,
        settings=settings,
        fingerprint=fingerprint,
        repairs=repairs,
    )


@dataclass(frozen=True)
class _Shard:
    """One file of numbers: its length and its hash."""

    path: Path
    length: int
    sha256: str
    dtype: str

    def check_size(self) -> None:
        if self.dtype not in DTYPES:
            raise CorpusError(f"{self.path}: is of type {self.dtype}; prepare it again")
        size, wanted = self.path.stat().st_size, self.length * np.dtype(self.dtype).itemsize
        if size != wanted:
            raise CorpusError(f"{self.path}: has {size} bytes, not {wanted}; prepare it again")

    def open(self) -> NDArray[Any]:
        """The numbers, mapped into memory, once their hash has been checked."""
        with self.path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise CorpusError(
                    f"{self.path}: is damaged (its SHA-256 is not the one in {INDEX}); "
                    "prepare it again"
                )
        if not self.length:
            return np.empty(0, dtype=self.dtype)
        return np.memmap(self.path, dtype=self.dtype, mode="r")


class _Shards:
    """A ring of ids over several files."""

    def __init__(self, shards: Sequence[_Shard]) -> None:
        self.shards = shards
        self.ends = np.cumsum([shard.length for shard in shards], dtype=np.int64)
        self.opened: dict[int, NDArray[Any]] = {}

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        where = np.searchsorted(self.ends, positions, "right")
        first, last = (int(where.min()), int(where.max())) if where.size else (0, -1)
        if first == last:
            return self._ids(first, positions)
        ids = np.empty(positions.shape, dtype=np.int64)
        for number in np.unique(where):
            here = where == number
            ids[here] = self._ids(number, positions[here])
        return ids

    def _ids(self, number: int, positions: NDArray[np.int64]) -> NDArray[Any]:
        if number not in self.opened:
            self.opened[number] = self.shards[number].open()
        shard = self.opened[number]
        return np.asarray(shard[positions - (self.ends[number] - len(shard))])


def _documents(folder: Path, record: dict[str, Any], alphabet: Alphabet) -> Documents:
    files = [
        _Shard(folder / Path(f["file"]).name, f["length"], f["sha256"], f["dtype"])
        for f in (record["starts"], record["numbers"], *record["shards"])
    ]
    for file in files:
        file.check_size()
    starts, numbers, *shards = files
    return Documents(
        _Shards(shards), starts.open(), numbers.open(), alphabet.codes, record["utf8_bytes"]
    )


class _Writer:
    """Numbers to files of at most SHARD each, hashed on the way."""

    def __init__(self, folder: Path, pattern: str, dtype: str) -> None:
        self.folder, self.pattern, self.dtype = folder, pattern, dtype
        self.shards: list[_Shard] = []
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
        shard = _Shard(self.path, self.length, self.digest.hexdigest(), self.dtype)
        self.shards.append(shard)


def _write(
    folder: Path, sources: Sequence[str | Path], config: TextConfig, report: Report
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every file of a prepared corpus -> notes for the user, and what was mended."""
    spool, repairs = folder / "text.codes", Repairs()
    with spool.open("wb") as file:
        batches = read_batches(sources, config, repairs)
        ranges = _write_text(file, batches, joiner(config), report)
    text = np.memmap(spool, dtype="<u4", mode="r")
    shards: dict[SplitName, list[_Shard]] = {}
    done = 0

    def keep(name: SplitName, alphabet: Alphabet, blocks: Iterator[NDArray[np.int32]]) -> _Shards:
        nonlocal done
        dtype = "<u2" if len(alphabet.codes) <= 2**16 else "<u4"
        writer = _Writer(folder, f"{name}-{{:05d}}.ids", dtype)
        with contextlib.closing(writer):
            for block in blocks:
                writer.write(block)
                done += len(block)
                report("writing", done)
        shards[name] = writer.shards
        return _Shards(writer.shards)

    corpus = arrange(text, ranges, config, near=True, keep=keep)
    del text
    spool.unlink()
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
    index = {
        "format_version": FORMAT_VERSION,
        "rondeau": __version__,
        "settings": corpus.settings.as_dict(),
        "sources": [Path(source).name for source in sources],
        "fingerprint": corpus.fingerprint,
        "repairs": repairs.public_notes,
        "once": "".join(sorted(corpus.tokenizer.once)),
        "unknown": corpus.alphabet.unknown.tolist(),
        "splits": splits,
    }
    for file_name, content in (
        (TOKENIZER, corpus.tokenizer.to_json()),
        (INDEX, json.dumps(index, indent=1) + "\n"),
    ):
        with (folder / file_name).open("wb") as file:
            file.write(content.encode())
            _sync(file)
    return corpus.notes, repairs.notes


def _write_text(file: BinaryIO, batches: Batches, between: str, report: Report) -> Ranges:
    """All documents as code points, joined as for a split by tail; where each stands."""
    lengths = array("q")
    parts: list[str] = []
    going_on = False
    done = held = 0

    def write() -> None:
        nonlocal done, held
        file.write(to_codes("".join(parts)).data)
        parts.clear()
        done, held = done + held, 0
        report("reading", done)

    for batch, goes_on in batches:
        parts.append(between.join(batch))
        held += len(parts[-1])
        if batch and not goes_on:
            parts.append(between)
        if going_on:
            lengths[-1] += len(batch[0])
        lengths.extend(map(len, batch[going_on:]))
        going_on = goes_on
        if held >= BLOCK:
            write()
    write()
    return ranges_of(np.frombuffer(lengths, dtype=np.int64))


def _write_numbers(path: Path, numbers: NDArray[np.int64]) -> _Shard:
    """A file of its own for numbers of documents, whatever their number."""
    data = np.ascontiguousarray(numbers, dtype="<i8").data
    with path.open("wb") as file:
        file.write(data)
        _sync(file)
    return _Shard(path, len(numbers), hashlib.sha256(data).hexdigest(), "<i8")


def _record(shard: _Shard) -> dict[str, Any]:
    return {
        "file": shard.path.name,
        "length": shard.length,
        "dtype": shard.dtype,
        "sha256": shard.sha256,
    }


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
