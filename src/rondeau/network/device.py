"""Where tensors live and how many threads work on them. It knows no model."""

from __future__ import annotations

import os

import torch

from rondeau.config import Device
from rondeau.errors import OptionError


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


def set_threads(count: int | None) -> int:
    """Use `count` threads (default: every processor this process may use); returns the number."""
    count = count or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else count
    torch.set_num_threads(count or os.cpu_count() or 1)
    return torch.get_num_threads()
