"""A corpus on a disk: shards of ids that are mapped into memory, whatever their size.

    corpus.json      settings, splits, sizes and SHA-256 of every file and itself, the fingerprint
    tokenizer.json   the vocabulary of the training split
    train.starts     where each document begins (int64), and the ring's length
    train.numbers    which of the documents they are (int64), as they were read
    train-00000.ids  a shard of the ring (uint16, or uint32 for more than 65,536 characters)

A shard's hash is checked when it is first read. It knows no batches and no model, and not how such
a corpus is made (`preparing`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rondeau.config import TextConfig, flag
from rondeau.errors import CorpusError, OptionError, RunError
from rondeau.files import open_plain, read_plain, sha256
from rondeau.formats import check_version, misfit, read_object, shown
from rondeau.text.corpus import Corpus
from rondeau.text.documents import Alphabet, Documents
from rondeau.text.mapped import release
from rondeau.text.sources import SUFFIXES
from rondeau.text.splits import SPLIT_NAMES, SplitName
from rondeau.text.tokenizer import CODE_POINTS, SPECIALS, CharTokenizer
from rondeau.urls import Remote, url_of

INDEX, TOKENIZER = "corpus.json", "tokenizer.json"
FORMAT_VERSION = 1

MOST = 2**28
"""Most bytes of a file that isn't mapped."""
IDS, PLACES = ("<u2", "<u4"), ("<i8",)
"""What the numbers of a file may be."""
FILE = {"file": str, "length": int, "dtype": str, "sha256": str}
SPLIT = {"utf8_bytes": int, "starts": FILE, "numbers": FILE, "shards": [FILE]}
SHAPE = {
    "settings": dict,
    "fingerprint": str,
    "repairs": [str],
    "tokenizer": str,
    "once": str,
    "unknown": [int],
    "splits": dict.fromkeys(SPLIT_NAMES, SPLIT),
}
"""What of corpus.json is read."""


def is_prepared(path: str | Path) -> bool:
    """Whether a path is a prepared corpus, or what is left of one."""
    if url := url_of(path):
        remote = Remote(url, CorpusError)
        return not url.endswith(SUFFIXES) and (remote / INDEX).exists()
    try:
        return any((Path(path) / name).exists() for name in (INDEX, "train.starts"))
    except OSError:  # reading it says why
        return False


def open_prepared(path: str | Path, config: TextConfig) -> Corpus:
    """A prepared corpus; CorpusError if it is damaged, OptionError for settings not its own."""
    url = url_of(path)
    folder = Remote(url, CorpusError) if url else Path(path)
    index = _read_index(folder)
    source = str(folder / TOKENIZER)
    stored = _read(folder, TOKENIZER)
    if sha256(stored) != index["tokenizer"]:
        raise _damaged(folder / TOKENIZER)
    try:
        settings = TextConfig.from_mapping(index["settings"], str(folder / INDEX))
        tokenizer = CharTokenizer.from_json(stored, source)
    except (OptionError, RunError) as error:
        raise CorpusError(f"{error}; prepare it again") from None
    tokenizer.once = frozenset(index["once"])
    unknown = np.array(index["unknown"], dtype=np.int64)
    known = tokenizer.codes[len(SPECIALS) :]
    if not tokenizer.specials or not _beyond(unknown, known):
        raise CorpusError(f"{folder / INDEX}: its unknown characters aren't; prepare it again")
    alphabet = Alphabet.beyond(tokenizer, unknown)
    parts = {
        name: _documents(folder, index["splits"][name], alphabet, name) for name in SPLIT_NAMES
    }
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
        fingerprint=index["fingerprint"],
        repairs=tuple(index["repairs"]),
    )


def _read_index(folder: Path | Remote) -> dict[str, Any]:
    """What corpus.json says, whose own hash stands in it; CorpusError for anything else."""
    source = str(folder / INDEX)
    data = _read(folder, INDEX)
    index = read_object(data, source, error=CorpusError)
    maker = index.get("rondeau")
    check_version(index, FORMAT_VERSION, source, error=CorpusError, maker=maker)
    if index.pop("sha256", None) != seal(index):
        raise _damaged(folder / INDEX)
    wrong = misfit(index, SHAPE, "corpus")
    if wrong is not None:
        raise CorpusError(f"{source}: is not the index of a corpus ({shown(wrong)})")
    return index


def seal(index: dict[str, Any]) -> str:
    """The hash of an index without it, however its text is laid out."""
    return sha256(json.dumps(index, sort_keys=True).encode())


def _damaged(path: Path | Remote) -> CorpusError:
    said = f"{path}: is damaged (its SHA-256 is not the one in {INDEX}); prepare it again"
    return CorpusError(said)


def _read(folder: Path | Remote, name: str) -> bytes:
    place = _place(folder, name)
    if isinstance(place, Remote):
        return place.read(most=MOST)
    return read_plain(place, most=MOST, error=CorpusError)


def _place(folder: Path | Remote, name: str) -> Path | Remote:
    """Where a file is; CorpusError for a name or a link that leads out of the folder."""
    path = folder / name
    inside = name.isprintable() and Path(name).name == name
    try:
        if isinstance(folder, Path) and isinstance(path, Path):
            inside = inside and path.resolve().parent == folder.resolve()
    except (OSError, RuntimeError):  # links that lead to each other
        inside = False
    if not inside:
        raise CorpusError(f"{folder}: {shown(name)} leads out of the folder; not read")
    return path


def _beyond(unknown: NDArray[np.int64], known: NDArray[Any]) -> bool:
    """Whether code points are some, in order, that a vocabulary doesn't have."""
    possible = bool((unknown >= 0).all() and (unknown < CODE_POINTS).all())
    return possible and bool((np.diff(unknown) > 0).all()) and not np.isin(unknown, known).any()


@dataclass(frozen=True)
class Shard:
    """One file of numbers: its length and its hash; all are from 0 to before `below`.

    One that is elsewhere is fetched when it is first read, and kept in the cache.
    """

    path: Path | Remote
    length: int
    sha256: str
    dtype: str
    below: int = 2**63

    @property
    def _size(self) -> int:
        return max(0, self.length * np.dtype(self.dtype).itemsize)

    def check_size(self) -> None:
        """CorpusError unless the file is as long as it should be."""
        if isinstance(self.path, Remote):  # its hash says it, once it is fetched
            return
        size = self._size
        with open_plain(self.path, most=size, error=CorpusError) as file:
            found = os.fstat(file.fileno()).st_size
        if found != size:
            raise CorpusError(f"{self.path}: has {found} bytes, not {size}; prepare it again")

    def open(self) -> NDArray[Any]:
        """The numbers, mapped into memory, once their hash and their size have been checked."""
        path = self.path
        if isinstance(path, Remote):
            path = path.cached([self.sha256], most=self._size)
        with open_plain(path, most=2**63, error=CorpusError) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != self.sha256:
                raise _damaged(self.path)
            if not self.length:
                return np.empty(0, dtype=self.dtype)
            numbers = np.memmap(file, dtype=self.dtype, mode="r")
        if numbers.min() < 0 or numbers.max() >= self.below:
            raise CorpusError(f"{self.path}: has numbers that mean nothing; prepare it again")
        release(numbers)
        return numbers


class Shards:
    """A ring of ids over several files."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        """Nothing is opened yet."""
        self.shards = shards
        self.ends = np.cumsum([shard.length for shard in shards], dtype=np.int64)
        self.opened: dict[int, NDArray[Any]] = {}

    def __len__(self) -> int:
        """Number of ids."""
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, positions: NDArray[np.int64]) -> NDArray[Any]:
        """The ids at an array of positions, in its shape, of shards that are opened now."""
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


def _documents(
    folder: Path | Remote, record: dict[str, Any], alphabet: Alphabet, name: SplitName
) -> Documents:
    # What a model is trained on has no unknown ids: they would lead out of its weights.
    ids = len(alphabet.tokenizer if name == "train" else alphabet.codes)
    shards = [_shard(folder, file, IDS, below=ids) for file in record["shards"]]
    starts, numbers = (_shard(folder, record[key], PLACES).open() for key in ("starts", "numbers"))
    ring = Shards(shards)
    documents = Documents(ring, starts, numbers, alphabet.codes, record["utf8_bytes"])
    fits = (
        len(starts) == len(numbers) + 1
        and (starts[0], starts[-1]) == (0, len(ring))
        and bool((np.diff(starts) > 0).all())
        and (name != "train" or len(ring) > 1)
        and documents.characters <= documents.utf8_bytes <= 4 * documents.characters
    )
    if not fits:
        raise CorpusError(f"{folder}: the parts of its {name} split don't fit; prepare it again")
    return documents


def _shard(
    folder: Path | Remote, record: dict[str, Any], types: Sequence[str], *, below: int = 2**63
) -> Shard:
    path = _place(folder, record["file"])
    if record["dtype"] not in types or record["length"] < 0:
        raise CorpusError(f"{path}: is of type {shown(record['dtype'])}; prepare it again")
    shard = Shard(path, record["length"], record["sha256"], record["dtype"], below)
    shard.check_size()
    return shard
