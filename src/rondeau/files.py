"""Bytes to files, all or nothing, whatever is killed or loses its power. It knows no run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

from rondeau.errors import OptionError, UserError

TEMPORARY = ".part"
"""How the name of a file ends that isn't whole yet; it begins with a dot."""
NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM}
"""How a system says that it doesn't make folders durable."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that every reader sees the old content or the new, never a part.

    Temporary file in the same folder, fsync, rename, fsync of the folder. A kill leaves the
    temporary one, whose name `is_temporary` knows.
    """
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=TEMPORARY)
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


def is_temporary(name: str) -> bool:
    """Whether a name is that of a file or folder which isn't whole, or never was made so."""
    return name.startswith(".") and name.endswith(TEMPORARY)


@contextlib.contextmanager
def held_folder(path: Path) -> Iterator[bool]:
    """Make a folder unless it is there, and hold it: False while another process does.

    What is in it stays, whatever becomes of the holder, who may also remove or rename it.
    """
    while True:
        path.mkdir(exist_ok=True)
        holder = os.open(path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            except OSError:  # there are no locks here
                pass
            if _is_at(holder, path):  # and wasn't renamed by the one before
                yield True
                return
        finally:
            os.close(holder)


def _is_at(descriptor: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), path.stat())
    return False


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing; they outlast a loss of power."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


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
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNC:
            raise


def sha256(data: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
