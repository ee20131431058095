"""The run folder: names, atomic changes, and a manifest that is checked on every read.

`manifest.json` holds the SHA-256 of every file that is read back as a model or a state. While a
file is being replaced the manifest names the old and the new hash, so that a reader finds a valid
run at every instant; what a change that was cut off has left, the next one settles. `metrics.jsonl`
only grows, `README.md` and `report.html` are for people: none of them is in it.
A run may be somebody else's: no name and no link in it leads out of it, and no file is read that is
larger than its kind may be.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from rondeau.errors import RunError
from rondeau.files import (
    is_temporary,
    make_folder,
    one_at_a_time,
    open_plain,
    read_plain,
    sha256,
    sync_folder,
    write_atomic,
)
from rondeau.formats import check_version, misfit, read_object, shown
from rondeau.version import __version__

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
"""What is the machine's failure, not a mistake in what was asked."""
ABSENT = ""
"""Stands for the hash of a file that isn't there yet."""
MOST = 2**26
"""Most bytes of a file of which nothing else is known."""
MOST_NAMES = 2**22
"""Most bytes of a manifest, which is read again with every file: some 20,000 names."""


@dataclass(frozen=True)
class RunFolder:
    """One training's folder on disk."""

    path: Path

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """An existing run; RunError where there is none, or one of a later format."""
        folder = cls(Path(path))
        if not folder.path.exists():
            raise RunError(f"{path}: no such run folder; rondeau train --out {path} makes one")
        if not (folder.path / MANIFEST).is_file():
            raise RunError(f"{path}: is not a run folder (it has no {MANIFEST})")
        folder._manifest()
        return folder

    @classmethod
    def create(cls, path: str | Path) -> RunFolder:
        """A new run in a missing or empty folder; RunError otherwise, OSError if the disk fails."""
        folder = cls(Path(path))
        if folder.path.is_file() or (folder.path.is_dir() and any(folder.path.iterdir())):
            raise RunError(
                f"--out {path}: already exists; choose another, or continue it with --resume {path}"
            )
        try:
            make_folder(folder.path)
        except OSError as error:
            if error.errno in FAILURES:
                raise
            raise RunError(f"--out {path}: cannot be made: {error.strerror}") from None
        return folder

    def place(self, name: str) -> Path:
        """Where a file of the run is; RunError for a name or a link that leads out of the run."""
        path = self.path / name
        inside = name.isprintable() and not any(part in ("", ".", "..") for part in name.split("/"))
        try:
            inside = inside and path.resolve().is_relative_to(self.path.resolve())
        except (OSError, RuntimeError):  # links that lead to each other
            inside = False
        if not inside:
            raise RunError(f"{self.path}: {shown(name)} leads out of the run; not touched")
        return path

    def read(self, name: str, *, most: int = MOST) -> bytes:
        """A file's bytes; RunError if it is missing, isn't what was written, or has above `most`.

        The manifest decides, and its hashes.
        """
        seen = ""
        while True:
            data = self.read_unchecked(name, most=most)
            accepted = self._manifest()["files"].get(name)
            if accepted is None:
                raise RunError(f"{self.path / name}: is not in the run's {MANIFEST}; not read")
            found = sha256(data)
            if found in accepted:
                return data
            if found == seen:
                raise RunError(
                    f"{self.path / name}: is damaged (its SHA-256 is not the manifest's); "
                    "restore it from a copy, or continue from a checkpoint with --resume"
                )
            seen = found  # it may have been replaced before the manifest was read

    def read_unchecked(self, name: str, *, most: int = MOST) -> bytes:
        """The bytes of a file whatever the manifest says of it; RunError as for `read`."""
        return read_plain(self.place(name), most=most, error=RunError)

    def open_unchecked(self, name: str, *, most: int = MOST) -> BufferedReader:
        """The same file, to be read in parts; RunError as for `read`."""
        return open_plain(self.place(name), most=most, error=RunError)

    def read_json(self, name: str) -> dict[str, Any]:
        """A JSON object from a file; RunError as for `read`, and for one of a later format."""
        source, maker = str(self.path / name), self._manifest().get("rondeau")
        values = read_object(self.read(name), source, error=RunError)
        check_version(values, FORMAT_VERSION, source, error=RunError, maker=maker)
        return values

    def change(self, files: Mapping[str, bytes], *, remove: Sequence[str] = ()) -> None:
        """Replace or add files, then drop folders and files: readable at every instant.

        Other processes that change the same run wait.
        """
        with one_at_a_time(self.path):
            self._change(files, remove)

    def _change(self, files: Mapping[str, bytes], remove: Sequence[str]) -> None:
        places = {name: self._writable(name) for name in files}
        before = self._settled()
        hashes = {name: [sha256(data)] for name, data in files.items()}
        during = before | {name: before.get(name, [ABSENT]) + new for name, new in hashes.items()}
        self._write_manifest(during)
        for name, data in files.items():
            write_atomic(places[name], data)
        after = {
            name: accepted
            for name, accepted in (before | hashes).items()
            if not any(name == g or name.startswith(g + "/") for g in remove)
        }
        self._write_manifest(after)
        for name in remove:
            target = self.place(name)
            if target.is_dir():
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)

    def adopt(self, name: str, folder: Path) -> None:
        """Put a folder of finished files in place under a name, whatever was there before."""
        self.change({}, remove=[name])
        with one_at_a_time(self.path):
            place, before = self.place(name), self._settled()
            hashes = {}
            for file in sorted(folder.iterdir()):
                with file.open("rb") as opened:
                    hashes[f"{name}/{file.name}"] = [
                        hashlib.file_digest(opened, "sha256").hexdigest()
                    ]
                    os.fsync(opened.fileno())
            sync_folder(folder)
            make_folder(place.parent)
            self._write_manifest(
                before | {name: [ABSENT, *found] for name, found in hashes.items()}
            )
            folder.replace(place)
            sync_folder(place.parent)
            self._write_manifest(before | hashes)

    def check(self, name: str) -> None:
        """RunError unless a file, of any size, is what was written."""
        accepted = self._manifest()["files"].get(name, [])
        with self.open_unchecked(name, most=2**63) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() not in accepted:
                raise RunError(
                    f"{self.path / name}: is damaged (its SHA-256 is not the manifest's)"
                )

    def _writable(self, name: str) -> Path:
        """Where a file of the run is to be; RunError where something else lies there."""
        path = self.place(name)
        if path.exists() and not path.is_file():
            raise RunError(f"{path}: is not a file; remove it")
        return path

    def _settled(self) -> dict[str, list[str]]:
        """What the manifest names; of a change that was cut off, what came about."""
        files = self._manifest()["files"] if (self.path / MANIFEST).exists() else {}
        settled = {name: self._settle(name, accepted) for name, accepted in files.items()}
        return {name: accepted for name, accepted in settled.items() if accepted != [ABSENT]}

    def _settle(self, name: str, accepted: list[str]) -> list[str]:
        """Of several hashes the file's own; all of them where it is damaged, which readers tell."""
        if len(accepted) == 1:
            return accepted
        found, path = ABSENT, self.place(name)
        if path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        return [found] if found in accepted else accepted

    def put(self, name: str, data: bytes) -> None:
        """Replace or add a file that the manifest doesn't name."""
        with one_at_a_time(self.path):
            write_atomic(self._writable(name), data)

    def tidy(self) -> None:
        """Remove what writers that were killed have left of files."""
        with one_at_a_time(self.path):
            for folder, _, names in os.walk(self.path):
                for name in filter(is_temporary, names):
                    Path(folder, name).unlink()

    def names(self) -> list[str]:
        """The files that the manifest names, but for those that are yet to be written."""
        files = self._manifest()["files"] if (self.path / MANIFEST).exists() else {}
        return [name for name in files if ABSENT not in files[name] or self.place(name).exists()]

    def has(self, name: str) -> bool:
        """Whether `names` has a file."""
        return name in self.names()

    def _manifest(self) -> dict[str, Any]:
        source = str(self.path / MANIFEST)
        data = self.read_unchecked(MANIFEST, most=MOST_NAMES)
        manifest = read_object(data, source, error=RunError)
        maker = manifest.get("rondeau")
        check_version(manifest, FORMAT_VERSION, source, error=RunError, maker=maker)
        if misfit(manifest, {"files": {str: [str]}}):
            raise RunError(f"{source}: is not a manifest of Rondeau")
        return manifest

    def _write_manifest(self, files: Mapping[str, Sequence[str]]) -> None:
        manifest = {
            "format_version": FORMAT_VERSION,
            "rondeau": __version__,
            "files": dict(sorted(files.items())),
        }
        write_atomic(self.place(MANIFEST), to_json(manifest))


def to_json(value: object) -> bytes:
    """The JSON form of every file in a run: UTF-8, indented, in the order given."""
    return (json.dumps(value, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "replace")
