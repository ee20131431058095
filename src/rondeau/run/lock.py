"""One training at a time in a run's folder, and what is left of one that was cut off.

`private/lock` is locked by the operating system as long as its process lives, however that ends;
its content says since when and on which machine, and is emptied by a training that leaves of
itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from rondeau.errors import RunError
from rondeau.files import make_folder
from rondeau.formats import misfit
from rondeau.machine import Kills, happened_since, kills
from rondeau.run.folder import RunFolder

LOCK = "private/lock"
KILLS = {"boot": (str, None), "machine": (int, None), "group": (int, None)}
MOST = 1000
"""Most characters of its content."""


@contextlib.contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold a run for training; RunError while another process does."""
    path = _place(folder)
    make_folder(path.parent)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = _content(file).get("process", "another")
            raise RunError(
                f"{folder.path}: is being trained by process {holder}; wait for its end, or stop it"
            ) from None
        _write(file, {"process": os.getpid(), "since": time.time(), "kills": asdict(kills())})
        yield
        # Left as it is by an exception, as by a kill: what was under way is not at its end.
        _write(file, {})


def cut_off(folder: RunFolder) -> str | None:
    """That the last training here neither came to its end nor left of itself, and what is known.

    None where it did.
    """
    path = _place(folder)
    if not path.exists():
        return None
    with path.open(encoding="utf-8", errors="replace") as file:
        content = _content(file)
    if not content:
        return None
    happened = None
    if misfit(content, {"kills": KILLS}) is None:
        happened = happened_since(Kills(**{name: content["kills"][name] for name in KILLS}))
    return f"this training was cut off{f' ({happened})' if happened else ''}"


def _place(folder: RunFolder) -> Path:
    path = folder.place(LOCK)
    if path.exists() and not path.is_file():
        raise RunError(f"{path}: is not a file; remove it")
    return path


def _content(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        content = json.loads(file.read(MOST) or "{}")
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(file: IO[str], content: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    if content:
        json.dump(content, file)
    file.flush()
