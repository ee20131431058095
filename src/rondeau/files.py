"""Bytes to files, all or nothing, whatever is killed or loses its power. It knows no run."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
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
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `path` when all went well and is gone otherwise.

    What one that was killed has left beside `path` is removed. Files are the caller's to fsync.
    """
    start = f".{path.name}-"
    with one_at_a_time(path.parent):
        for left in path.parent.iterdir():
            if left.name.startswith(start) and is_temporary(left.name) and not _held(left):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=start, suffix=TEMPORARY))
        holder = os.open(folder, os.O_RDONLY)
        with contextlib.suppress(OSError):
            fcntl.flock(holder, fcntl.LOCK_EX)
    try:
        yield folder
        sync_folder(folder)
        folder.chmod(0o755)
        folder.replace(path)
        sync_folder(path.parent)
    finally:
        os.close(holder)
        shutil.rmtree(folder, ignore_errors=True)


def _held(folder: Path) -> bool:
    """Whether a process that lives fills a folder, or it can't be told."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
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
