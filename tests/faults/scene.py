"""A folder that is changed and put back, again and again, and what its readers make of it.

They are watched: time, memory, and what they open and leave beside the folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from mutations import THINGS, damaged

from rondeau.errors import RondeauError

SHORT, LONG = 12, 2000
"""Changes of a file in `make test`, and with --long."""
MOST_MEMORY = 2**30
"""Bytes of address space that a case may take beyond what the process has."""
SECONDS = 30
"""Generous: a case takes some milliseconds."""

Reader = Callable[[Path, Any], Any]
"""Reads a folder, and is given what stands for the sound one."""


class Scene:
    """A copy of a folder that is changed and put back, again and again.

    Beside it lies `outside`, which nothing may open, and nothing else may come to lie there.
    """

    def __init__(self, folder: Path, place: Path) -> None:
        self.path, self.outside = place / "scene" / folder.name, place / "scene" / "outside"
        shutil.copytree(folder, self.path)
        shutil.copytree(folder, self.outside)
        self.files = {
            str(path.relative_to(self.path)): path.read_bytes()
            for path in sorted(self.path.rglob("*"))
            if path.is_file()
        }
        self.seen: dict[str, tuple[int, ...]] = {}
        self.put_back()

    def replace(self, name: str, by: bytes | str) -> None:
        """Put bytes in a file's place, or another thing: nothing, a folder, a link or a pipe."""
        path = self.path / name
        path.unlink(missing_ok=True)
        if isinstance(by, bytes):
            path.write_bytes(by)
        elif by == "folder":
            path.mkdir()
        elif by == "pipe":
            os.mkfifo(path)
        elif by == "link":
            path.symlink_to(self.outside / name)

    def put_back(self) -> None:
        """The folder as it was."""
        there = {str(path.relative_to(self.path)): path for path in self.path.rglob("*")}
        for name, path in there.items():
            if path.is_dir() and not path.is_symlink():
                if name in self.files:
                    path.rmdir()
            elif name not in self.files:
                path.unlink()
        for name, data in self.files.items():
            path = self.path / name
            if self.seen.get(name, ()) != _told(path):
                path.unlink(missing_ok=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                self.seen[name] = _told(path)

    def litter(self) -> list[str]:
        """What lies beside the folder and did not before."""
        names = {path.name for path in self.path.parent.iterdir()}
        return sorted(names - {self.path.name, self.outside.name})


def _told(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return ()
    return found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino


class HungError(BaseException):
    """A case took too long; no `except Exception` stops it."""


class _Opened:
    """The paths that this process opens, told by an audit hook; no hook is ever taken away."""

    def __init__(self) -> None:
        self.paths: list[str] | None = None
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if (
            self.paths is not None
            and event == "open"
            and isinstance(arguments[0], str | os.PathLike)
        ):
            self.paths.append(os.fspath(arguments[0]))


OPENED = _Opened()


@contextlib.contextmanager
def watched(opened: list[str]) -> Iterator[None]:
    """Within bounds of time and memory, what is opened noted down."""

    def hung(number: int, frame: Any) -> None:
        raise HungError(f"still running after {SECONDS} seconds")

    with Path("/proc/self/statm").open("rb") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, hung)
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_MEMORY, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    OPENED.paths = opened
    try:
        yield
    finally:
        OPENED.paths = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def try_all(
    request: pytest.FixtureRequest,
    scene: Scene,
    name: str,
    change: Callable[[bytes, Sequence[bytes], random.Random], bytes],
    readers: Sequence[Reader],
    sound: Any,
    *,
    exact: bool,
    named: Callable[[str], bool] = lambda message: True,
    fit: Callable[[bytes], None] = lambda data: None,
) -> list[str]:
    """Have readers, in turn, read a folder after each of many changes of a file; the problems.

    sound: what they are given, whose `results` are right; exact: all but these and refusals are
    problems; named: whether a refusal says what it is about; fit: makes the rest of the folder fit
    a change. What came of the changes is told after the long form.
    """
    problems = []
    figures = dict.fromkeys(("tried", "refused", "right", "other"), 0)
    for number, by in enumerate(_changes(request, scene, name, change)):
        reader = readers[number % len(readers)]
        scene.replace(name, by)
        if isinstance(by, bytes):
            fit(by)
        opened: list[str] = []
        problem = ""
        figures["tried"] += 1
        try:
            with watched(opened):
                result = reader(scene.path, sound)
        except RondeauError as error:
            figures["refused"] += 1
            problem = "" if named(str(error)) else f"isn't named: {error}"
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            right = result in sound.results[reader]
            figures["right" if right else "other"] += 1
            problem = "" if right or not exact else f"another result: {result}"
        away = [path for path in opened if str(scene.outside) in path] + scene.litter()
        if problem or away:
            told = f"{number} {reader.__name__} {by[:60]!r}: {problem} {away or ''}"
            problems.append(told[:500])
        scene.put_back()
    told = "  ".join(f"{count:>5} {what}" for what, count in figures.items())
    line = f"{'damaged' if change is damaged else 'forged':>7}  {told}  {name}"
    request.node.user_properties.append(("figures", line))
    return problems


def _changes(
    request: pytest.FixtureRequest, scene: Scene, name: str, change: Callable[..., bytes]
) -> Iterator[bytes | str]:
    """What may lie in the place of a file, then random changes."""
    rng = random.Random(request.node.name)
    others = [data for other, data in scene.files.items() if other != name]
    yield from THINGS
    for _ in range((LONG if request.config.getoption("--long") else SHORT) - len(THINGS)):
        yield change(scene.files[name], others, rng)


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """No waiting for a disk, and a small compressor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        patch.setattr("rondeau.evaluation.baselines.DICTIONARY", 2**12)
        yield
