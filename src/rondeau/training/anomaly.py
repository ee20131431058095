"""`--detect-anomaly`: the first operation whose result isn't finite though all that it read was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rondeau.errors import TrainingError


@contextlib.contextmanager
def anomalies_named(step: int) -> Iterator[None]:
    """Raise TrainingError, naming the operation, where the step first gives what isn't finite."""
    try:
        with _FirstNonFinite():  # type: ignore[no-untyped-call]
            yield
    except _AnomalyError as error:
        raise TrainingError(f"step {step + 1}: {error}") from None


class _AnomalyError(Exception):
    """What was found."""


class _FirstNonFinite(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises _AnomalyError at that operation, forward or backward, with its name and shapes.

    It sees PyTorch's operations only: with the backend `reference` that is all of them.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation and look at what it gave."""
        read_finite = all(_finite(tensor) for tensor in _numbers((args, kwargs)))
        result = func(*args, **(kwargs or {}))
        if "empty" in str(func) or not read_finite:
            return result
        if not all(_finite(tensor) for tensor in _numbers(result)):
            shapes = ", ".join(str(tuple(t.shape)) for t in _numbers((args, kwargs)))
            raise _AnomalyError(
                f"{func} of {shapes} is the first operation whose result isn't finite"
            )
        return result


def _numbers(values: Any) -> Iterator[torch.Tensor]:
    return (
        leaf
        for leaf in tree_leaves(values)
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    )


def _finite(tensor: torch.Tensor) -> bool:
    with torch._C._DisableTorchDispatch():
        return bool(torch.isfinite(tensor).all())
