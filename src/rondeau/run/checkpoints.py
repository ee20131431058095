"""Checkpoints: a model and the state of its training, from which `--resume` goes on."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import Any

from rondeau.errors import RunError
from rondeau.formats import misfit
from rondeau.run.folder import FORMAT_VERSION, MANIFEST, MOST, RunFolder, to_json
from rondeau.run.states import state_from_bytes, state_to_bytes
from rondeau.run.weights import read_shape, read_weights

INDEX = "checkpoints/index.json"
CHECKPOINT = r"checkpoints/step-([0-9]{8,15})/"
STATE = rf"{CHECKPOINT}training_state\.pt"
SHARDS = "shards"

STATE_TIMES = 8
"""A training's state has at most so many times the bytes of its weights, and MOST."""


@dataclass(frozen=True)
class Checkpoint:
    """Weights (safetensors bytes) and the training's state, after `step` steps.

    Of weights that are shared out among processes there are none here: they are in `SHARDS` beside
    the state.
    """

    step: int
    weights: bytes
    state: dict[str, Any]


def checkpoint_name(step: int) -> str:
    """The folder of the checkpoint after `step` steps, inside a run."""
    return f"checkpoints/step-{step:08d}"


def write_checkpoint(folder: RunFolder, checkpoint: Checkpoint) -> None:
    """Put a checkpoint in place; `name_checkpoint` is to follow."""
    name = checkpoint_name(checkpoint.step)
    weights = {f"{name}/model.safetensors": checkpoint.weights} if checkpoint.weights else {}
    folder.change({**weights, f"{name}/training_state.pt": state_to_bytes(checkpoint.state)})


def name_checkpoint(
    folder: RunFolder, latest: int, *, best: int | None, keep: int, others: dict[str, bytes]
) -> None:
    """Name a checkpoint that is in place and the best, and drop all but `keep` and the best.

    `others` are files of the run that change with it, where it isn't the latest already. Done again
    when a training goes on, which may have been cut off before it came to this: what is left of
    checkpoints that were begun or dropped goes too.
    """
    # After a step back later ones are of another past.
    steps = [step for step in saved_steps(folder) if step <= latest]
    kept = sorted({*steps[-keep:], *(step for step in steps if step == best)})
    index = {"format_version": FORMAT_VERSION, "latest": latest, "best": best, "steps": kept}
    kept_names = {checkpoint_name(step) for step in kept}
    with contextlib.suppress(RunError):  # damaged, or not there yet
        if folder.read_json(INDEX) == index:
            others = {}
    folder.change(
        others | {INDEX: to_json(index)},  # last: it names a best whose weights are in place
        remove=sorted(_checkpoint_folders(folder) - kept_names),
    )


def _checkpoint_folders(folder: RunFolder) -> set[str]:
    """Every checkpoint that is on the disk or in the manifest, whole or not."""
    on_disk = (f"checkpoints/{path.name}" for path in folder.place("checkpoints").iterdir())
    found = (re.match(CHECKPOINT, f"{name}/") for name in (*on_disk, *folder.names()))
    return {match[0].removesuffix("/") for match in found if match}


def latest_checkpoint(folder: RunFolder) -> tuple[Checkpoint | None, list[str]]:
    """The newest good checkpoint, None before the first, and why newer ones were passed over.

    RunError where there are some and none is good.
    """
    steps = saved_steps(folder)
    if not steps:
        return None, []
    damaged: list[str] = []
    try:
        index = folder.read_json(INDEX)
        named = 0 if misfit(index, {"latest": int}) else index["latest"]
        if named > steps[-1]:
            raise RunError(f"{folder.path / checkpoint_name(named)}: is not in the {MANIFEST}")
    except RunError as error:
        damaged.append(str(error))
    for step in reversed(steps):
        try:
            return read_checkpoint(folder, step), damaged
        except RunError as error:
            damaged.append(str(error))
    raise RunError(f"--resume {folder.path}: no checkpoint is good: {'; '.join(damaged)}")


def saved_steps(folder: RunFolder) -> list[int]:
    """The steps of all checkpoints that the run knows, in order."""
    names = (re.fullmatch(STATE, name) for name in folder.names())
    return sorted(int(name[1]) for name in names if name)


def read_checkpoint(folder: RunFolder, step: int) -> Checkpoint:
    """The checkpoint after so many steps; RunError if it is damaged."""
    name = checkpoint_name(step)
    weights = b""
    shards = [shard for shard in folder.names() if shard.startswith(f"{name}/{SHARDS}/")]
    for shard in shards:
        folder.check(shard)
    if not shards:
        weights = read_weights(folder, f"{name}/model.safetensors", read_shape(folder))
    state = f"{name}/training_state.pt"
    data = folder.read(state, most=STATE_TIMES * len(weights) + MOST)
    return Checkpoint(step, weights, state_from_bytes(data, str(folder.path / state)))
