"""Kernels compiled by numba: where they are kept, what they took, and copies that differ in a call.

It knows no kernel.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from types import FunctionType
from typing import Any

from numba import njit
from numba.core import event

_compilation: Any = event.TimingListener()  # type: ignore[no-untyped-call]
event.register("numba:compile", _compilation)  # type: ignore[no-untyped-call]


def compile_seconds() -> float:
    """Seconds that this process has spent on compiling kernels that no cache held."""
    return float(_compilation.duration) if _compilation.done else 0.0


def _can_cache() -> bool:
    """Whether numba finds a folder for compiled kernels: no error where all are read-only."""

    probe: Any = njit(lambda: None)
    try:
        probe.enable_caching()
    except RuntimeError:
        return False
    return True


CACHE = _can_cache()


def copy_with(function: Any, name: str, names: dict[str, Any]) -> Any:
    """A copy of a function under another name, with some of its global names replaced.

    numba keeps compiled code by name and source line, and finds no closure again: kernels that
    differ in what they call must differ in their names. The sources are part of the name, since
    numba looks at the defining file alone. And each copy must be called with arguments of one type
    only: two processes that compile two of them at once can give one the other's code.
    """
    copy = FunctionType(function.__code__, function.__globals__ | names, name)
    sources = _sources(Path(function.__code__.co_filename).parent)
    copy.__module__, copy.__qualname__ = function.__module__, f"{name}_{sources}"
    copy.__doc__ = function.__doc__
    return copy


@functools.cache
def _sources(folder: Path) -> str:
    """A short hash of the sources of all kernels, and of those in this folder."""
    kernels = Path(__file__).parent / "network" / "backends"
    paths = sorted({*kernels.glob("*.py"), *folder.glob("*.py")})
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:10]
