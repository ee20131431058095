"""Checkpoints: a model and the state of its training, from which `--resume` goes on."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import torch

from rondeau.errors import RunError
from rondeau.run.folder import FORMAT_VERSION, RunFolder, to_json

INDEX = "checkpoints/index.json"
STATE = r"checkpoints/step-(\d{8,})/training_state\.pt"


@dataclass(frozen=True)
class Checkpoint:
    """Weights (safetensors bytes) and the training's state, after `step` steps."""

    step: int
    weights: bytes
    state: dict[str, Any]


def checkpoint_name(step: int) -> str:
    """The folder of the checkpoint after `step` steps, inside a run."""
    return f"checkpoints/step-{step:08d}"


def save_checkpoint(
    folder: RunFolder,
    checkpoint: Checkpoint,
    *,
    best: int | None,
    keep: int,
    others: dict[str, bytes],
) -> None:
    """Write the latest checkpoint, name it and the best, and drop all but `keep` and the best.

    `others` are files of the run that change with it.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint.state, buffer)
    name = checkpoint_name(checkpoint.step)
    # After a step back later ones are of another past.
    known = [step for step in saved_steps(folder) if step < checkpoint.step]
    steps = [*known, checkpoint.step]
    kept = sorted({*steps[-keep:], *(step for step in steps if step == best)})
    index = {
        "format_version": FORMAT_VERSION,
        "latest": checkpoint.step,
        "best": best,
        "steps": kept,
    }
    dropped = [step for step in saved_steps(folder) if step not in kept]
    folder.change(
        {
            f"{name}/model.safetensors": checkpoint.weights,
            f"{name}/training_state.pt": buffer.getvalue(),
        }
    )
    folder.change(
        others | {INDEX: to_json(index)},  # an index names a best whose weights are in place
        remove=[checkpoint_name(step) for step in dropped],
    )


def latest_checkpoint(folder: RunFolder) -> tuple[Checkpoint, list[str]]:
    """The newest good checkpoint, and why newer ones were passed over.

    RunError where the run has none that is good.
    """
    steps = saved_steps(folder)
    if not steps:
        raise RunError(f"--resume {folder.path}: has no checkpoint; start it again with --out")
    damaged: list[str] = []
    for step in reversed(steps):
        try:
            return _read(folder, step), damaged
        except RunError as error:
            damaged.append(str(error))
    raise RunError(f"--resume {folder.path}: no checkpoint is good: {'; '.join(damaged)}")


def saved_steps(folder: RunFolder) -> list[int]:
    """The steps of all checkpoints that the run knows, in order."""
    names = (re.fullmatch(STATE, name) for name in folder.names())
    return sorted(int(name[1]) for name in names if name)


def _read(folder: RunFolder, step: int) -> Checkpoint:
    name = checkpoint_name(step)
    data = folder.read(f"{name}/training_state.pt")
    try:
        state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # torch names no exception of its own for a bad file
        reason = str(error).splitlines()[0]
        raise RunError(f"{folder.path / name}/training_state.pt: unreadable: {reason}") from None
    return Checkpoint(step, folder.read(f"{name}/model.safetensors"), state)
