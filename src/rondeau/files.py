"""Bytes to files, all or nothing. It knows no run and no model."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from rondeau.errors import OptionError, UserError


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that every reader sees the old content or the new, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def write_output(path: Path, data: bytes) -> None:
    """Write what a user wants in a file of their own, all or nothing; a pipe or device stays one.

    Raises OptionError where it can't be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            write_atomic(path.resolve(), data)
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise OptionError(f"--out {path}: {reason}; name another file") from None


def open_plain(path: Path, *, most: int, error: type[UserError]) -> BufferedReader:
    """A file to be read; the error where it can't be, for a pipe or the like, and above `most`."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise error(f"{path}: is not a file")
        if found.st_size > most:
            raise error(f"{path}: has {found.st_size:,} bytes, more than {most:,}")
        return path.open("rb")
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror}") from None


def read_plain(path: Path, *, most: int, error: type[UserError]) -> bytes:
    """All bytes of a file; errors as for `open_plain`, and where memory doesn't hold them."""
    with open_plain(path, most=most, error=error) as file:
        try:
            return file.read()
        except OSError as reason:
            raise error(f"{path}: cannot be read: {reason.strerror}") from None
        except MemoryError:
            raise error(f"{path}: is too large for this machine's memory") from None


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait for all others that change a folder, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
