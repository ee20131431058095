"""How a run begins: in a folder of its own, with its first files, of which metrics.jsonl is last.

A folder without it, in which there is nothing but some of the others, is a start that was cut off:
nothing was trained, and a training may begin there again. Any other folder is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rondeau.errors import RunError
from rondeau.files import is_temporary
from rondeau.run.folder import MANIFEST, RunFolder
from rondeau.run.lock import LOCK, locked
from rondeau.run.metrics import METRICS
from rondeau.run.origin import KEPT, ORIGIN
from rondeau.run.remote import mirrored, staging
from rondeau.run.results import RESULTS
from rondeau.urls import url_of

FOLDERS = ("", "private")
FIRST = {
    MANIFEST,
    "config.json",
    "tokenizer.json",
    "generation_config.json",
    "train_config.toml",
    "env.json",
    RESULTS,
    ORIGIN,
    KEPT,
    LOCK,
}
"""What is written before metrics.jsonl."""


def new_run(path: str | Path) -> RunFolder:
    """The folder of a new run, made if it is missing; RunError where it holds anything else.

    Of a run at a URL it is here, and mirrored there.
    """
    if url := url_of(path):
        return mirrored(new_run(staging(url)), url)
    folder = RunFolder(Path(path))
    return folder if is_unfinished(folder.path) else RunFolder.create(path)


def has_begun(path: str | Path) -> bool:
    """Whether a run's start is complete there; of a run at a URL, where it is trained."""
    url = url_of(path)
    return ((staging(url) if url else Path(path)) / METRICS).exists()


def is_unfinished(path: Path) -> bool:
    """Whether a folder is empty, or holds no more than a start that was cut off."""
    entries = _entries(path)
    names = {entry.relative_to(path).as_posix() for entry in entries}
    ours = FIRST if MANIFEST in names else {LOCK}
    return path.is_dir() and names <= ours and all(map(_is_plain, entries))


@contextlib.contextmanager
def beginning(folder: RunFolder) -> Iterator[None]:
    """Hold a new run while its first files are written, once those of a start cut off are gone.

    RunError where another training has begun there, or is about to.
    """
    with locked(folder):
        if not is_unfinished(folder.path):
            raise RunError(f"--out {folder.path}: another training has begun there; choose another")
        folder.tidy()
        with contextlib.suppress(RunError):  # a damaged manifest
            if named := folder.names():
                folder.change({}, remove=named)
        # The manifest last: it says that the others are ours.
        for entry in sorted(_entries(folder.path), key=lambda entry: entry.name == MANIFEST):
            if entry != folder.path / LOCK:
                entry.unlink()
        yield


def _entries(path: Path) -> list[Path]:
    """All that lies in the folders of a start, but for temporary files and these folders."""
    folders = [path / name for name in FOLDERS if (path / name).is_dir()]
    found = [entry for folder in folders for entry in folder.iterdir() if entry not in folders]
    return [entry for entry in found if not is_temporary(entry.name)]


def _is_plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
