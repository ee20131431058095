"""Checkpoints: a model and the state of its training, from which `--resume` goes on."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import torch

from rondeau.errors import RunError
from rondeau.run.folder import FORMAT_VERSION, RunFolder, to_json

INDEX = "checkpoints/index.json"


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
    folder: RunFolder, checkpoint: Checkpoint, *, best: int | None, others: dict[str, bytes]
) -> None:
    """Write the latest checkpoint, name it and the best, and drop those that are neither.

    `others` are files of the run that change with it.
    """
    buffer = io.BytesIO()
    torch.save(checkpoint.state, buffer)
    name = checkpoint_name(checkpoint.step)
    kept = {name} | ({checkpoint_name(best)} if best is not None else set())
    known = _index(folder).get("steps", []) if folder.has(INDEX) else []
    index = {
        "format_version": FORMAT_VERSION,
        "latest": checkpoint.step,
        "best": best,
        "steps": sorted(
            step for step in {*known, checkpoint.step} if checkpoint_name(step) in kept
        ),
    }
    folder.change(
        {
            f"{name}/model.safetensors": checkpoint.weights,
            f"{name}/training_state.pt": buffer.getvalue(),
        }
    )
    folder.change(
        others | {INDEX: to_json(index)},  # an index names a best whose weights are in place
        remove=[checkpoint_name(step) for step in known if checkpoint_name(step) not in kept],
    )


def latest_checkpoint(folder: RunFolder) -> Checkpoint:
    """The checkpoint to go on from; RunError where the run has none or it is damaged."""
    if not folder.has(INDEX):
        raise RunError(f"--resume {folder.path}: has no checkpoint; start it again with --out")
    step = _index(folder)["latest"]
    name = checkpoint_name(step)
    data = folder.read(f"{name}/training_state.pt")
    try:
        state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # torch names no exception of its own for a bad file
        reason = str(error).splitlines()[0]
        raise RunError(f"{folder.path / name}/training_state.pt: unreadable: {reason}") from None
    return Checkpoint(step, folder.read(f"{name}/model.safetensors"), state)


def _index(folder: RunFolder) -> dict[str, Any]:
    return folder.read_json(INDEX)
