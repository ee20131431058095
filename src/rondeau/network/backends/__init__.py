"""How a cell is unrolled over time, and who serves which case.

`unroll` is the one door. `reference` is the truth: a loop over time. The others compute the same
numbers faster, and say so by an error that names another when they can't.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor

from rondeau.config import Backend
from rondeau.errors import OptionError
from rondeau.network.backends import library, numba, reference, triton
from rondeau.network.cells import Cell


def choose(cell: Cell) -> Literal["reference", "library", "numba"]:
    """The table behind "auto": our kernels on the CPU, torch.nn elsewhere, else the loop."""
    if numba.serves(cell):
        return "numba"
    return "library" if library.serves(cell) else "reference"


def refuse_unserved(cell: Cell, backend: Backend) -> None:
    """Raise UnsupportedError where a named backend can't compute a cell."""
    if backend in ("library", "numba", "triton"):
        {"library": library, "numba": numba, "triton": triton}[backend].refuse_unserved(cell)


def unroll(
    cell: Cell, inputs: Tensor, carry: Any, *, backend: Backend = "auto"
) -> tuple[Tensor, Any]:
    """Apply a cell over time.

    inputs: vectors (T, B, D) or token ids (T, B); carry: the cell's, (B, H) each.
    Returns the outputs h (T, B, H) and the last carry.
    Raises OptionError for an unknown backend, UnsupportedError for one that can't serve the cell.
    """
    name = choose(cell) if backend == "auto" else backend
    if name == "reference":
        return reference.unroll(cell, inputs, carry)
    if name == "library":
        return library.unroll(cell, inputs, carry)
    if name == "numba":
        return numba.unroll(cell, inputs, carry)
    if name == "triton":
        return triton.unroll(cell, inputs, carry)
    known = ", ".join(get_args(Backend))
    raise OptionError(f"--backend {backend}: choose one of {known}")
