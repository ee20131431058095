"""What of a folder outlasts a loss of power: the worst that a file system may do.

A file has the bytes of its last fsync, a folder the entries of its own; whatever was done since is
lost, removals included. Files are told apart by inode, which a file system in memory gives out
once.
"""

from __future__ import annotations

import shutil
from pathlib import Path


class Disk:
    """What is durable of a folder that was so as a whole at first."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents: dict[int, bytes] = {}
        self.entries: dict[int, dict[str, tuple[int, bool]]] = {}
        for path in (root, *root.rglob("*")):
            self.sync(path)

    def sync(self, path: Path) -> None:
        """A file or a folder was made durable."""
        inode = path.stat().st_ino
        if path.is_dir():
            self.entries[inode] = {p.name: (p.stat().st_ino, p.is_dir()) for p in path.iterdir()}
        else:
            self.contents[inode] = path.read_bytes()

    def lose(self) -> None:
        """Leave what is durable of the folder, and nothing else."""
        inode = self.root.stat().st_ino
        for path in self.root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self._restore(self.root, inode)

    def _restore(self, folder: Path, inode: int) -> None:
        for name, (number, is_folder) in self.entries.get(inode, {}).items():
            if is_folder:
                (folder / name).mkdir()
                self._restore(folder / name, number)
            else:
                (folder / name).write_bytes(self.contents.get(number, b""))
