"""Runs by URL: read file by file as they are needed, trained in a folder here and mirrored there.

A run that is read lies in the cache as far as it has been fetched; what the manifest names has been
checked by its SHA-256. A training's own folder is here too, with all that makes it safe; after each
change the same is done at the URL in the same order, so that a reader there finds a valid run at
every instant: a manifest with old and new hashes, the files, the new manifest, then what goes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from rondeau.errors import RunError
from rondeau.files import make_folder, sha256, write_atomic
from rondeau.formats import misfit, read_object
from rondeau.run.checkpoints import saved_steps
from rondeau.run.folder import (
    ABSENT,
    FORMAT_VERSION,
    MANIFEST,
    MOST_NAMES,
    RunFolder,
    to_json,
)
from rondeau.run.metrics import METRICS
from rondeau.urls import Remote, cache_folder, label, url_of
from rondeau.version import __version__

UNNAMED = (METRICS, "README.md", "report.html")
"""Files of a run that its manifest doesn't name."""
MOST = 2**36
"""Most bytes of a file that is fetched."""
PAUSES = (1.0, 5.0, 20.0)
"""Seconds before an upload that failed is tried again."""


@dataclass(frozen=True)
class RemoteRun(RunFolder):
    """A run at a URL, to be read; what is added to it stays in the cache."""

    remote: Remote

    @classmethod
    def at(cls, url: str) -> Self:
        """The run as it is now; RunError where there is none."""
        remote = Remote(url, RunError)
        data = _manifest_bytes(remote)
        folder = cls(cache_folder() / "runs" / sha256(remote.name.encode() + data)[:32], remote)
        if not (folder.path / MANIFEST).exists():
            write_atomic(folder.path / MANIFEST, data)
        folder._manifest()
        return folder

    def place(self, name: str) -> Path:
        """Where a file of the run is, fetched if it isn't there; RunError as for any run."""
        path = super().place(name)
        if not path.exists() and name != MANIFEST:
            self._fetch(name, path)
        return path

    def _fetch(self, name: str, path: Path) -> None:
        accepted = self._manifest()["files"].get(name)
        if accepted is None:
            if name in UNNAMED and (self.remote / name).exists():
                write_atomic(path, (self.remote / name).read(most=MOST))
            return
        try:
            found = (self.remote / name).cached(accepted, most=MOST)
        except RunError:
            if ABSENT in accepted:  # a change that was cut off
                return
            data = _manifest_bytes(self.remote)
            if data == (self.path / MANIFEST).read_bytes():
                raise
            # It was replaced since the manifest was read.
            write_atomic(self.path / MANIFEST, data)
            found = (self.remote / name).cached(self._manifest()["files"].get(name, []), most=MOST)
        make_folder(path.parent)
        with contextlib.suppress(FileExistsError):
            os.link(found, path)


@dataclass(frozen=True)
class MirroredRun(RunFolder):
    """A training's folder here, and its mirror at a URL; sent: the hashes of what is there."""

    remote: Remote
    sent: dict[str, list[str]] = field(default_factory=dict)

    def change(self, files: Mapping[str, bytes], *, remove: Sequence[str] = ()) -> None:
        """As of any run, here and there; OSError where it can't be sent, after some tries."""
        super().change(files, remove=remove)
        self.send()

    def put(self, name: str, data: bytes) -> None:
        """As of any run, here and there."""
        super().put(name, data)
        self.send()

    def adopt(self, name: str, folder: Path) -> None:
        """As of any run, here and there."""
        super().adopt(name, folder)
        self.send()

    def send(self) -> None:
        """Make what is there what is here."""
        files = self._manifest()["files"]
        unnamed = {
            name: [sha256((self.path / name).read_bytes())]
            for name in UNNAMED
            if (self.path / name).is_file()
        }
        wanted = files | unnamed
        changed = [name for name in wanted if self.sent.get(name) != wanted[name]]
        gone = [name for name in self.sent if name not in wanted]
        if not changed and not gone:
            return
        before = {name: self.sent[name] for name in self.sent if name not in UNNAMED}
        if any(name in files for name in changed):
            both = {
                name: before.get(name, [ABSENT]) + files[name] for name in changed if name in files
            }
            self._send_manifest(before | both)
        for name in changed:
            _insist(self.remote / name, self.path / name)
        self._send_manifest(files)
        for name in gone:
            with contextlib.suppress(RunError):
                (self.remote / name).remove()
        self.sent.clear()
        self.sent.update(wanted)

    def _send_manifest(self, files: Mapping[str, list[str]]) -> None:
        content = {"format_version": FORMAT_VERSION, "rondeau": __version__}
        path = self.path / f".{MANIFEST}-sent.part"
        write_atomic(path, to_json(content | {"files": dict(sorted(files.items()))}))
        _insist(self.remote / MANIFEST, path)
        path.unlink()


def open_run(path: str | Path) -> RunFolder:
    """A run to be read, here or at a URL; RunError where there is none."""
    url = url_of(path)
    return RemoteRun.at(url) if url else RunFolder.open(path)


def mirrored(folder: RunFolder, url: str) -> MirroredRun:
    """A new run in a folder here that is mirrored at a URL; RunError where one is already there."""
    remote = Remote(url, RunError)
    if (remote / MANIFEST).exists():
        name = remote.name
        raise RunError(
            f"--out {name}: already exists; choose another, or continue it with --resume {name}"
        )
    return MirroredRun(folder.path, remote)


def open_to_go_on(path: str | Path) -> RunFolder:
    """A run to be trained further, here or at a URL.

    What was trained here beyond what is at the URL, because it couldn't be sent, is gone on with;
    otherwise all of it is fetched. RunError where there is none.
    """
    url = url_of(path)
    if url is None:
        return RunFolder.open(path)
    there = RemoteRun.at(url)
    here = MirroredRun(staging(url), there.remote, dict(there._manifest()["files"]))
    if _latest(here) < _latest(there) or not (here.path / MANIFEST).exists():
        shutil.rmtree(here.path, ignore_errors=True)
        for name in (*there.names(), *UNNAMED):
            if (source := there.place(name)).exists():
                make_folder((here.path / name).parent)
                shutil.copyfile(source, here.path / name)
        write_atomic(here.path / MANIFEST, (there.path / MANIFEST).read_bytes())
    return here


def _latest(folder: RunFolder) -> int:
    """The step of the last checkpoint; -1 without one."""
    with contextlib.suppress(RunError):
        return max(saved_steps(folder), default=-1)
    return -1


def staging(url: str) -> Path:
    """Where a training for a URL takes place."""
    name = label(url)
    last = "".join(c for c in name.rstrip("/").rpartition("/")[2] if c.isalnum() or c in "-_.")
    return cache_folder() / "training" / f"{last}-{sha256(name.encode())[:12]}"


def _manifest_bytes(remote: Remote) -> bytes:
    place = remote / MANIFEST
    if not place.exists():
        raise RunError(f"{remote.name}: is not a run (it has no {MANIFEST})")
    data = place.read(most=MOST_NAMES)
    manifest: dict[str, Any] = read_object(data, place.name, error=RunError)
    if misfit(manifest, {"files": {str: [str]}}):
        raise RunError(f"{place.name}: is not a manifest of Rondeau")
    return data


def _insist(remote: Remote, source: Path) -> None:
    """Send a file, again and again; OSError where it can't be."""
    for pause in PAUSES:
        try:
            remote.write(source)
        except RunError:
            time.sleep(pause)
        else:
            return
    try:
        remote.write(source)
    except RunError as error:
        raise OSError(f"{error} (tried {len(PAUSES) + 1} times)") from None
