"""What a user names to opened files: folders, archives, pipes. It knows no encodings.

Nothing is ever written under a name that stands in an archive. What is packed or comes by a pipe is
unpacked into memory, or into a temporary file where it is large, and no more of it than an honest
text needs: `RATIO` and `LARGEST` end bombs and pipes without an end. Links to folders aren't
followed; devices are refused.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import os
import stat
import struct
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from rondeau.errors import CorpusError
from rondeau.formats import shown
from rondeau.text.hub import is_data_set
from rondeau.text.repairs import Repairs
from rondeau.urls import Remote, label, url_of

PACKED, RECORDS = (".gz", ".zip"), ".jsonl"
SUFFIXES = (".txt", ".txt.gz", ".zip", RECORDS)
"""What is read from a folder; a file named directly may have any other ending."""
BLOCK = 2**20
"""Bytes unpacked at once."""
IN_MEMORY = 2**28
"""Bytes of unpacked data that are kept in memory; more goes to a temporary file."""
LARGEST = 2**36
"""Most bytes that a pipe gives or a file unpacks to."""
RATIO, SMALL = 200, 2**26
"""Most bytes for each byte of a packed file, beyond so many, which are no burden."""
HEADER = 30
"""Fewest bytes in front of a member of an archive."""
PATIENCE = 10.0
"""Seconds until somebody must write into a pipe."""
DAMAGED = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # encrypted, or packed in an unknown way
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""What the standard library raises for a file that it can't read."""


class Source(NamedTuple):
    """A file of text, seekable, and whether each of its lines is a record."""

    name: str
    file: BinaryIO
    records: bool = False


def open_sources(sources: Iterable[str | Path], repairs: Repairs) -> Iterator[Source]:
    """Every file in the sources, one after another, each closed when the next is asked for.

    Raises CorpusError for what is missing, no file, or can't be opened or unpacked.
    """
    for source in sources:
        for file in list_files(source, repairs):
            with readable(file):
                if file == "-":
                    yield from _standard_input()
                elif url := url_of(file):
                    yield from _fetched(url)
                else:
                    yield from _opened(Path(file))


def list_files(source: str | Path, repairs: Repairs) -> list[str]:
    """The files of a folder, in the order of their paths; anything else is one, whatever it is."""
    if is_data_set(source):
        return [str(source)]
    if url := url_of(source):
        remote = Remote(url, CorpusError)
        if not remote.is_folder():
            return [url]
        found = [name for name in remote.files_in() if name.endswith(SUFFIXES)]
        if not found:
            raise CorpusError(f"{remote.name}: has no {', '.join(SUFFIXES)} file in it")
        return found
    path = Path(source)
    with readable(path):
        return [*map(str, _files_in(path, repairs))] if path.is_dir() else [str(path)]


@contextlib.contextmanager
def readable(name: str | Path) -> Iterator[None]:
    """Errors of reading a file, in one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise CorpusError(f"{label(name)}: no such file or folder") from None
    except DAMAGED as error:
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(f"{label(name)}: cannot be read: {reason}") from None


def _standard_input() -> Iterator[Source]:
    name = "standard input"
    if sys.stdin is None:
        raise CorpusError(f"{name}: is closed; name a file")
    with contextlib.suppress(io.UnsupportedOperation, AttributeError):
        if not sys.stdin.isatty():
            _refuse_device(os.fstat(sys.stdin.fileno()).st_mode, name)
    with _unpacked(sys.stdin.buffer, name, LARGEST) as file:
        yield Source(name, file)


def _files_in(folder: Path, repairs: Repairs) -> list[Path]:
    """The files of a folder and of those in it, in the order of their paths."""
    files, folders = [], [folder]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_symlink() and Path(entry.path).is_dir():
                    repairs.add(str(folder), f"{entry.name} is a link to a folder, passed over")
                elif entry.name.endswith(SUFFIXES):
                    if Path(entry.path).is_file():
                        files.append(Path(entry.path))
                    else:
                        repairs.add(str(folder), f"{entry.name} is not a file, passed over")
    if not files:
        raise CorpusError(f"{folder}: has no {', '.join(SUFFIXES)} file in it")
    return sorted(files)


def _opened(path: Path) -> Iterator[Source]:
    mode = path.stat().st_mode
    _refuse_device(mode, str(path))
    if stat.S_ISFIFO(mode):
        begun, pipe = _pipe(path)
        with pipe, _unpacked(pipe, str(path), LARGEST, begun=begun) as file:
            yield Source(str(path), file)
        return
    with path.open("rb") as plain:
        before = state_of(os.fstat(plain.fileno()))
        yield from _in_file(str(path), plain)
        if state_of(os.fstat(plain.fileno())) != before:
            raise changed(path)


def _fetched(url: str) -> Iterator[Source]:
    """A file of somewhere else, copied to a temporary one, since it is read several times."""
    remote = Remote(url, CorpusError)
    with tempfile.TemporaryFile() as file:
        remote.copy_to(file, most=LARGEST)
        file.seek(0)
        yield from _in_file(remote.name, cast(BinaryIO, file))


def _in_file(name: str, plain: BinaryIO) -> Iterator[Source]:
    """What a file is, or what is packed in it."""
    if name.endswith(".zip"):
        yield from _members(name, plain)
    elif name.endswith(".gz"):
        packed = cast(BinaryIO, gzip.GzipFile(fileobj=plain))
        with _unpacked(packed, name, _most(plain)) as file:
            yield Source(name, file)
    else:
        yield Source(name, plain, name.endswith(RECORDS))


def changed(name: str | Path) -> CorpusError:
    """The error of a file that isn't what it was when reading it began."""
    return CorpusError(f"{name}: changed while it was read; copy it and read that")


def state_of(status: os.stat_result) -> tuple[int, int]:
    """The size and the time of a file: with another one it is another file."""
    return status.st_size, status.st_mtime_ns


def _refuse_device(mode: int, name: str) -> None:
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        raise CorpusError(f"{name}: is a device, not a text; name a file, or - for standard input")


def _pipe(path: Path) -> tuple[bytes, BinaryIO]:
    """A pipe, once somebody writes into it, and what has come already."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        until = time.monotonic() + PATIENCE
        begun = b""
        with contextlib.suppress(BlockingIOError):  # somebody will
            while not (begun := os.read(descriptor, 1)):
                if time.monotonic() >= until:
                    raise CorpusError(
                        f"{path}: nobody has written into this pipe for {PATIENCE:.0f} s; start "
                        "what writes into it, or name a file"
                    )
                time.sleep(0.01)
        os.set_blocking(descriptor, True)
        stack.pop_all()
    return begun, os.fdopen(descriptor, "rb")


def _members(path: str, plain: BinaryIO) -> Iterator[Source]:
    """The files in an archive, whose names are read and never used."""
    left = _most(plain)
    with zipfile.ZipFile(plain) as archive:
        _refuse_overlap(archive, path)
        for member in archive.infolist():
            parts = Path(member.filename).parts
            hidden = any(p.startswith((".", "__")) and p not in (".", "..") for p in parts)
            # One that only says that it is empty has a checksum.
            folder = member.filename.endswith("/")
            if folder or hidden or not (member.file_size or member.CRC):
                continue
            name = f"{path}:{shown(member.filename)}"
            with readable(name):
                packed = cast(BinaryIO, archive.open(member))
                with packed, _unpacked(packed, name, left) as file:
                    left -= file.tell()
                    yield Source(name, file)


def _refuse_overlap(archive: zipfile.ZipFile, path: str) -> None:
    """Members that share their bytes, of which a small archive can unpack to any size.

    Source: D. Fifield, A better zip bomb, USENIX WOOT 2019.
    """
    end = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        if member.header_offset < end:
            name = f"{path}:{shown(member.filename)}"
            raise CorpusError(f"{name}: overlaps another member; pack it anew")
        end = member.header_offset + HEADER + member.compress_size


def _most(packed: BinaryIO) -> int:
    """Bytes that a packed file may unpack to."""
    return min(LARGEST, max(SMALL, RATIO * os.fstat(packed.fileno()).st_size))


def _unpacked(stream: BinaryIO, name: str, left: int, *, begun: bytes = b"") -> BinaryIO:
    """All of a stream as a file that can be read several times; at its end, to tell its size."""
    with contextlib.ExitStack() as stack:
        spool = stack.enter_context(tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))
        spool.write(begun)
        while block := stream.read(BLOCK):
            if spool.tell() + len(block) > left:
                raise CorpusError(
                    f"{name}: goes on after {left:,} bytes, more than an honest text unpacks to; "
                    "if it is one, unpack it and name the file"
                )
            spool.write(block)
        stack.pop_all()
    return cast(BinaryIO, spool)
