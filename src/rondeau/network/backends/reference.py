"""The loop over time: the truth that every other backend is held to.

It knows no cell by name: whatever has `project`, `gates` and `update` can be unrolled here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rondeau.network.cells import Cell


def unroll(cell: Cell, inputs: Tensor, carry: Any) -> tuple[Tensor, Any]:
    """inputs (T, B, D) or ids (T, B) -> outputs (T, B, H) and the last carry."""
    outputs = []
    for projected in cell.project(inputs):
        carry = cell.update(cell.gates(projected, carry), carry)
        outputs.append(carry.h)
    return torch.stack(outputs), carry
