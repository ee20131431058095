"""The state in a checkpoint, looked through before a training goes on from it.

Tensors are exactly those that this model, optimiser and batch have, numbers are possible ones; what
runs of an earlier version don't have gets its value from the start of a training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from rondeau.errors import RunError
from rondeau.formats import misfit
from rondeau.run.checkpoints import Checkpoint
from rondeau.run.states import state_from_bytes, state_to_bytes
from rondeau.training.group import Group

STATE = {
    "optimizer": {"state": dict},
    "carry": [Tensor],
    "best": (float, None),
    "best_step": (int, None),
    "looks_since_best": int,
    "seconds": float,
    "rate": float,
    "losses": Tensor,
}
ADDED = {"rate": 1.0, "losses": torch.empty(0)}
"""What 0.1.0 didn't save."""


def told(group: Group, find: Callable[[], Checkpoint | None]) -> Checkpoint | None:
    """A checkpoint that the first process of a group finds, for all of them."""
    found = find() if group.first else None
    if group.size == 1:
        return found
    step = int(group.tell(str(found.step).encode() if found else b"-1"))
    if step < 0:
        return None
    weights = group.tell(found.weights if found else b"")
    state = group.tell(state_to_bytes(found.state) if found else b"")
    return found or Checkpoint(step, weights, state_from_bytes(state, "what the first one told"))


def checked_state(
    checkpoint: Checkpoint,
    *,
    optimizer: torch.optim.Optimizer,
    carry: Sequence[Tensor],
    source: str,
) -> dict[str, Any]:
    """A checkpoint's state, fit for this optimiser and a carry like this; RunError if it isn't.

    The optimiser's settings are its own: they come from the run's settings, not from the state.
    """
    state: dict[str, Any] = ADDED | checkpoint.state
    wrong = misfit(state, STATE, "state") or _impossible(state, checkpoint.step)
    if wrong is None and not _alike(state["carry"], carry):
        wrong = "state.carry"
    if wrong is None and not _fits(state["optimizer"]["state"], optimizer):
        wrong = "state.optimizer"
    if wrong is not None:
        raise RunError(f"{source}: doesn't fit this training ({wrong}); restore it from a copy")
    groups = optimizer.state_dict()["param_groups"]
    slots = state["optimizer"]["state"]
    return state | {"optimizer": {"state": slots, "param_groups": groups}}


def _impossible(state: dict[str, Any], step: int) -> str | None:
    """The name of a number that no training can have come to."""
    possible = {
        "best_step": state["best_step"] is None or 0 <= state["best_step"] <= step,
        "looks_since_best": 0 <= state["looks_since_best"] <= step,
        "seconds": 0 <= state["seconds"] < float("inf"),
        "rate": 0 < state["rate"] <= 1,
        "losses": state["losses"].ndim == 1 and len(state["losses"]) <= step,
    }
    return next((f"state.{name}" for name, fine in possible.items() if not fine), None)


def _fits(slots: dict[Any, Any], optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimiser's memory is empty, or has what Adam keeps of every parameter."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not slots:
        return True
    if not isinstance(optimizer, torch.optim.Adam) or slots.keys() != set(range(len(parameters))):
        return False
    names = ("step", "exp_avg", "exp_avg_sq")
    return all(
        isinstance(slot, dict)
        and slot.keys() == set(names)
        and _alike([slot[name] for name in names], [torch.zeros(()), parameter, parameter])
        for slot, parameter in ((slots[index], p) for index, p in enumerate(parameters))
    )


def _alike(tensors: Sequence[Any], wanted: Sequence[Tensor]) -> bool:
    """Whether tensors have the shapes and types of others, each number with its own place."""
    return len(tensors) == len(wanted) and all(
        isinstance(tensor, Tensor)
        and (tensor.shape, tensor.dtype) == (like.shape, like.dtype)
        and tensor.is_contiguous()
        for tensor, like in zip(tensors, wanted, strict=True)
    )
