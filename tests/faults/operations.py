"""A command whose n-th file-system operation under a folder is its last, or fails.

    python operations.py '{"root": …, "tally": …, "at": 7, "fault": "kill"}' train …

counts opening for writing, write, fsync, rename, unlink, mkdir and rmdir. The faults:

    kill             SIGKILL before the operation; of a write, in the middle of its bytes
    power            the same, once all is gone from the folder that wasn't fsynced
    SIGINT, SIGTERM  before the operation and before the next
    ENOSPC, EACCES   from there on, as a full disk and a lost permission do
    EIO              once

`tally` is a file that holds the count and the last operation, however the process ends.
"""

from __future__ import annotations

import errno
import io
import json
import mmap
import os
import signal
import sys
from pathlib import Path
from typing import Any

from durability import Disk

TALLY = 4096
STAYS = {
    "ENOSPC": {"open", "write", "fsync", "mkdir"},
    "EACCES": {"open", "rename", "unlink", "mkdir", "rmdir"},
}
"""What goes on failing."""


def read_tally(path: Path) -> tuple[int, str]:
    """How many operations there were, and the last one."""
    count, _, last = path.read_bytes().rstrip(b"\0").decode().partition(" ")
    return int(count or 0), last


def inject(*, root: str, tally: str, at: int | None = None, fault: str = "kill") -> None:
    """Count this process's operations under a folder, and let the one numbered `at` go wrong."""
    Path(tally).write_bytes(b"\0" * TALLY)
    with Path(tally).open("r+b") as file:
        told = mmap.mmap(file.fileno(), TALLY)
    count = 0
    disk = Disk(Path(root)) if fault == "power" else None

    def inside(path: Any, folder: int | None = None) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        elif folder is not None:
            path = Path(f"/proc/self/fd/{folder}").readlink() / path
        path = os.path.abspath(os.fspath(path))  # noqa: PTH100
        return path == root or path.startswith(f"{root}/")

    def due(name: str, path: Any) -> bool:
        nonlocal count
        count += 1
        told[:] = f"{count} {name} {path}".encode()[:TALLY].ljust(TALLY, b"\0")
        if at is None or count < at:
            return False
        if fault.startswith("SIG"):
            if count <= at + 1:
                os.kill(os.getpid(), getattr(signal, fault))
            return False
        return count == at or name in STAYS.get(fault, ())

    def go_wrong() -> None:
        nonlocal count
        if disk is not None:
            count = -(2**30)  # what is done now isn't the command's
            disk.lose()
        if fault in ("kill", "power"):
            os.kill(os.getpid(), signal.SIGKILL)
        number = getattr(errno, fault)
        raise OSError(number, os.strerror(number))

    def watch(name: str, call: Any) -> Any:
        def watched(path: Any, *arguments: Any, **named: Any) -> Any:
            if inside(path, named.get("dir_fd")) and due(name, path):
                go_wrong()
            result = call(path, *arguments, **named)
            if disk is not None and name == "fsync" and inside(path):
                disk.sync(Path(f"/proc/self/fd/{path}").readlink())
            return result

        return watched

    def watch_write(file: Any, path: Any) -> Any:
        write = file.write

        def watched(data: Any) -> Any:
            if due("write", path):
                write(data[: len(data) // 2])
                file.flush()
                go_wrong()
            return write(data)

        file.write = watched
        return file

    real_open, real_os_open = io.open, os.open

    def open_file(path: Any, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        writes = set(mode) & set("wax+") and inside(path)
        if writes and not isinstance(path, int) and due("open", path):
            go_wrong()
        file = real_open(path, mode, *arguments, **named)
        return watch_write(file, path) if writes else file

    def os_open(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR) and inside(path) and due("open", path):
            go_wrong()
        return real_os_open(path, flags, *arguments, **named)

    for name in ("fsync", "rename", "replace", "unlink", "mkdir", "rmdir"):
        setattr(os, name, watch(name.replace("replace", "rename"), getattr(os, name)))
    os.remove = os.unlink
    os.open, io.open = os_open, open_file


def main() -> None:
    """Run the command line with a fault in it."""
    inject(**json.loads(sys.argv[1]))
    from rondeau.cli import main

    main(sys.argv[2:])


if __name__ == "__main__":
    main()
