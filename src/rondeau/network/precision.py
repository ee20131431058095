"""The numbers that products are computed in, while weights, states and sums stay float32.

bfloat16 and float16 are PyTorch's autocast, which lowers what a product multiplies; tf32 is how
NVIDIA's matrix units read float32. The equations never learn of it. (torch.nn lowers its state
within a window, too.)
"""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from rondeau.config import Precision
from rondeau.errors import OptionError

HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def set_precision(name: Precision, device: torch.device) -> None:
    """Have a GPU multiply float32 as it is, or as tf32, and sum in float32, in all of this process.

    OptionError where the device has no such numbers. A program that asks PyTorch for `allow_tf32`
    after this gets an error: it is the older way to say the same, and PyTorch lets none mix them.
    """
    if device.type != "cuda":
        if name == "tf32":
            raise OptionError(
                f"--precision tf32: is for NVIDIA GPUs, not for {device.type}; choose float32"
            )
        return
    if name in ("tf32", "bfloat16") and torch.cuda.get_device_capability(device) < (8, 0):
        raise OptionError(f"--precision {name}: this GPU is too old for it; use float16 or float32")
    kind = "tf32" if name == "tf32" else "ieee"
    torch.backends.cuda.matmul.fp32_precision = kind
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cudnn.rnn.fp32_precision = kind  # type: ignore[attr-defined]


def lowered(name: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Where products are computed in bfloat16 or float16; nothing for other names."""
    if name not in HALVES:
        return contextlib.nullcontext()
    # One lowered copy of a weight for all steps would add their gradients up in its own numbers.
    return torch.autocast(device.type, HALVES[name], cache_enabled=False)


def product_type(weight: Tensor) -> torch.dtype:
    """The type that products with a weight are computed in here and now."""
    kind = weight.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype


def exact(weight: Tensor) -> bool:
    """Whether products with a weight are computed in its own numbers, not as tf32."""
    tf32 = weight.dtype == torch.float32 and torch.backends.cuda.matmul.fp32_precision == "tf32"
    return not tf32
