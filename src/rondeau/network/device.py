"""Where tensors live and how many threads work on them. It knows no model."""

from __future__ import annotations

import contextlib
import ctypes
import functools

import torch

from rondeau.config import Device
from rondeau.errors import OptionError
from rondeau.machine import processors


def pick_device(name: Device) -> torch.device:
    """The named device, or for "auto" the best there is (OptionError if it isn't there)."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available[name]:
        raise OptionError(f"--device {name}: there is none here; use --device cpu")
    return torch.device(name)


MOST_THREADS = 1024


@functools.cache
def keep_freed_memory() -> None:
    """Tell glibc to keep what a step frees for the next one, instead of giving it back.

    Fresh pages must be zeroed by the system at every touch: 2,000 faults and 2.8 ms a step without
    this, of 35. Elsewhere than on glibc nothing happens.
    """
    mmap_threshold, trim_threshold, most = -3, -1, 2**30
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_threshold, most)
        libc.mallopt(trim_threshold, most)


def set_threads(count: int | None) -> int:
    """Use `count` threads (default: every processor this process may use); returns the number.

    Also has the process keep freed memory: whoever sets threads is about to train or generate.
    """
    if count is not None and not 1 <= count <= MOST_THREADS:
        raise OptionError(f"--threads {count}: must be from 1 to {MOST_THREADS}")
    torch.set_num_threads(count or processors())
    keep_freed_memory()
    return torch.get_num_threads()
